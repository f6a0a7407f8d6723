//! The message that rings for an email.
//!
//! A doorbell carries an id and nothing else that matters: MySQL is the truth. Whoever handles one never touches the
//! database from here; this crate has no way to reach one. So what every part of sendonce needs stands here, too: how
//! variables are read and log lines written, and when an invocation ends.

use std::{fmt, future::Future, str::FromStr, sync::Arc, time::Duration};

use self::trace::Trace;

pub mod aws;
pub mod backlog;
pub mod body;
pub mod config;
pub mod deadline;
pub mod presigned;
pub mod rabbitmq;
pub mod ring;
pub mod sqs;
pub mod telemetry;
pub mod trace;

/// One of the two queues: a newsletter in `bulk` never delays a password reset in `urgent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// For what somebody waits for.
    Urgent,
    /// For what nobody waits for.
    Bulk,
}

impl Lane {
    /// The name as stored in `email.lane`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Bulk => "bulk",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Lane {
    type Err = UnknownLane;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "urgent" => Ok(Self::Urgent),
            "bulk" => Ok(Self::Bulk),
            _ => Err(UnknownLane),
        }
    }
}

/// The name is not that of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither urgent nor bulk")]
pub struct UnknownLane;

/// A doorbell to ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    /// `email.id`.
    pub email_id: u64,
    /// The queue to ring through.
    pub lane: Lane,
    /// How long the queue keeps it back; at most 15 minutes, in whole seconds (rounded up).
    pub delay: Duration,
    /// How often it was rung in vain because the row was locked or not there.
    pub tries: u32,
    /// The trace that it belongs to.
    pub trace: Option<Arc<Trace>>,
}

/// The port through which a use case rings.
pub trait Bell {
    /// Rings once.
    ///
    /// # Errors
    ///
    /// [`RingError`] when the queue did not take the message.
    fn ring(&self, ring: Ring) -> impl Future<Output = Result<Rung, RingError>> + Send;

    /// Rings for several; one result for each, in their order.
    fn ring_all(&self, rings: &[Ring]) -> impl Future<Output = Vec<Result<Rung, RingError>>> + Send
    where
        Self: Sync,
    {
        async move {
            let mut results = Vec::with_capacity(rings.len());
            for ring in rings {
                results.push(self.ring(ring.clone()).await);
            }
            results
        }
    }

    /// The lane that a queue of this name serves. Urgent, when it serves none: nobody should wait for a guess.
    fn lane_of_queue(&self, name: &str) -> Lane;

    /// Whether a doorbell that could not even be looked at is given back to where it came from, because it keeps it and
    /// nothing else can be rung on this lane. Otherwise, where there is no queue, its row is left to the sweep.
    fn gives_back(&self, _: Lane) -> bool {
        false
    }
}

/// Whether there was anything to ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// The queue took the message.
    Yes,
    /// The lane has no queue: the sweep finds the row.
    NoQueue,
}

/// The queue did not take a doorbell.
#[derive(Debug, thiserror::Error)]
#[error("the queue of lane {lane} did not take a doorbell")]
pub struct RingError {
    /// The lane.
    pub lane: Lane,
    /// What the queue said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}
