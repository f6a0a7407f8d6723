//! The port through which a use case sends: what a provider must be able to say about one call.
//!
//! The three-way answer is the whole point. A provider without an idempotency token can be asked once; afterwards it
//! either took the email, or certainly did not, or nobody can know. Confusing the last two sends an email twice or
//! loses it, so an adapter classifies exactly once and everything behind this port only ever matches on
//! [`SendOutcome`].

use std::{future::Future, time::Duration};

use crate::{email::Email, state::AttemptId};

/// Something that can hand one email to a provider.
///
/// Sending has two steps so that a caller knows on which side of the border a failure lies: whatever goes wrong in
/// [`prepare`](Mailer::prepare), a panic included, the provider was certainly not called.
pub trait Mailer {
    /// A request that is ready to leave.
    type Prepared;

    /// Builds the request. Pure: no I/O.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when this email can never be expressed for the provider (too large once encoded, say).
    fn prepare(&self, email: &Email, attempt: &AttemptId) -> Result<Self::Prepared, Refusal>;

    /// Makes the call, once, bounded by `timeout`. Never repeats a request by itself, and lets none leave when the time is
    /// over: by then the email may be another attempt's.
    fn call(&self, request: Self::Prepared, timeout: Duration) -> impl Future<Output = SendOutcome> + Send;
}

/// What is known after one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// The provider took the email.
    Accepted {
        /// The provider's id of the message.
        message_id: String,
    },
    /// The provider certainly did not take the email.
    NotSent(Refusal),
    /// Nobody can know: the request left and no readable answer came back.
    Unknown(Reason),
}

/// Why an email was certainly not sent, and what follows from that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What follows for the row.
    pub consequence: Consequence,
    /// What to write beside it.
    pub reason: Reason,
}

/// What a refusal means for the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// This email will never be taken: `failed`.
    Permanent,
    /// This email may be taken later: back to `pending`, the attempt counts.
    Later,
    /// Perhaps only this sender is refused, perhaps everybody: back to `pending` for at least this long, the attempt is
    /// given back; three such answers in a row and the lane rests.
    Doubt(Duration),
    /// The account or the path is the cause, not the email: back to `pending`, the attempt is given back, and the
    /// lane rests for at least this long.
    Rest(Duration),
}

/// A short code for machines and a sentence for the producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// `snake_case`, at most 64 characters, stable: goes to `error_kind` and to the log.
    pub kind: &'static str,
    /// One or two sentences for `error_detail`. May quote the provider and name an address, so it never goes to a log.
    pub detail: String,
}

impl Reason {
    /// A reason with its code and sentence.
    pub fn new(kind: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}
