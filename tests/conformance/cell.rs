//! The cells: where a process is killed, in what world, with which of SES's events, under which policy.
//!
//! The enums are the one list of what the kit does: a step added here must be answered for in every match, and the kit
//! fails when a run that should have hit it did not.

#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use crate::expect;

/// A place on the way of one email, in order; where its process is killed or suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// The event has been handed to the process, which has done nothing with it.
    EventHanded,
    /// The login has been written and has not arrived at the database.
    LoginRequest,
    /// The database has let it in and has not been heard.
    LoginAnswer,
    /// The claim has been written and has not arrived.
    ClaimRequest,
    /// The claim has been made and its answer has not been heard.
    ClaimAnswer,
    /// The request has arrived at SES, which has not taken the message.
    SesAsked,
    /// SES has taken the message, and its answer has not been heard.
    SesTook,
    /// The record has been written and has not arrived at the database.
    RecordRequest,
    /// The record has been made and its answer has not been heard.
    RecordAnswer,
    /// COM_QUIT has been written and has not arrived.
    Quit,
    /// The response has been given to Lambda, which has not taken it.
    Response,
    /// Lambda has the response, and whoever polls the queue has not deleted the message.
    DoorbellKept,
}

/// What else goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum World {
    /// Nothing.
    Calm,
    /// SES takes the message and the answer is lost: of the attempt killed where it comes that far, else of the next one.
    AnswerLost,
    /// The database goes away when the process is killed and comes back later. A kill before SES is asked: the next
    /// attempt loses its connection before its record.
    DatabaseGone,
    /// The database is killed in the same moment and started again.
    DatabaseRestarted,
    /// The queue is purged after the kill: no doorbell comes again by itself.
    QueuePurged,
    /// The doorbell was doubled five times.
    DoorbellTimesFive,
    /// The next worker is killed at the same step.
    KilledAgain,
    /// A second worker has the same id while the first is held, which is killed afterwards.
    TwoWorkers,
    /// The process is not killed but suspended until its lease is over, the sweep has run and, under `resend`, another
    /// attempt was made; then it goes on.
    Suspended,
    /// The same, but it goes on while another attempt is at SES. What SES says to one of the two is that sending is
    /// paused: to the first if SES had not taken it yet, else to the other.
    WokenAmid,
    /// An earlier attempt's answer was lost, the email was sent again, and the old attempt's event arrives while the new
    /// one, which is killed, is at the step. Only under `resend`. With late events the old one's is the only one, and comes
    /// when all else is over.
    OldEvents,
}

/// When SES's Send events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Events {
    /// Never.
    Off,
    /// As soon as the process is dead, before any time has passed.
    OnTime,
    /// When everything else is over: after the resend where there is one.
    Late,
    /// Before the record of the result can arrive at the database.
    BeforeRecord,
}

/// The email's `on_unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Policy {
    /// `hold`.
    Hold,
    /// `resend`.
    Resend,
}

impl Step {
    /// All of them, in the order of the hot path.
    pub const ALL: [Self; 12] = [
        Self::EventHanded,
        Self::LoginRequest,
        Self::LoginAnswer,
        Self::ClaimRequest,
        Self::ClaimAnswer,
        Self::SesAsked,
        Self::SesTook,
        Self::RecordRequest,
        Self::RecordAnswer,
        Self::Quit,
        Self::Response,
        Self::DoorbellKept,
    ];

    /// Its name in a cell's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EventHanded => "event_handed",
            Self::LoginRequest => "login_request",
            Self::LoginAnswer => "login_answer",
            Self::ClaimRequest => "claim_request",
            Self::ClaimAnswer => "claim_answer",
            Self::SesAsked => "ses_asked",
            Self::SesTook => "ses_took",
            Self::RecordRequest => "record_request",
            Self::RecordAnswer => "record_answer",
            Self::Quit => "quit",
            Self::Response => "response",
            Self::DoorbellKept => "doorbell_kept",
        }
    }

    /// What it is, for people.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::EventHanded => "the event is handed over, nothing done",
            Self::LoginRequest => "the login is on its way to the database",
            Self::LoginAnswer => "the login's answer is on its way back",
            Self::ClaimRequest => "the claim is on its way to the database",
            Self::ClaimAnswer => "the row is claimed, the answer on its way back",
            Self::SesAsked => "the request is at SES, not taken",
            Self::SesTook => "SES took it, the answer on its way back",
            Self::RecordRequest => "the record is on its way to the database",
            Self::RecordAnswer => "the record is made, the answer on its way back",
            Self::Quit => "COM_QUIT is on its way",
            Self::Response => "the response is on its way to Lambda",
            Self::DoorbellKept => "all is done, the message not deleted",
        }
    }
}

