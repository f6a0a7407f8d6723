//! What the proxy counts, and how it tells one request from the next.

use std::time::Instant;

/// Longest client flight that is looked at to recognise a lone TLS 1.3 `Finished`.
const PREFIX: usize = 128;
/// `COM_QUIT` as a MySQL client sends it: a packet of one byte, sequence 0.
const COM_QUIT: [u8; 5] = [1, 0, 0, 0, 1];

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Nobody yet.
    Not,
    /// The client closed first.
    Client,
    /// The server closed first.
    Server,
    /// One of the two reset it.
    Broken,
    /// The proxy cut it, or could not reach the server.
    Cut,
}

/// What went through one connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionCount {
    /// Its place in the order of acceptance, from 0.
    pub id: u64,
    /// When it was accepted.
    pub opened: Instant,
    /// Bytes the client sent.
    pub bytes_up: u64,
    /// Bytes the server sent.
    pub bytes_down: u64,
    /// Client flights: runs of client data not interrupted by an answer.
    pub requests: usize,
    /// Client flights that the server answered. A greeting the server sends first is none.
    pub round_trips: usize,
    /// The last flight was exactly a plaintext MySQL `COM_QUIT`.
    pub quit: bool,
    /// Who ended it.
    pub closed: Closed,
}

impl ConnectionCount {
    /// Client flights without an answer: a `COM_QUIT`, or a request still under way.
    #[must_use]
    pub fn unanswered_requests(&self) -> usize {
        self.requests - self.round_trips
    }
}

/// All connections together, since the start or the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections accepted.
    pub connections: usize,
    /// Connections open now.
    pub open: usize,
    /// The most that were open at once.
    pub peak_open: usize,
    /// Bytes from clients.
    pub bytes_up: u64,
    /// Bytes from the server.
    pub bytes_down: u64,
    /// Client flights.
    pub requests: usize,
    /// Client flights that were answered.
    pub round_trips: usize,
    /// Client flights that were not.
    pub unanswered_requests: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Server,
    Client,
}

/// Follows one connection and finds its flights.
///
/// TLS is followed by its flights too, with one exception. After a TLS 1.3 handshake the client sends `Finished`
/// and waits for nothing; the server answers it with session tickets, which may come before or after the
/// client's first request. Counting that as an exchange would make the count depend on a race, so a flight of
/// nothing but `Finished` is joined with the one after it.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) count: ConnectionCount,
    turn: Turn,
    prefix: Vec<u8>,
    flight_bytes: usize,
    may_finish: bool,
}

impl Progress {
    pub(super) fn new(id: u64) -> Self {
        Self {
            count: ConnectionCount {
                id,
                opened: Instant::now(),
                bytes_up: 0,
                bytes_down: 0,
                requests: 0,
                round_trips: 0,
                quit: false,
                closed: Closed::Not,
            },
            turn: Turn::Server,
            prefix: Vec::new(),
            flight_bytes: 0,
            may_finish: true,
        }
    }

    /// Notes client data; says which flight it begins, if it begins one.
    pub(super) fn client_data(&mut self, data: &[u8]) -> Option<usize> {
        self.count.bytes_up += data.len() as u64;
        let begins = self.turn == Turn::Server;
        if begins {
            self.turn = Turn::Client;
            self.count.requests += 1;
            self.prefix.clear();
            self.flight_bytes = 0;
        }
        self.flight_bytes += data.len();
        let room = PREFIX.saturating_sub(self.prefix.len());
        self.prefix.extend_from_slice(&data[..data.len().min(room)]);
        self.count.quit = self.flight_bytes == COM_QUIT.len() && self.prefix == COM_QUIT;
        begins.then(|| self.count.requests - 1)
    }

    /// Notes server data; says which flight it begins to answer, if it does.
    pub(super) fn server_data(&mut self, data: &[u8]) -> Option<usize> {
        self.count.bytes_down += data.len() as u64;
        if self.turn == Turn::Server || self.is_lone_finished() {
            return None;
        }
        self.may_finish &= !self.is_past_handshake();
        self.turn = Turn::Server;
        self.count.round_trips += 1;
        Some(self.count.requests - 1)
    }

