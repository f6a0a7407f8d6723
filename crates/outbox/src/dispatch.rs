//! Doorbells in, emails out: the use case of every function that sends.
//!
//! One call of [`Dispatcher::dispatch`] is one invocation: it opens at most one connection, and closes it on every path.
//! Claims and records go over that connection one after the other; only sends run at the same time. An email is claimed
//! when its send can start, not before, so a lease never runs while waiting for a turn.

mod attempt;
mod content;
mod line;
mod waiting;

use std::{collections::VecDeque, panic::AssertUnwindSafe, sync::Arc, time::Instant};

use doorbell::{Bell, Lane, body::UnreadableBody};
use fastrand::Rng;
use futures_util::FutureExt as _;
use tokio::task::JoinSet;

use self::{
    attempt::{Flight, Landed},
    line::Line,
};
use crate::{config::SendPolicy, mailer::Mailer, store::Database};

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
}

impl<M, B> Dispatcher<M, B>
where
    M: Mailer + Send + Sync + 'static,
    M::Prepared: Send + 'static,
    B: Bell,
{
    /// A dispatcher of these parts.
    pub fn new(database: Database, mailer: M, bell: B, policy: SendPolicy) -> Self {
        Self { database, mailer: Arc::new(mailer), bell, policy }
    }

    /// The bell that it rings again with.
    pub fn bell(&self) -> &B {
        &self.bell
    }

    /// Handles the doorbells of one invocation, which ends at `deadline` at the latest; one answer for each, in order.
    ///
    /// A panic costs what it interrupted and nothing else: the answers that were not given are [`Answer::Again`].
    pub async fn dispatch(&self, doorbells: &[Doorbell], deadline: Instant, dice: &mut Rng) -> Vec<Answer> {
        let mut line = Line::new(&self.database, deadline);
        let mut answers = vec![None; doorbells.len()];
        let work = AssertUnwindSafe(self.work(doorbells, &mut answers, &mut line, dice)).catch_unwind();
        if work.await.is_err() {
            tracing::error!(error.kind = "panic", "the invocation panicked between two emails");
        }
        line.close().await;
        answers.into_iter().map(|answer| answer.unwrap_or(Answer::Again)).collect()
    }

    async fn work(
        &self,
        doorbells: &[Doorbell],
        answers: &mut [Option<Answer>],
        line: &mut Line<'_>,
        dice: &mut Rng,
    ) {
        let mut waiting: VecDeque<usize> = (0..doorbells.len()).collect();
        let mut flights: JoinSet<Landed> = JoinSet::new();
        let mut flying: Vec<Flight> = Vec::new();
        loop {
            while flying.len() < self.policy.concurrency {
                let Some(index) = next(doorbells, answers, &flying, &mut waiting) else { break };
                answers[index] = match &doorbells[index].email_id {
                    Err(unreadable) => {
                        tracing::warn!(error.kind = unreadable.kind(), "doorbell.unreadable");
                        Some(Answer::Again)
                    }
                    Ok(_) if group_failed(doorbells, answers, index) => Some(Answer::Again),
                    Ok(id) => match self.begin(*id, &doorbells[index], line, dice).await {
                        attempt::Begun::Answered(answer) => Some(answer),
                        attempt::Begun::Ready(attempt) => {
                            let mailer = Arc::clone(&self.mailer);
                            let (request, timeout) = (attempt.request, attempt.timeout);
                            // Boxed: the SDK's future has tens of kilobytes, and a task is moved several times.
                            let call = Box::pin(async move { mailer.call(request, timeout).await });
                            let task = flights.spawn(call);
                            flying.push(Flight { index, task: task.id(), attempt: attempt.facts });
                            None
                        }
                    },
                };
            }
            // A task that panicked reports under its id, too.
            let Some(landed) = flights.join_next_with_id().await else { break };
            let (task, outcome) = match landed {
                Ok((task, outcome)) => (task, Some(outcome)),
                Err(panic) => (panic.id(), None),
            };
            if let Some(at) = flying.iter().position(|flight| flight.task == task) {
                let flight = flying.swap_remove(at);
                answers[flight.index] = Some(self.land(flight.attempt, outcome, line, dice).await);
            }
        }
    }
}

/// The next doorbell that may start: one whose group has nothing under way.
fn next(
    doorbells: &[Doorbell],
    answers: &[Option<Answer>],
    flying: &[Flight],
    waiting: &mut VecDeque<usize>,
) -> Option<usize> {
    let free = |index: &usize| {
        let group = doorbells[*index].group.as_ref();
        group.is_none() || !flying.iter().any(|flight| doorbells[flight.index].group.as_ref() == group)
    };
    debug_assert!(waiting.iter().all(|index| answers[*index].is_none()));
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
