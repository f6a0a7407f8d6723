//! The MySQL protocol over a blocking socket, as little of it as one email needs.
//!
//! This is the yardstick: no library, no runtime, no copies that could be avoided. It checks what the server answers,
//! and looks at nothing else in it.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    ops::Range,
};

/// `COM_QUERY`, the first byte of a statement's packet.
pub(super) const QUERY: u8 = 3;
/// `COM_QUIT`.
const QUIT: u8 = 1;

/// Long password, found rows, long flag, connect with database, protocol 4.1, transactions, secure connection, multiple
/// statements, multiple results, plugin authentication.
const CAPABILITIES: u32 =
    1 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 9 | 1 << 13 | 1 << 15 | 1 << 16 | 1 << 17 | 1 << 19;
const UTF8MB4_GENERAL_CI: u8 = 45;
const MORE_RESULTS: u16 = 8;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    unread: Range<usize>,
}

/// What a batch of statements answered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// Rows matched by the first statement that returns none.
    pub(super) matched: Option<u64>,
    /// Rows returned by all of them.
    pub(super) rows: usize,
}

impl Connection {
    /// Connects and logs in as a user of `mysql_native_password` who has no password: three hashes less than with one.
    pub(super) fn open(server: SocketAddr, user: &str, database: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        let mut connection = Self { stream, buffer: vec![0; 64 * 1024], unread: 0..0 };
        // The greeting holds the salt of a password that there is not.
        connection.packet()?;
        let mut login = vec![0, 0, 0, 1];
        login.extend(CAPABILITIES.to_le_bytes());
        login.extend((16_u32 << 20).to_le_bytes());
        login.push(UTF8MB4_GENERAL_CI);
        login.extend([0; 23]);
        for text in [user, "\0", database, "\0mysql_native_password\0"] {
            login.extend(text.as_bytes());
            // After the user's name: the length of the answer to the salt.
            if text == "\0" {
                login.push(0);
            }
        }
        finish(&mut login)?;
        connection.stream.write_all(&login)?;
        let answer = connection.packet()?;
        match connection.buffer[answer.clone()] {
            [0, ..] => Ok(connection),
            _ => Err(connection.refused(answer)),
        }
    }

    /// Sends a packet that [`statement`] made and reads everything that comes back.
    pub(super) fn query(&mut self, packet: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(packet)?;
        let mut answer = Answer::default();
        loop {
            let first = self.packet()?;
            let status = match self.buffer[first.clone()] {
                [0, ..] => {
                    let mut rest = &self.buffer[first.start + 1..first.end];
                    let matched = number(&mut rest)?;
                    number(&mut rest)?;
                    answer.matched = answer.matched.or(Some(matched));
                    status(rest)?
                }
                [255, ..] | [] => return Err(self.refused(first)),
                [columns, ..] => {
                    for _ in 0..=columns {
                        self.packet()?;
                    }
                    loop {
                        let row = self.packet()?;
                        match self.buffer[row.clone()] {
                            [254, _, _, ref rest @ ..] if rest.len() == 2 => break status(rest)?,
                            [255, ..] => return Err(self.refused(row)),
                            _ => answer.rows += 1,
                        }
                    }
                }
            };
            if status & MORE_RESULTS == 0 {
                return Ok(answer);
            }
        }
    }

    /// Says good-bye and waits until the server has hung up, as the function does.
    pub(super) fn quit(mut self) -> io::Result<()> {
        self.stream.write_all(&[1, 0, 0, 0, QUIT])?;
        self.stream.shutdown(std::net::Shutdown::Write)?;
        while self.stream.read(&mut self.buffer)? > 0 {}
        Ok(())
    }

    /// Where the next packet's content lies in the buffer.
    fn packet(&mut self) -> io::Result<Range<usize>> {
        self.fill(4)?;
        let at = self.unread.start;
        let length = usize::from(self.buffer[at])
            | usize::from(self.buffer[at + 1]) << 8
            | usize::from(self.buffer[at + 2]) << 16;
        self.fill(4 + length)?;
        let start = self.unread.start + 4;
        self.unread.start = start + length;
        Ok(start..start + length)
    }

    /// Reads until so many bytes are there.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.unread.len() < wanted && self.unread.start + wanted > self.buffer.len() {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
            if self.buffer.len() < wanted {
                self.buffer.resize(wanted, 0);
            }
        }
        while self.unread.len() < wanted {
            if self.unread.is_empty() && self.buffer.len() >= wanted {
                self.unread = 0..0;
            }
            match self.stream.read(&mut self.buffer[self.unread.end..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.unread.end += read,
            }
        }
        Ok(())
    }

    fn refused(&self, packet: Range<usize>) -> io::Error {
        let text = String::from_utf8_lossy(self.buffer[packet].get(3..).unwrap_or_default()).into_owned();
        io::Error::other(format!("the server refused: {text}"))
    }
}

/// A packet with these statements.
pub(super) fn statement(sql: &[u8]) -> io::Result<Vec<u8>> {
    let mut packet = vec![0, 0, 0, 0, QUERY];
    packet.extend(sql);
    finish(&mut packet)?;
    Ok(packet)
}

/// Writes the length into a packet's first three bytes.
fn finish(packet: &mut [u8]) -> io::Result<()> {
    let length = u32::try_from(packet.len() - 4).map_err(io::Error::other)?.to_le_bytes();
    packet[..3].copy_from_slice(&length[..3]);
    Ok(())
}

/// A length-encoded integer.
fn number(from: &mut &[u8]) -> io::Result<u64> {
    let (&first, rest) = from.split_first().ok_or(io::ErrorKind::UnexpectedEof)?;
    let width = match first {
        252 => 2,
        253 => 3,
        254 => 8,
        small => {
            *from = rest;
            return Ok(u64::from(small));
        }
    };
    let (bytes, rest) = rest.split_at_checked(width).ok_or(io::ErrorKind::UnexpectedEof)?;
    *from = rest;
    Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn status(from: &[u8]) -> io::Result<u16> {
    match from {
        [low, high, ..] => Ok(u16::from_le_bytes([*low, *high])),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
