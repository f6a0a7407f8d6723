//! The sends under way.

use std::{future::Future, pin::Pin, time::Duration};

use tokio::task::{Id, JoinError, JoinSet};

use super::attempt::Attempt;
use crate::mailer::SendOutcome;

/// A send under way.
pub(super) struct Flight {
    /// Its doorbell.
    pub(super) index: usize,
    task: Id,
    /// What the record will need.
    pub(super) attempt: Attempt,
}

/// Sends run as tasks of their own, so that one which panics takes no other with it.
#[derive(Default)]
pub(super) struct Flights {
    tasks: JoinSet<(SendOutcome, Duration)>,
    flying: Vec<Flight>,
}

/// What came of a send, and how long it took; `None`: it panicked, and nobody can know how far it came.
type Landed = (Flight, Option<(SendOutcome, Duration)>);

impl Flights {
    pub(super) fn len(&self) -> usize {
        self.flying.len()
    }

    /// The doorbells whose sends are under way.
    pub(super) fn indices(&self) -> impl Iterator<Item = usize> {
        self.flying.iter().map(|flight| flight.index)
    }

    pub(super) fn take_off(
        &mut self,
        index: usize,
        attempt: Attempt,
        call: Pin<Box<dyn Future<Output = (SendOutcome, Duration)> + Send>>,
    ) {
        let task = self.tasks.spawn(call).id();
        self.flying.push(Flight { index, task, attempt });
    }

    /// One that has landed already.
    pub(super) fn landed(&mut self) -> Option<Landed> {
        let joined = self.tasks.try_join_next_with_id()?;
        self.of_task(joined)
    }

    /// The next that lands; `None` when none is under way.
    pub(super) async fn next_landed(&mut self) -> Option<Landed> {
        let joined = self.tasks.join_next_with_id().await?;
        self.of_task(joined)
    }

    fn of_task(&mut self, joined: Result<(Id, (SendOutcome, Duration)), JoinError>) -> Option<Landed> {
        let (task, outcome) = match joined {
            Ok((task, outcome)) => (task, Some(outcome)),
            Err(panic) => (panic.id(), None),
        };
        let at = self.flying.iter().position(|flight| flight.task == task)?;
        Some((self.flying.swap_remove(at), outcome))
    }
}
