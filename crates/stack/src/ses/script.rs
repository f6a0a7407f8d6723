//! Faults that a test scripts.

use std::time::Duration;

use super::{recorded::Recorded, refusal::SesError};
use crate::gate::Gate;

/// Which requests a script is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// Every one.
    Any,
    /// Those tagged with this `email_id`.
    EmailId(u64),
    /// Those with this recipient: a bare address, compared without case.
    Recipient(String),
}

/// What happens to a request. Where it says `taken`, that is whether SES takes the message; one that SES would
/// refuse anyway is never taken.
#[derive(Clone, Debug)]
pub enum Fault {
    /// An error of the service model. Not taken.
    Refuse(SesError),
    /// Any status and body.
    Status {
        /// The HTTP status.
        code: u16,
        /// The body.
        body: String,
        /// Whether SES takes the message all the same.
        taken: bool,
    },
    /// Taken or refused as usual, after so long.
    Delay(Duration),
    /// Taken or refused as usual, when the gate is released; even if the sender has given up by then.
    Gate(Gate),
    /// Taken or refused as usual; the answer is held until the gate is released.
    GateAnswer(Gate),
    /// Read, and never answered; the connection stays open.
    HangForever {
        /// Whether SES takes the message.
        taken: bool,
    },
    /// The connection is closed when a request begins to arrive, without reading it. Nothing is recorded. Only
    /// [`Match::Any`] can be told before reading; with another match this is a reset after reading. Not taken.
    CloseBeforeRead,
    /// Read; the connection is closed without an answer.
    CloseAfterRead {
        /// Whether SES takes the message.
        taken: bool,
    },
    /// Read; the connection is reset without an answer.
    ResetAfterRead {
        /// Whether SES takes the message.
        taken: bool,
    },
    /// Taken; the connection is closed within the headers of the 200.
    CloseInHeaders,
    /// Taken; the connection is closed within the body of the 200.
    CloseInBody,
    /// Taken; a 200 whose body is no JSON.
    Unreadable200,
    /// Taken; a 200 without a message id.
    NoMessageId200,
    /// Taken; a whole 200 whose JSON ends too early.
    Truncated200,
}

impl Fault {
    /// A bare status without a body, such as 408, 500 or 503. Not taken.
    #[must_use]
    pub fn status(code: u16) -> Self {
        Self::Status { code, body: String::new(), taken: false }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Refuse(error) => error.name(),
            Self::Status { .. } => "Status",
            Self::Delay(_) => "Delay",
            Self::Gate(_) => "Gate",
            Self::GateAnswer(_) => "GateAnswer",
            Self::HangForever { .. } => "HangForever",
            Self::CloseBeforeRead => "CloseBeforeRead",
            Self::CloseAfterRead { .. } => "CloseAfterRead",
            Self::ResetAfterRead { .. } => "ResetAfterRead",
            Self::CloseInHeaders => "CloseInHeaders",
            Self::CloseInBody => "CloseInBody",
            Self::Unreadable200 => "Unreadable200",
            Self::NoMessageId200 => "NoMessageId200",
            Self::Truncated200 => "Truncated200",
        }
    }

    /// Whether SES takes a valid message that meets this fault.
    pub(super) fn takes(&self) -> bool {
        match self {
            Self::Refuse(_) | Self::CloseBeforeRead => false,
            Self::Status { taken, .. }
            | Self::HangForever { taken }
            | Self::CloseAfterRead { taken }
            | Self::ResetAfterRead { taken } => *taken,
            Self::Delay(_)
            | Self::Gate(_)
            | Self::GateAnswer(_)
            | Self::CloseInHeaders
            | Self::CloseInBody
            | Self::Unreadable200
            | Self::NoMessageId200
            | Self::Truncated200 => true,
        }
    }
}

/// The scripts not used up yet; the first that matches is used.
#[derive(Debug, Default)]
pub(super) struct Scripts(Vec<(Match, usize, Fault)>);

impl Scripts {
    pub(super) fn add(&mut self, wanted: Match, times: usize, fault: Fault) {
        if times > 0 {
            self.0.push((wanted, times, fault));
        }
    }

    pub(super) fn take(&mut self, request: &Recorded) -> Option<Fault> {
        let addresses = request.message.addresses();
        self.take_if(|wanted, _| match wanted {
            Match::Any => true,
            Match::EmailId(id) => request.email_id == Some(*id),
            Match::Recipient(address) => addresses.contains(&address.to_lowercase()),
        })
    }

    /// Whether the next request is to be closed unread. A script that would come first stays in front.
    pub(super) fn take_close_before_read(&mut self) -> bool {
        let first = self.0.iter().position(|(wanted, _, _)| *wanted == Match::Any);
        let due = first.is_some_and(|at| matches!(self.0[at].2, Fault::CloseBeforeRead));
        due && self
            .take_if(|wanted, fault| *wanted == Match::Any && matches!(fault, Fault::CloseBeforeRead))
            .is_some()
    }

    pub(super) fn unused(&self) -> usize {
        self.0.len()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn take_if(&mut self, is_it: impl Fn(&Match, &Fault) -> bool) -> Option<Fault> {
        let at = self.0.iter().position(|(wanted, _, fault)| is_it(wanted, fault))?;
        let (_, times, fault) = &mut self.0[at];
        let fault = fault.clone();
        *times -= 1;
        if *times == 0 {
            self.0.remove(at);
        }
        Some(fault)
    }
}