impl World {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Calm,
        Self::AnswerLost,
        Self::DatabaseGone,
        Self::DatabaseRestarted,
        Self::QueuePurged,
        Self::DoorbellTimesFive,
        Self::KilledAgain,
        Self::TwoWorkers,
        Self::Suspended,
        Self::WokenAmid,
        Self::OldEvents,
    ];

    /// Its name in a cell's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::AnswerLost => "answer_lost",
            Self::DatabaseGone => "database_gone",
            Self::DatabaseRestarted => "database_restarted",
            Self::QueuePurged => "queue_purged",
            Self::DoorbellTimesFive => "doorbell_x5",
            Self::KilledAgain => "killed_again",
            Self::TwoWorkers => "two_workers",
            Self::Suspended => "suspended",
            Self::WokenAmid => "woken_amid",
            Self::OldEvents => "old_events",
        }
    }

    /// What else goes wrong, for people.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Calm => "nothing",
            Self::AnswerLost => "SES takes the message and its answer is lost",
            Self::DatabaseGone => "the database goes away before the record and comes back later",
            Self::DatabaseRestarted => "the database is killed in the same moment and started again",
            Self::QueuePurged => "the queue is purged after the kill",
            Self::DoorbellTimesFive => "the doorbell was doubled five times",
            Self::KilledAgain => {
                "the next worker is killed at the same step, after the resend where there is one"
            }
            Self::TwoWorkers => {
                "a second worker has the same id while the first is held, which is killed then"
            }
            Self::Suspended => {
                "the worker is suspended past its lease and woken after the sweep and, under `resend`, after another attempt"
            }
            Self::WokenAmid => {
                "the same, but woken while another attempt is at SES, which refuses one of the two"
            }
            Self::OldEvents => {
                "an old attempt's event arrives after the resend, while the new attempt is at the step"
            }
        }
    }
}

impl Events {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Off, Self::OnTime, Self::Late, Self::BeforeRecord];

    /// Its name in a cell's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "events_off",
            Self::OnTime => "events_on_time",
            Self::Late => "events_late",
            Self::BeforeRecord => "events_before_record",
        }
    }
}

impl Policy {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Hold, Self::Resend];

    /// Its name, in a cell's name and in the column.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Resend => "resend",
        }
    }
}

/// One kill, or one suspension, and all around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    /// Where.
    pub step: Step,
    /// In what world.
    pub world: World,
    /// With which events.
    pub events: Events,
    /// Under which policy.
    pub policy: Policy,
}

impl Cell {
    /// Every cell there is.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for step in Step::ALL {
            for world in World::ALL {
                for events in Events::ALL {
                    for policy in Policy::ALL {
                        all.push(Self { step, world, events, policy });
                    }
                }
            }
        }
        all.retain(|cell| cell.exists());
        all
    }

    /// Whether the combination means anything: under `hold` nothing that was claimed is sent again, and what is recorded
    /// is not under either.
    fn exists(self) -> bool {
        match self.world {
            World::OldEvents => self.policy == Policy::Resend,
            World::WokenAmid | World::KilledAgain if self.policy == Policy::Hold => {
                self.step <= Step::ClaimRequest
            }
            World::WokenAmid | World::KilledAgain => self.step <= Step::RecordRequest,
            _ => true,
        }
    }

    /// A selection that has every step in the calm world, every world, all events and both policies, in few cells.
    #[must_use]
    pub fn some() -> Vec<Self> {
        let mut some = Vec::new();
        for (number, step) in Step::ALL.into_iter().enumerate() {
            let policy = Policy::ALL[(number + number / 4) % 2];
            some.push(Self { step, world: World::Calm, events: Events::ALL[number % 4], policy });
        }
        // Where SES may have the message and nobody knows, every world in full; elsewhere one of each.
        for (number, world) in World::ALL.into_iter().enumerate().skip(1) {
            let early = Step::ALL[number % 5];
            let late = Step::ALL[8 + number % 4];
            for (step, events, policy) in [
                (early, Events::ALL[number % 4], Policy::Resend),
                (Step::SesTook, Events::Off, Policy::Hold),
                (Step::SesTook, Events::Late, Policy::Resend),
                (Step::RecordRequest, Events::BeforeRecord, Policy::Resend),
                (late, Events::OnTime, Policy::Hold),
            ] {
                let policy = if world == World::OldEvents { Policy::Resend } else { policy };
                some.push(Self { step, world, events, policy });
            }
        }
        for (step, world) in [
            (Step::ClaimAnswer, World::Suspended),
            (Step::ClaimAnswer, World::WokenAmid),
            (Step::SesAsked, World::WokenAmid),
        ] {
            some.push(Self { step, world, events: Events::Off, policy: Policy::Resend });
        }
        some.retain(|cell| cell.exists());
        some.sort_unstable();
        some.dedup();
        some
    }

    /// Whether a doorbell in flight comes back before any time has passed, or only later: each cell, and each seed, as
    /// the dice fall, the same every time.
    pub(crate) fn comes_back_early(self, seed: u64) -> bool {
        let mut text = seed;
        for byte in self.to_string().bytes() {
            text = text.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte);
        }
        fastrand::Rng::with_seed(text).bool()
    }

    /// What may come of it: see [`expect`].
    pub(crate) fn may_be_taken_twice(self) -> bool {
        expect::may_be_taken_twice(self)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, world, events, policy } = self;
        write!(f, "{}/{}/{}/{}", step.name(), world.name(), events.name(), policy.name())
    }
}

/// The text names no cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoSuchCell(String);

impl fmt::Display for NoSuchCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "there is no cell {}; a name is STEP/WORLD/EVENTS/POLICY, such as ses_took/calm/events_late/hold",
            self.0
        )
    }
}

impl std::error::Error for NoSuchCell {}

impl FromStr for Cell {
    type Err = NoSuchCell;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::all()
            .into_iter()
            .find(|cell| cell.to_string() == name)
            .ok_or_else(|| NoSuchCell(name.to_owned()))
    }
}
