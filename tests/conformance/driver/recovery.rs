//! After the fault: doorbells, events, time and sweeps, step by step, until nothing changes any more.

use std::time::Duration;

use stack::runtime_api::Outcome;

use super::Run;
use crate::{
    Failure,
    cell::Events,
    flight,
    queue::{self, Message},
    site::{Part, Row},
};

/// Every lease, back-off and rest is over, and an `unknown` row has waited long enough.
pub(super) const WAITED_OUT: Duration = Duration::from_mins(16);

/// More rounds than any story takes: what still changes then never comes to rest.
const ROUNDS: usize = 12;

/// What must stay the same for a whole round.
#[derive(Debug)]
struct Still {
    row: Row,
    requests: usize,
    told: usize,
}

impl Still {
    fn is_as(&self, before: &Self) -> bool {
        self.row.is_as(&before.row) && (self.requests, self.told) == (before.requests, before.told)
    }
}

impl Run<'_, '_> {
    /// Drives the world until nothing changes.
    pub(super) async fn recover(&mut self, seed: u64) -> Result<(), Failure> {
        self.deliver_due_events().await?;
        if self.cell.comes_back_early(seed) {
            self.give_back().await?;
        }
        self.deliver_doorbells().await?;
        self.deliver_due_events().await?;
        let mut before: Option<Still> = None;
        for _ in 0..ROUNDS {
            self.pass(WAITED_OUT).await?;
            self.sweep().await?;
            self.deliver_doorbells().await?;
            self.deliver_due_events().await?;
            let now = Still {
                row: self.site.row(self.id).await?,
                requests: self.site.ses.request_count(),
                told: self.told.len(),
            };
            let (waiting, delayed) = self.site.queue.depth().await?;
            let is_still = before.as_ref().is_some_and(|before| now.is_as(before));
            if is_still && waiting + delayed + self.in_flight.len() == 0 {
                if self.cell.events != Events::Late || self.over {
                    return Ok(());
                }
                self.over = true;
                self.story.tell("all is quiet; late events come now");
                self.deliver_events().await?;
            }
            before = Some(now);
        }
        self.faults.push(format!("it never came to rest in {ROUNDS} rounds"));
        Ok(())
    }

    /// Time passes: for the table, for what is in flight, and for delayed doorbells.
    pub(super) async fn pass(&mut self, time: Duration) -> Result<(), Failure> {
        self.site.clock.pass(time).await?;
        self.story.tell(format!("{} seconds pass", time.as_secs()));
        let (waiting, delayed) = self.site.queue.depth().await?;
        if delayed > 0 {
            let doorbells = waiting + delayed + self.in_flight.len();
            self.in_flight.clear();
            self.site.queue.purge().await?;
            self.site.queue.ring(&vec![self.id; doorbells]).await?;
            self.story.tell(format!("{delayed} delayed doorbell(s) sound"));
        }
        self.give_back().await
    }

    /// What was in flight can be received again.
    pub(super) async fn give_back(&mut self) -> Result<(), Failure> {
        for message in self.in_flight.drain(..) {
            self.site.queue.give_back(&message).await?;
            self.story.tell("the doorbell comes again");
        }
        Ok(())
    }

    /// Hands every doorbell that is there to the worker that nobody kills, one at a time.
    pub(super) async fn deliver_doorbells(&mut self) -> Result<(), Failure> {
        // A function that rang for itself without a delay would never end.
        for _ in 0..20 {
            let Some(message) = self.site.queue.receive(1).await?.pop() else { return Ok(()) };
            self.deliver(message).await?;
        }
        self.faults.push("doorbells ring for ever".to_owned());
        Ok(())
    }

    async fn deliver(&mut self, message: Message) -> Result<(), Failure> {
        let payload = queue::event(std::slice::from_ref(&message));
        let early_events = self.cell.events == Events::BeforeRecord && !self.withheld;
        let hold = early_events.then(|| self.site.proxy.hold(self.site.subject.record_flight()));
        let Some(spare) = self.site.part(Part::Spare).await? else { return Ok(()) };
        let flight = flight::of(spare.begin(&payload));
        let done = match hold {
            None => flight.await,
            Some(gate) => {
                let ended = tokio::select! {
                    biased;
                    () = gate.reached() => None,
                    done = flight.clone() => Some(done),
                };
                if ended.is_none() {
                    self.deliver_events().await?;
                }
                // Also where nothing came: the next connection may not be held for it.
                gate.release();
                match ended {
                    Some(done) => done,
                    None => flight.await,
                }
            }
        };
        match done {
            Outcome::Response(response) if !message.failed(&response) => {
                self.site.queue.delete(&message).await?;
                let row = self.site.row(self.id).await;
                let row = row.map_or_else(|_| "(no database)".to_owned(), |row| row.text);
                self.story.tell(format!("another worker takes a doorbell; the row: {row}"));
            }
            other => {
                self.story.tell(format!("another worker has no luck with a doorbell: {other:?}"));
                self.in_flight.push(message);
            }
        }
        Ok(())
    }

    /// The sweep runs once.
    pub(super) async fn sweep(&mut self) -> Result<(), Failure> {
        match self.site.run_sweep().await? {
            None => {}
            Some(Outcome::Response(report)) => {
                let row = self.site.row(self.id).await?;
                self.story.tell(format!("the sweep runs: {report}; the row: {}", row.text));
            }
            Some(other) if self.away => self.story.tell(format!("the sweep finds no database: {other:?}")),
            Some(other) => {
                self.faults.push("the sweep failed".to_owned());
                self.story.tell(format!("the sweep fails: {other:?}"));
            }
        }
        Ok(())
    }
}
