//! What is legal, as one total function: a row, what its history says, an event, and the row afterwards.
//!
//! This is the specification. `store` carries each of these transitions out in statements of SQL, each guarded by the
//! conditions that stand here, and `tests/it/store/transitions.rs` compares the two, row by row, on a real server.
//! `state::model` asks whether the promises hold, whoever dies when.
//!
//! Time plays no part here. Whether an email is due or expired, whether a lease ran out, and whether the policy wants an
//! email sent again is asked before the event, by whoever causes it.

use super::State;

/// One attempt of an email, by its number from 0 to [`Attempts::MOST`]. The row has an [`AttemptId`](super::AttemptId);
/// here it only matters which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt(pub u8);

/// A set of attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempts(u8);

impl Attempts {
    /// The empty one.
    pub const NONE: Self = Self(0);
    /// The highest number of an attempt.
    pub const MOST: u8 = 7;

    /// The same with `attempt`.
    #[must_use]
    pub const fn with(self, attempt: Attempt) -> Self {
        Self(self.0 | 1 << attempt.0)
    }

    /// Whether `attempt` is one of them.
    #[must_use]
    pub const fn has(self, attempt: Attempt) -> bool {
        self.0 & 1 << attempt.0 != 0
    }

    /// How many there are.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Those of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// What `email_event` says of an email. The order in which it was written plays no part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct History {
    /// Attempts that SES took: `accepted`, `send`, `delivery`, `bounce`, `complaint`, `delivery_delay`.
    pub taken: Attempts,
    /// Attempts that SES took and then dropped: `reject`, `rendering_failure`. That outweighs `taken`.
    pub refused: Attempts,
    /// Attempts that were given up as unresolved: `resent`.
    pub given_up: Attempts,
    /// Attempts that were given up, and whose own worker said afterwards that SES certainly had not taken them: `not_sent`.
    pub not_sent: Attempts,
}

impl History {
    /// Whether SES took an attempt and did not drop it.
    #[must_use]
    pub const fn accepted(self) -> bool {
        self.taken.without(self.refused).count() > 0
    }

    /// Whether SES took this attempt and did not drop it.
    #[must_use]
    pub const fn took(self, attempt: Attempt) -> bool {
        self.taken.without(self.refused).has(attempt)
    }
}

/// As much of a row of `email`, and of its history, as the transitions depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row {
    /// `state`.
    pub state: State,
    /// `attempt_id`: the latest attempt, also after it ended.
    pub attempt: Option<Attempt>,
    /// `resends`: attempts that were given up as unresolved.
    pub resends: u8,
    /// `email_event`.
    pub history: History,
}

impl Row {
    /// As its producer writes it.
    pub const NEW: Self = Self {
        state: State::Pending,
        attempt: None,
        resends: 0,
        history: History {
            taken: Attempts::NONE,
            refused: Attempts::NONE,
            given_up: Attempts::NONE,
            not_sent: Attempts::NONE,
        },
    };

    /// Whether an attempt was given up as unresolved, and nothing has said since that it reached nobody: no event that SES
    /// dropped it, and not its own worker. Of one that `resends` counts, and the history does not know, nobody can say so.
    #[must_use]
    pub const fn is_unresolved(self) -> bool {
        let History { refused, given_up, not_sent, .. } = self.history;
        given_up.without(refused.and(not_sent)).count() > 0 || self.resends as u32 > given_up.count()
    }

    /// How an email ends that is over and was not sent: an attempt that nobody could resolve may have reached its
    /// recipients, so then nobody may say that it did not.
    #[must_use]
    pub const fn honest(self, end: State) -> State {
        self.unless_accepted(if self.is_unresolved() { State::Unknown } else { end })
    }

    const fn unless_accepted(self, otherwise: State) -> State {
        if self.history.accepted() { State::Sent } else { otherwise }
    }

    fn holds(self, attempt: Attempt) -> bool {
        self.attempt == Some(attempt)
    }

    /// The state that the history leads to, when something new stands in it.
    fn follow(self) -> State {
        let took_current = self.attempt.is_some_and(|attempt| self.history.took(attempt));
        let refused_current = self.attempt.is_some_and(|attempt| self.history.refused.has(attempt));
        match self.state {
            State::Pending | State::Unknown | State::Failed if self.history.accepted() => State::Sent,
            // While another attempt is sending, its own end will see the history.
            State::Sending if took_current => State::Sent,
            State::Sent | State::Sending | State::Unknown if refused_current && !self.history.accepted() => {
                self.honest(State::Failed)
            }
            state => state,
        }
    }
}

