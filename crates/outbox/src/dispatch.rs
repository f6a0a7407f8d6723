//! Doorbells in, emails out: the use case of every function that sends.
//!
//! One call of [`Dispatcher::dispatch`] is one invocation: it opens at most one connection, and closes it on every path.
//! Claims and records go over that connection one after the other; only sends run at the same time. An email is claimed
//! when its send can start, not before, so a lease never runs while waiting for a turn.

mod attempt;
mod content;
mod flights;
mod landing;
mod waiting;

use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use doorbell::{Bell, Lane, body::UnreadableBody, trace::Trace};
use fastrand::Rng;
use futures_util::FutureExt as _;
use tracing::{Instrument as _, Span};

use self::{
    attempt::Begun,
    flights::{Flight, Flights},
};
use crate::{
    config::SendPolicy,
    line::Line,
    mailer::{Mailer, SendOutcome},
    measure::Metric,
    meter::Meter,
    store::Database,
};

/// One doorbell of an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doorbell {
    /// The email it rings for.
    pub email_id: Result<u64, UnreadableBody>,
    /// The lane whose queue it came through: where to ring again when the row cannot say.
    pub lane: Lane,
    /// How often it was rung in vain.
    pub tries: u32,
    /// Doorbells of one group are handled in order; after a failure the rest of the group is given back.
    pub group: Option<String>,
    /// The trace that it belongs to.
    pub trace: Option<Arc<Trace>>,
}

impl Doorbell {
    /// Around all that is done for it.
    fn span(&self) -> Span {
        Trace::span(self.trace.as_ref())
    }
}

/// What the queue gets for a doorbell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Everything that matters is durable: delete the message.
    Done,
    /// Nothing could be recorded, or nobody can read it: it must come again, and in the end to the dead-letter queue.
    Again,
}

/// Sends emails. Lives as long as its environment; holds no connection between invocations.
#[derive(Debug)]
pub struct Dispatcher<M, B> {
    database: Database,
    mailer: Arc<M>,
    bell: B,
    policy: SendPolicy,
    meter: Meter,
}

