//! SES's events in, states and history out: the use case of the function that listens to SES.
//!
//! One call of [`Feedback::take`] is one invocation: it opens one connection when the first event needs it, and closes it
//! on every path. An event is answered when it is durable, and taking it in twice does no harm, so whatever goes wrong on
//! the way simply comes again. Nothing here trusts an order of arrival: the row follows the history.

mod detail;
pub mod envelope;
pub mod event;

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use fastrand::Rng;
use futures_util::FutureExt as _;

use self::{
    envelope::{Delivery, Letter},
    event::{Reading, SesEvent},
};
use crate::{
    line::Line,
    meter::Meter,
    retry::up_to,
    store::{Database, Event, Followed, Meaning, StoreError},
};

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// All that matters of it is durable, or nothing of it does.
    Done,
    /// It must come again, and in the end to the dead-letter queue.
    Again,
}

/// Takes in SES's events. Lives as long as its environment; holds no connection between invocations.
#[derive(Debug)]
pub struct Feedback {
    database: Database,
    configuration_set: Option<String>,
    meter: Meter,
}

/// Nothing is begun with less than this left: a statement cut off in the middle helps nobody.
const SHORT: Duration = Duration::from_millis(250);
/// Bound of the wait after contention.
const PATIENCE: Duration = Duration::from_millis(50);

impl Feedback {
    /// Of this database. With a configuration set, events of others are none of its business.
    #[must_use]
    pub fn new(database: Database, configuration_set: Option<String>) -> Self {
        Self { database, configuration_set, meter: Meter::default() }
    }

    /// The same with somebody to tell at the end of an invocation what it measured.
    #[must_use]
    pub fn metered(mut self, meter: Meter) -> Self {
        self.meter = meter;
        self
    }

    /// Takes in the deliveries of one invocation, which ends at `deadline` at the latest; one answer for each, in order.
    ///
    /// A panic costs the delivery that it interrupted and nothing else.
    pub async fn take(&self, deliveries: Vec<Delivery>, deadline: Instant, dice: &mut Rng) -> Vec<Answer> {
        let mut line = Line::new(&self.database, deadline);
        let mut answers = Vec::with_capacity(deliveries.len());
        // Connections lost one after the other: a third would hardly fare better.
        let mut breaks = 0;
        for delivery in deliveries {
            let one = AssertUnwindSafe(self.one(delivery, &mut line, &mut breaks, dice)).catch_unwind().await;
            if one.is_err() {
                // Nobody knows what the connection was in the middle of.
                line.close_session().await;
            }
            answers.push(one.unwrap_or(Answer::Again));
        }
        self.meter.write(&line.close().await);
        answers
    }

    async fn one(&self, delivery: Delivery, line: &mut Line<'_>, breaks: &mut u8, dice: &mut Rng) -> Answer {
        let event = match delivery.read() {
            Ok(Letter::Event(event)) => event,
            Ok(Letter::Notice(notice)) => {
                tracing::info!(notice.kind = notice.as_str(), "feedback.notice");
                return Answer::Done;
            }
            Ok(Letter::Other(name)) => {
                tracing::warn!(event.kind = loggable(&name), "feedback.unknown_type");
                return Answer::Done;
            }
            Err(unreadable) => {
                tracing::warn!(error.kind = unreadable.kind(), "feedback.unreadable");
                return Answer::Again;
            }
        };
        let event = match event::read(&event) {
            Reading::Ours(event) => event,
            Reading::NotOurs(kind) => {
                tracing::debug!(event.kind = kind.as_str(), "feedback.not_ours");
                return Answer::Done;
            }
            Reading::UnknownType(name) => {
                tracing::warn!(event.kind = loggable(&name), "feedback.unknown_type");
                return Answer::Done;
            }
        };
        if let (Some(ours), Some(theirs)) = (&self.configuration_set, &event.configuration_set)
            && ours != theirs
        {
            // Another deployment counts its emails from 1, too.
            tracing::debug!(event.kind = event.kind.as_str(), "feedback.other_configuration_set");
            return Answer::Done;
        }
        // Suppressions (of bounces and complaints) will be written here, before the event that they follow from: what comes
        // again then writes both.
        self.keep(&event, line, breaks, dice).await
    }

    /// Writes one event down.
    async fn keep(&self, event: &SesEvent, line: &mut Line<'_>, breaks: &mut u8, dice: &mut Rng) -> Answer {
        let kind = event.kind.as_str();
        if line.given_up() || *breaks > 1 {
            // No database for the one before it: said once.
            return Answer::Again;
        }
        let left = line.deadline().saturating_duration_since(Instant::now());
        if left.is_zero() || left < SHORT.min(line.budget() / 4) {
            tracing::warn!(email_id = event.email_id, "invocation.short_of_time");
            return Answer::Again;
        }
        match write(event, line, dice).await {
            Ok(followed) => {
                *breaks = 0;
                if let Some(Followed { state, has_moved: true }) = followed {
                    line.measured.entered(state);
                }
                let state = followed.map_or("gone", |followed| followed.state.as_str());
                tracing::info!(
                    email_id = event.email_id,
                    attempt_id = %event.attempt,
                    event.kind = kind,
                    state,
                    "feedback.taken"
                );
                Answer::Done
            }
            Err(error) => {
                *breaks += u8::from(error.ends_session());
                tracing::error!(
                    email_id = event.email_id,
                    attempt_id = %event.attempt,
                    event.kind = kind,
                    error.kind = error.kind(),
                    error.detail = %error,
                    "feedback.failed"
                );
                Answer::Again
            }
        }
    }
}

/// Contention is waited out until the deadline; a connection that broke is replaced once.
async fn write(
    event: &SesEvent,
    line: &mut Line<'_>,
    dice: &mut Rng,
) -> Result<Option<Followed>, StoreError> {
    let row = Event {
        id: event.email_id,
        attempt: &event.attempt,
        kind: event.kind.as_str(),
        meaning: meaning(event),
        at: event.at.as_deref(),
        taken_at: event.taken_at.as_deref(),
        message_id: event.message_id.as_deref(),
        identity: &event.identity,
        detail: &event.detail,
    };
    let deadline = line.deadline();
    let mut replaced = false;
    loop {
        let error = match line.session().await?.take_event(row, deadline).await {
            Ok(followed) => return Ok(followed),
            Err(error) => error,
        };
        line.heal(&error).await;
        let patience = match &error {
            contended if contended.is_contended() => up_to(PATIENCE, dice),
            // Whoever does not answer would not answer the next one sooner: somebody holds the row.
            StoreError::TimedOut(_) => return Err(error),
            broken if broken.ends_session() && !replaced => {
                replaced = true;
                Duration::ZERO
            }
            _ => return Err(error),
        };
        if Instant::now() + patience >= deadline {
            return Err(error);
        }
        tokio::time::sleep(patience).await;
    }
}

fn meaning(event: &SesEvent) -> Meaning<'_> {
    use self::event::EventKind as Kind;
    match (event.kind, &event.refusal) {
        (_, Some(reason)) => Meaning::Dropped(reason),
        (Kind::Subscription | Kind::Open | Kind::Click, None) => Meaning::Nothing,
        _ => Meaning::Taken,
    }
}

/// A type's name comes from outside, and whatever it is, it stays short and plain in a log.
fn loggable(name: &str) -> &str {
    let plain = name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ');
    if plain { name } else { "unreadable" }
}
