//! What comes of an invocation.

use std::{process::ExitStatus, time::Duration};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{oneshot, watch};

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The function answered with JSON.
    Response(Value),
    /// The function answered with something that is not JSON.
    Unreadable(Bytes),
    /// The function reported an error.
    Error {
        /// The error's type.
        kind: String,
        /// What it says.
        message: String,
    },
    /// The time was over; the process was killed.
    TimedOut,
    /// The process ended without an answer.
    Died(ExitStatus),
}

/// One invocation, done.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// Its request id.
    pub request_id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// From the moment the event was handed out to the moment the response had arrived; zero when the event was
    /// never handed out.
    pub latency: Duration,
}

impl Invocation {
    pub(super) fn never_handed(request_id: String, outcome: Outcome) -> Self {
        Self { request_id, outcome, latency: Duration::ZERO }
    }

    /// The JSON the function answered with.
    ///
    /// # Panics
    ///
    /// It ended otherwise.
    #[must_use]
    pub fn response(self) -> Value {
        match self.outcome {
            Outcome::Response(value) => value,
            other => panic!("invocation {} has no response but {other:?}", self.request_id),
        }
    }
}

/// An invocation under way. Dropping it does not end the invocation.
#[derive(Debug)]
pub struct InFlight {
    request_id: String,
    outcome: oneshot::Receiver<Invocation>,
    handed: watch::Receiver<bool>,
}

impl InFlight {
    pub(super) fn new(
        request_id: String,
        outcome: oneshot::Receiver<Invocation>,
        handed: watch::Receiver<bool>,
    ) -> Self {
        Self { request_id, outcome, handed }
    }

    /// Its request id.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Waits until the process has been given the event; returns `false` when it ended before.
    pub async fn handed_out(&self) -> bool {
        self.handed.clone().wait_for(|handed| *handed).await.is_ok()
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// The environment was dropped meanwhile.
    pub async fn outcome(self) -> Invocation {
        let Ok(invocation) = self.outcome.await else {
            panic!("the environment was dropped during invocation {}", self.request_id)
        };
        invocation
    }
}

/// Why an environment did not become ready.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The function reported that its initialisation failed.
    #[error("initialisation failed: {kind}: {message}")]
    InitError {
        /// The error's type.
        kind: String,
        /// What it says.
        message: String,
    },
    /// The process ended.
    #[error("the process ended: {0}")]
    Died(ExitStatus),
    /// It did nothing for ten seconds.
    #[error("the process asked for no event within ten seconds")]
    TimedOut,
}