impl<M, B> Dispatcher<M, B>
where
    M: Mailer + Send + Sync + 'static,
    M::Prepared: Send + 'static,
    B: Bell,
{
    /// A dispatcher of these parts, which keeps to itself what it measures.
    pub fn new(database: Database, mailer: M, bell: B, policy: SendPolicy) -> Self {
        Self { database, mailer: Arc::new(mailer), bell, policy, meter: Meter::default() }
    }

    /// The same with somebody to tell at the end of an invocation what it measured.
    #[must_use]
    pub fn metered(mut self, meter: Meter) -> Self {
        self.meter = meter;
        self
    }

    /// The bell that it rings again with.
    pub fn bell(&self) -> &B {
        &self.bell
    }

    /// Handles the doorbells of one invocation, which ends at `deadline` at the latest; one answer for each, in order.
    ///
    /// A panic costs the email that it interrupted and nothing else.
    pub async fn dispatch(&self, doorbells: &[Doorbell], deadline: Instant, dice: &mut Rng) -> Vec<Answer> {
        let mut line = Line::new(&self.database, deadline);
        let answers = self.dispatch_on(&mut line, doorbells, dice).await;
        self.meter.write(&line.close().await);
        answers
    }

    /// The same over the connection of an invocation that has other work besides.
    pub(crate) async fn dispatch_on(
        &self,
        line: &mut Line<'_>,
        doorbells: &[Doorbell],
        dice: &mut Rng,
    ) -> Vec<Answer> {
        let mut answers = vec![None; doorbells.len()];
        let mut waiting: VecDeque<usize> = (0..doorbells.len()).collect();
        let mut flights = Flights::default();
        loop {
            // What has landed is recorded before anything else begins, however long that may take.
            while let Some((flight, outcome)) = flights.landed() {
                let index = flight.index;
                answers[index] = Some(self.record(flight, outcome, line, dice).await);
            }
            let may_start = flights.len() < self.policy.concurrency;
            if may_start && let Some(index) = next(doorbells, &flights, &mut waiting) {
                let doorbell = &doorbells[index];
                let span = doorbell.span();
                answers[index] = match &doorbell.email_id {
                    Err(unreadable) => {
                        let _within = span.entered();
                        tracing::warn!(error.kind = unreadable.kind(), "doorbell.unreadable");
                        Some(Answer::Again)
                    }
                    Ok(_) if group_failed(doorbells, &answers, index) => Some(Answer::Again),
                    Ok(id) => {
                        self.start(index, *id, doorbell, &mut flights, line, dice).instrument(span).await
                    }
                };
            } else if let Some((flight, outcome)) = flights.next_landed().await {
                let index = flight.index;
                answers[index] = Some(self.record(flight, outcome, line, dice).await);
            } else {
                break;
            }
        }
        answers.into_iter().map(|answer| answer.unwrap_or(Answer::Again)).collect()
    }

    /// Begins with one doorbell: its answer, or `None` when its send is under way.
    async fn start(
        &self,
        index: usize,
        id: u64,
        doorbell: &Doorbell,
        flights: &mut Flights,
        line: &mut Line<'_>,
        dice: &mut Rng,
    ) -> Option<Answer> {
        match AssertUnwindSafe(self.begin(id, doorbell, line, dice)).catch_unwind().await {
            Ok(Begun::Answered(answer)) => Some(answer),
            Ok(Begun::Ready(ready)) => {
                let mailer = Arc::clone(&self.mailer);
                // Boxed: the SDK's future has tens of kilobytes, and a task is moved several times.
                let call = async move {
                    let began = Instant::now();
                    // Counted from where the lease was looked at, however long this task waited for its turn.
                    let timeout = ready.timeout.saturating_sub(ready.checked_at.elapsed());
                    (mailer.call(ready.request, timeout).await, began.elapsed())
                };
                let call = Box::pin(call.instrument(Span::current()));
                flights.take_off(index, ready.facts, call);
                None
            }
            Err(_) => Some(interrupted(line).await),
        }
    }

    /// Records what came of a send.
    async fn record(
        &self,
        flight: Flight,
        outcome: Option<(SendOutcome, Duration)>,
        line: &mut Line<'_>,
        dice: &mut Rng,
    ) -> Answer {
        let outcome = outcome.map(|(outcome, time)| {
            line.measured.took(Metric::SendMs, time);
            outcome
        });
        let span = flight.attempt.span();
        let landing = AssertUnwindSafe(self.land(flight.attempt, outcome, line, dice)).catch_unwind();
        match landing.instrument(span).await {
            Ok(answer) => answer,
            Err(_) => interrupted(line).await,
        }
    }
}

/// After a panic between claim and record: nobody knows what the connection was in the middle of.
async fn interrupted(line: &mut Line<'_>) -> Answer {
    line.close_session().await;
    Answer::Again
}

/// The next doorbell that may start: one whose group has nothing under way.
fn next(doorbells: &[Doorbell], flights: &Flights, waiting: &mut VecDeque<usize>) -> Option<usize> {
    let free = |index: &usize| {
        let group = doorbells[*index].group.as_ref();
        group.is_none() || !flights.indices().any(|flying| doorbells[flying].group.as_ref() == group)
    };
    let at = waiting.iter().position(free)?;
    waiting.remove(at)
}

/// Whether an earlier doorbell of the same group must come again: then this one may not overtake it.
fn group_failed(doorbells: &[Doorbell], answers: &[Option<Answer>], index: usize) -> bool {
    let group = doorbells[index].group.as_ref();
    group.is_some()
        && (0..index).any(|earlier| {
            answers[earlier] == Some(Answer::Again) && doorbells[earlier].group.as_ref() == group
        })
}
