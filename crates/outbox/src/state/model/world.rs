//! Everything that there is at one moment, those things too that nobody in the story can see.

use crate::state::{
    State,
    transition::{Attempt, Attempts, Row, Says, Verdict},
};

/// Attempts that there is room for: those that are explored, and those that the end of a story may need.
pub(super) const ROOM: usize = 5;
/// Everything there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// `None` until its producer has committed.
    pub(super) row: Option<Row>,
    /// Whether at least one doorbell is under way.
    pub(super) bell: bool,
    /// In no particular order.
    pub(super) workers: [Worker; 2],
    /// What became of each attempt's request.
    pub(super) requests: [Request; ROOM],
    /// Attempts begun.
    pub(super) begun: u8,
    /// A claim that its worker has given up waiting for, and that the server has still to carry out.
    pub(super) stray: Option<Attempt>,
    /// Attempts of which an event stands in the history that the row has not followed: that SES took it, dropped it.
    pub(super) torn: [Attempts; 2],
    /// Attempts whose 200 a worker wrote down.
    pub(super) written: Attempts,
    /// Whether a request left for a second time.
    pub(super) left_twice: bool,
    /// Commands that the operator gave.
    pub(super) commands: u8,
    /// How many of them were to begin again.
    pub(super) retried: u8,
}

/// One invocation after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Worker {
    /// Not there, or at the end.
    Idle,
    /// Knows that it has claimed.
    Claimed(Attempt),
    /// Its lease covers the call: the request is about to leave.
    Checked(Attempt),
    /// The request has left.
    Waiting(Attempt),
    /// Knows what to write down.
    Told(Attempt, Verdict),
}

/// What became of an attempt's request. The checker sees it, sendonce does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Request {
    /// It has not left.
    Quiet,
    /// It is under way, whether somebody waits for the answer or not.
    Flying,
    /// SES took it.
    Taken,
    /// SES took it and dropped it.
    Dropped,
    /// It reached nobody, and never will.
    Gone,
}

/// Whether the row is held by this attempt: the most that a worker can find when it checks its lease.
pub(super) fn is_leased(row: Row, attempt: Attempt) -> bool {
    row.state == State::Sending && row.attempt == Some(attempt)
}

impl World {
    pub(super) const BEGINNING: Self = Self {
        row: None,
        bell: false,
        workers: [Worker::Idle; 2],
        requests: [Request::Quiet; ROOM],
        begun: 0,
        stray: None,
        torn: [Attempts::NONE; 2],
        written: Attempts::NONE,
        left_twice: false,
        commands: 0,
        retried: 0,
    };

    pub(super) fn attempts(&self) -> impl Iterator<Item = Attempt> + use<> {
        (0..self.begun).map(Attempt)
    }

    pub(super) fn request(&self, attempt: Attempt) -> Request {
        self.requests[usize::from(attempt.0)]
    }

    /// Whether SES may say so of an attempt.
    pub(super) fn may_say(&self, attempt: Attempt, says: Says) -> bool {
        match says {
            Says::Taken => matches!(self.request(attempt), Request::Taken | Request::Dropped),
            Says::Refused => self.request(attempt) == Request::Dropped,
            Says::Nothing => false,
        }
    }

    pub(super) fn torn_mut(&mut self, says: Says) -> &mut Attempts {
        &mut self.torn[usize::from(says == Says::Refused)]
    }

    pub(super) fn is_torn(&self, attempt: Attempt, says: Says) -> bool {
        self.torn[usize::from(says == Says::Refused)].has(attempt)
    }

    pub(super) fn attempt_of(&self, worker: usize) -> Attempt {
        match self.workers[worker] {
            Worker::Claimed(attempt)
            | Worker::Checked(attempt)
            | Worker::Waiting(attempt)
            | Worker::Told(attempt, _) => attempt,
            Worker::Idle => unreachable!("an idle worker has no attempt"),
        }
    }

    /// Whether a doorbell can make a difference, now or after the commit.
    pub(super) fn waits(&self) -> bool {
        self.row.is_none_or(|row| row.state == State::Pending)
    }

    /// Writes what is the same in the same way: who the workers are does not matter, nor why a request never left, nor
    /// doorbells for a row that does not wait, since there can be another one whenever it does.
    pub(super) fn tidy(&mut self) {
        self.bell &= self.waits();
        self.workers.sort_unstable();
        for attempt in self.attempts() {
            let may_leave = |worker| worker == Worker::Claimed(attempt) || worker == Worker::Checked(attempt);
            if self.request(attempt) == Request::Quiet && !self.workers.into_iter().any(may_leave) {
                self.requests[usize::from(attempt.0)] = Request::Gone;
            }
        }
    }
}
