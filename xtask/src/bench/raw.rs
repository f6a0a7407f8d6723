//! The yardstick: one email with blocking sockets and nothing else.
//!
//! Connect, log in, claim and read, POST over a connection that is kept, record, quit: the bytes are the function's own,
//! the servers are the same, and both wait for the same answers. What the function takes longer is what its libraries
//! and its policy cost.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use super::{
    mysql::{Answer, Connection},
    script::{Script, Values},
    stage::{RAW_USER, Stage},
};

/// What one email takes, in order.
pub(super) const STEPS: [&str; 5] = ["connect and log in", "claim and read", "POST", "record", "quit"];

/// Sends emails.
#[derive(Debug)]
pub(super) struct Raw {
    database: SocketAddr,
    name: String,
    ses: TcpStream,
    script: Script,
    buffer: Vec<u8>,
}

impl Raw {
    pub(super) fn new(stage: &Stage, script: Script) -> io::Result<Self> {
        let ses = TcpStream::connect(stage.ses_address())?;
        ses.set_nodelay(true)?;
        Ok(Self {
            database: stage.database_address(),
            name: stage.database_name().to_owned(),
            ses,
            script,
            buffer: vec![0; 16 * 1024],
        })
    }

    /// Sends one email and says how long each step took.
    pub(super) fn send(&mut self, id: u64) -> io::Result<[Duration; STEPS.len()]> {
        let mut values = Values::of(id);
        let mut marks = [Instant::now(); STEPS.len() + 1];
        let mut connection = Connection::open(self.database, RAW_USER, &self.name)?;
        marks[1] = Instant::now();
        let claim = connection.query(self.script.claim.fill(&values)?)?;
        if claim != (Answer { matched: Some(1), rows: 1 }) {
            return Err(io::Error::other(format!("email {id} was not claimed: {claim:?}")));
        }
        marks[2] = Instant::now();
        self.ses.write_all(self.script.post.fill(&values)?)?;
        let message_id = self.message_id()?;
        values.answered(&self.buffer[message_id]);
        marks[3] = Instant::now();
        let mark = connection.query(self.script.mark.fill(&values)?)?;
        if mark.matched != Some(1) {
            return Err(io::Error::other(format!("email {id} was not recorded: {mark:?}")));
        }
        marks[4] = Instant::now();
        connection.quit()?;
        marks[5] = Instant::now();
        Ok(std::array::from_fn(|step| marks[step + 1] - marks[step]))
    }

    /// Reads the answer of SES and finds the message id in it.
    fn message_id(&mut self) -> io::Result<std::ops::Range<usize>> {
        const KEY: &[u8] = b"\"MessageId\":\"";
        let mut length = 0;
        loop {
            match self.ses.read(&mut self.buffer[length..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => length += read,
            }
            let said = &self.buffer[..length];
            // The body is one short object: its end is the end of the answer.
            if said.ends_with(b"\"}") {
                let at = said.windows(KEY.len()).position(|window| window == KEY).map(|at| at + KEY.len());
                return at.map(|start| start..length - 2).ok_or_else(|| {
                    io::Error::other(format!("SES answered {}", String::from_utf8_lossy(said)))
                });
            }
        }
    }
}