/// What can happen to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// A worker takes a row that is due.
    Claim {
        /// The new attempt.
        attempt: Attempt,
    },
    /// A worker writes down what became of its attempt, in time or late, for the first time or again.
    Recorded {
        /// Its own.
        attempt: Attempt,
        /// What it says.
        verdict: Verdict,
    },
    /// The sweep finds that `lease_until` is past.
    LeaseOver,
    /// An event of SES came in, in whatever order.
    Ses {
        /// The attempt in its tags.
        attempt: Attempt,
        /// What it says of the attempt.
        says: Says,
    },
    /// The sweep, by the email's policy, or an operator gives the current attempt up and has the email sent again.
    Resend,
    /// `expires_at` is past, or the email waited for too long.
    Expire,
    /// An operator knows that it arrived, or decides so.
    AssumeSent,
    /// An operator withdraws it.
    Cancel,
    /// An operator begins again with it.
    Retry,
}

/// What a worker says of its attempt. [`store::Verdict`](crate::store::Verdict) has the particulars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// SES took it.
    Accepted,
    /// Certainly not sent, and worth another attempt.
    Retry,
    /// SES was certainly not called.
    Release,
    /// The claim's answer was lost, so SES is not called.
    Withdraw,
    /// Certainly not sent, and never will be.
    Fail,
    /// No recipient may be written to.
    Suppress,
    /// Nobody can know.
    Unknown,
}

impl Verdict {
    /// Whether SES certainly did not take the attempt.
    #[must_use]
    pub const fn is_certain_no(self) -> bool {
        !matches!(self, Self::Accepted | Self::Unknown)
    }
}

/// What an event of SES says of its attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Says {
    /// SES took it.
    Taken,
    /// SES took it and dropped it.
    Refused,
    /// Nothing that a state depends on: a click, say.
    Nothing,
}

/// The row after an event; `None` when nothing changes.
#[must_use]
pub fn after(row: Row, event: Event) -> Option<Row> {
    let mut next = row;
    // What a worker knows about its own attempt is kept, also when the attempt has been given up.
    if let Event::Recorded { attempt, verdict } = event
        && verdict.is_certain_no()
        && row.history.given_up.has(attempt)
    {
        next.history.not_sent = row.history.not_sent.with(attempt);
    }
    match (event, row.state) {
        (Event::Claim { attempt }, State::Pending) if !row.history.accepted() => {
            next.state = State::Sending;
            next.attempt = Some(attempt);
        }
        (Event::Recorded { attempt, verdict: Verdict::Accepted }, state) => {
            use State::{Failed, Pending, Sending, Sent, Unknown};
            let is_open = match state {
                Sending | Sent => true,
                // Not when SES dropped it after all: its event may have been quicker than this.
                Unknown | Pending => !row.history.refused.has(attempt),
                _ => false,
            };
            if row.holds(attempt) && is_open {
                next.state = Sent;
            } else {
                // The attempt had lost its row. What it knows is kept, and moves whatever may still be moved.
                next.history.taken = row.history.taken.with(attempt);
                if next.history.accepted() && matches!(state, Pending | Unknown | Failed) {
                    next.state = Sent;
                }
            }
        }
        (Event::Recorded { attempt, verdict }, State::Sending | State::Unknown) if row.holds(attempt) => {
            next.state = match verdict {
                // What an event already knows is stronger than any verdict.
                _ if row.history.accepted() => State::Sent,
                Verdict::Retry | Verdict::Release | Verdict::Withdraw => State::Pending,
                Verdict::Fail => next.honest(State::Failed),
                Verdict::Suppress => next.honest(State::Suppressed),
                Verdict::Unknown | Verdict::Accepted => State::Unknown,
            };
        }
        (Event::LeaseOver, State::Sending) => next.state = row.unless_accepted(State::Unknown),
        (Event::Ses { attempt, says }, _) => {
            match says {
                Says::Taken => next.history.taken = row.history.taken.with(attempt),
                Says::Refused => next.history.refused = row.history.refused.with(attempt),
                Says::Nothing => return None,
            }
            next.state = next.follow();
        }
        (Event::Resend, State::Unknown) => {
            next.state = row.unless_accepted(State::Pending);
            if let (State::Pending, Some(attempt)) = (next.state, row.attempt) {
                next.resends += 1;
                next.history.given_up = row.history.given_up.with(attempt);
            }
        }
        (Event::Expire, State::Pending) => next.state = row.honest(State::Expired),
        (Event::Cancel, State::Pending) => next.state = row.honest(State::Cancelled),
        (Event::AssumeSent, State::Unknown) => next.state = State::Sent,
        (Event::Retry, State::Failed | State::Expired | State::Cancelled | State::Suppressed) => {
            next.state = row.unless_accepted(State::Pending);
        }
        _ => {}
    }
    (next != row).then_some(next)
}
