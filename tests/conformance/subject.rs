//! Who is examined: what the kit must know of a system to kill its processes and to read its table afterwards.
//!
//! The cells, the driver and the report know no more of sendonce than this. Another system takes part when its worker
//! can be run as a function (a process that polls a Runtime API) and its table can be read with SQL.

use std::fmt;

use stack::runtime_api::Function;

use crate::cell::{Policy, Step};

/// Where the parts of the world are.
#[derive(Debug, Clone)]
pub struct Wiring {
    /// The database, for the workers; through the proxy that holds and cuts.
    pub database_url: String,
    /// The database, for what else runs; through a proxy of its own.
    pub office_url: String,
    /// SES v2.
    pub ses_endpoint: String,
    /// SQS.
    pub sqs_endpoint: String,
    /// The queue of doorbells.
    pub queue_url: String,
    /// Of everything.
    pub region: String,
}

/// Where a step can be seen and held from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The event lies with the process.
    Handed,
    /// This flight of the connection to the database is held on its way there.
    Request(usize),
    /// Its answer is held on its way back.
    Answer(usize),
    /// SES has the request and does not act.
    SesAsked,
    /// SES has acted and does not answer.
    SesTook,
    /// The response is held before it counts.
    Response,
    /// The invocation is over.
    Done,
}

/// How a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It will be worked on.
    Waiting,
    /// Somebody works on it, as far as the table knows.
    Busy,
    /// Its system says that it was sent.
    Sent,
    /// Its system says that it cannot know.
    Unknown,
    /// Its system says that it was not sent and will not be.
    GivenUp,
    /// There is no such row.
    Gone,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting",
            Self::Busy => "busy",
            Self::Sent => "sent",
            Self::Unknown => "unknown",
            Self::GivenUp => "given up",
            Self::Gone => "gone",
        })
    }
}

/// A system that sends emails from a table.
pub trait Subject: Sync {
    /// Its name, in reports.
    fn name(&self) -> &'static str;

    /// Where a step of its hot path can be held; `None`: it has no such step.
    fn place(&self, step: Step) -> Option<Place>;

    /// The flight of a worker's connection that records the result.
    fn record_flight(&self) -> usize;

    /// The process that is given doorbells.
    fn worker(&self, wiring: &Wiring) -> Function;

    /// A worker that waits longer for SES's answer: as long as the kit may hold it while the world goes on.
    fn patient_worker(&self, wiring: &Wiring) -> Function {
        self.worker(wiring)
    }

    /// What runs every minute to repair things, if something does.
    fn sweep(&self, wiring: &Wiring) -> Option<Function>;

    /// What takes SES's events, if something does.
    fn feedback(&self, wiring: &Wiring) -> Option<Function>;

    /// The statements that make its tables; `None`: sendonce's own migrations.
    fn schema(&self) -> Option<String>;

    /// Statements that forget everything that is in the tables.
    fn clean(&self) -> String;

    /// A statement that writes an email to this address.
    fn insert(&self, recipient: &str, policy: Policy) -> String;

    /// A query for one row: its state by name, how often it was sent again on purpose, what tells one attempt from the
    /// next, and anything that helps a reader. Only the last may tell times, which move by themselves.
    fn row(&self, id: u64) -> String;

    /// A query for every row, its id and its state by name, for the mass scenario; `None`: it takes no part in that.
    fn rows(&self) -> Option<String> {
        None
    }

    /// A query for the history of a row, a line each.
    fn history(&self, id: u64) -> Option<String>;

    /// What a state of [`Subject::row`] means.
    fn end(&self, state: &str) -> End;
}