    /// The flight so far is nothing but the end of a TLS 1.3 handshake: the first encrypted record, and a short one.
    fn is_lone_finished(&self) -> bool {
        let [0x17, 3, 3, 0, length, rest @ ..] = without_change_cipher(&self.prefix) else { return false };
        self.may_finish && rest.len() == usize::from(*length) && self.flight_bytes == self.prefix.len()
    }

    /// Whether the answered flight was encrypted, or belonged to an older TLS, whose client does wait for an answer
    /// to the end of its handshake: from then on no flight is a lone `Finished`.
    fn is_past_handshake(&self) -> bool {
        match without_change_cipher(&self.prefix) {
            [0x17, 3, 3, ..] => true,
            // A record of the handshake that holds a Certificate or a ClientKeyExchange in the clear.
            [0x16, 3, _, _, _, kind, ..] => matches!(kind, 0x0b | 0x10),
            _ => false,
        }
    }
}

/// What follows the `ChangeCipherSpec` that a TLS 1.3 client sends once, for the sake of old middleboxes.
fn without_change_cipher(flight: &[u8]) -> &[u8] {
    flight.strip_prefix(&[0x14, 3, 3, 0, 1, 1]).unwrap_or(flight)
}

#[cfg(test)]
mod tests {
    use super::Progress;

    #[test]
    fn a_greeting_is_no_round_trip_and_quit_is_unanswered() {
        let mut mysql = Progress::new(0);
        assert_eq!(mysql.server_data(b"greeting"), None);
        assert_eq!(mysql.client_data(b"login"), Some(0));
        assert_eq!(mysql.client_data(b" continued"), None);
        assert_eq!(mysql.server_data(b"ok"), Some(0));
        assert_eq!(mysql.server_data(b" more"), None);
        assert_eq!(mysql.client_data(&[1, 0, 0, 0, 1]), Some(1));
        let count = mysql.count;
        assert_eq!((count.requests, count.round_trips, count.unanswered_requests()), (2, 1, 1));
        assert_eq!((count.bytes_up, count.bytes_down), (20, 15));
        assert!(count.quit);
    }

    fn record(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [&[kind, 3, 3, 0, length], content].concat()
    }

    #[test]
    fn tickets_do_not_answer_a_lone_finished() {
        let finished = record(0x17, &[7; 53]);
        let after_change_cipher = [record(0x14, &[1]), finished.clone()].concat();
        for (finished, tickets_come_early) in [&finished, &after_change_cipher]
            .map(|it| (it, true))
            .into_iter()
            .chain([(&finished, false), (&after_change_cipher, false)])
        {
            let mut tls = Progress::new(0);
            assert_eq!(tls.client_data(&record(0x16, b"\x01hello")), Some(0));
            assert_eq!(tls.server_data(b"retry"), Some(0));
            assert_eq!(tls.client_data(&record(0x14, &[1])), Some(1));
            assert_eq!(tls.client_data(&record(0x16, b"\x01hello")), None);
            assert_eq!(tls.server_data(b"hello"), Some(1));
            assert_eq!(tls.client_data(finished), Some(2));
            if tickets_come_early {
                assert_eq!(tls.server_data(b"tickets"), None);
            }
            assert_eq!(tls.client_data(&record(0x17, b"login")), None);
            assert_eq!(tls.server_data(b"ok"), Some(2));
            // One short record is a request from then on.
            assert_eq!(tls.client_data(&record(0x17, b"query")), Some(3));
            assert_eq!(tls.server_data(b"ok"), Some(3));
            assert_eq!(tls.count.round_trips, 4);
        }
    }

    #[test]
    fn tls_before_1_3_is_answered_at_the_end_of_its_handshake() {
        let mut tls = Progress::new(0);
        let flights = [
            record(0x16, b"\x01hello"),
            record(0x16, b"\x10key exchange"),
            record(0x17, b"login"),
            record(0x17, b"query"),
        ];
        for (number, flight) in flights.iter().enumerate() {
            assert_eq!(tls.client_data(flight), Some(number));
            assert_eq!(tls.server_data(b"answer"), Some(number));
        }
    }
}
