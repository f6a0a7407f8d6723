//! What strikes while the victim is at its step.

use std::time::Duration;

use stack::{
    gate::Gate,
    proxy::How,
    runtime_api::{Environment, Outcome},
    ses::{Fault, Match},
};

use super::{KILLED_AFTER, Run, TOLD, Victim, cut_before_record, reached, recovery::WAITED_OUT};
use crate::{
    Failure,
    cell::{Events, Policy, Step, World},
    flight::{self, Flight},
    queue::{self, Message},
    subject::Place,
};

/// Its lease is over; an `unknown` row has not waited long.
const LEASE_OVER: Duration = Duration::from_mins(2);

/// Every short delay is over, and no lease that has just begun.
const WITHIN_A_LEASE: Duration = Duration::from_secs(40);

/// Of [`super::TOLD_LITTLE`], less what a worker keeps back and what its call wants at least, so much is left to begin with.
const ITS_TIME_IS_OVER: Duration = Duration::from_secs(6);

/// An attempt beside the victim's, held at SES.
struct Another {
    environment: Environment,
    message: Message,
    flight: Flight,
    gate: Gate,
}

impl Run<'_, '_> {
    /// An attempt before the one that is killed: SES took it, and nobody knows.
    pub(super) async fn lose_first_attempt(&mut self) -> Result<(), Failure> {
        self.site.ses.script(Match::Any, 1, Fault::CloseAfterRead { taken: true });
        self.withheld = true;
        self.deliver_doorbells().await?;
        self.withheld = false;
        self.story.tell("a first attempt's answer was lost");
        self.pass(WAITED_OUT).await?;
        self.sweep().await?;
        let row = self.site.row(self.id).await?;
        self.story.tell(format!("it is to be sent again: {}", row.text));
        Ok(())
    }

    /// Kills the victim, or suspends it and lets it go on, in its world.
    pub(super) async fn strike(&mut self, victim: Victim, place: Place) -> Result<(), Failure> {
        match self.cell.world {
            World::Suspended | World::WokenAmid => return self.suspend(victim).await,
            World::OldEvents => {
                if self.cell.events != Events::Late {
                    self.deliver_events().await?;
                }
            }
            World::TwoWorkers => {
                self.site.queue.ring(&[self.id]).await?;
                self.story.tell("a second worker has the same id");
                self.deliver_doorbells().await?;
            }
            World::DatabaseGone if self.cell.step >= Step::SesAsked => {
                self.site.database_away(true).await;
                self.away = true;
                self.story.tell("the database is gone");
            }
            World::DatabaseRestarted => {
                // It must not see the one end before its own.
                victim.environment.suspend().await?;
                self.site.server.kill().await?;
                self.story.tell("the database is killed");
            }
            World::Calm
            | World::AnswerLost
            | World::DatabaseGone
            | World::QueuePurged
            | World::KilledAgain
            | World::DoorbellTimesFive => {}
        }
        self.kill(victim).await;
        match self.cell.world {
            World::KilledAgain => self.kill_the_next(place).await?,
            World::DatabaseRestarted => {
                self.site.server.restart().await?;
                self.story.tell("the database is started again");
            }
            World::DatabaseGone if self.away => self.outage().await?,
            World::DatabaseGone => cut_before_record(self.site),
            World::QueuePurged => {
                self.site.queue.purge().await?;
                self.in_flight.clear();
                self.story.tell("the queue is purged");
            }
            _ => {}
        }
        Ok(())
    }

    async fn kill(&mut self, victim: Victim) {
        let status = victim.environment.kill().await;
        self.story.tell(format!("the worker is killed ({status})\n{}", victim.environment.log_text()));
        // What it had written and the proxy still holds never arrives, or did before: each has a step of its own.
        self.site.proxy.cut_all(How::Reset);
        self.alive_from = self.site.proxy.connections().last().map_or(0, |count| count.id + 1);
    }

    /// The worker that gets the email next comes to the same step, and no further.
    async fn kill_the_next(&mut self, place: Place) -> Result<(), Failure> {
        self.deliver_due_events().await?;
        if self.cell.step > Step::ClaimRequest {
            self.pass(LEASE_OVER).await?;
            self.sweep().await?;
            self.pass(WAITED_OUT).await?;
            self.sweep().await?;
        }
        self.give_back().await?;
        let victim = self.send_victim(place).await?;
        if self.bring_to_step(&victim, place).await? {
            self.story.tell("the next worker is there");
        } else if !self.is_settled() {
            self.faults.push("the kit never brought the next worker to the step".to_owned());
        }
        self.kill(victim).await;
        self.site.ses.clear_scripts();
        Ok(())
    }

    /// An event has said in time that SES took the victim's request: nothing is sent any more.
    fn is_settled(&self) -> bool {
        self.is_taken() && matches!(self.cell.events, Events::OnTime | Events::BeforeRecord)
    }

    /// A doorbell, an event and a sweep find no database; then it is back.
    async fn outage(&mut self) -> Result<(), Failure> {
        self.give_back().await?;
        self.deliver_doorbells().await?;
        self.deliver_due_events().await?;
        self.sweep().await?;
        self.site.database_away(false).await;
        self.away = false;
        self.story.tell("the database is back");
        Ok(())
    }

    /// The victim sleeps past its lease while the world goes on; then it is woken where it was.
    async fn suspend(&mut self, victim: Victim) -> Result<(), Failure> {
        victim.environment.suspend().await?;
        self.story.tell("the worker is suspended");
        if self.outsleeps_its_time() {
            // The one wait in real time; now, since no other worker's call to SES is running out of its own yet.
            tokio::time::sleep(ITS_TIME_IS_OVER).await;
        }
        self.deliver_due_events().await?;
        self.pass(LEASE_OVER).await?;
        self.sweep().await?;
        let is_amid = self.cell.world == World::WokenAmid;
        if !is_amid {
            self.deliver_doorbells().await?;
            self.deliver_due_events().await?;
        }
        if self.cell.policy == Policy::Resend {
            self.pass(WAITED_OUT).await?;
            self.sweep().await?;
        }
        let other = if is_amid { self.begin_another().await? } else { None };
        if !is_amid {
            self.deliver_doorbells().await?;
        }
        self.deliver_due_events().await?;
        self.site.ses.pause(other.is_some() && self.cell.step == Step::SesAsked);
        if let Some(gate) = &victim.gate {
            gate.release();
        }
        victim.environment.resume()?;
        self.story.tell("the worker is woken");
        if self.cell.step != Step::DoorbellKept {
            let done = tokio::time::timeout(KILLED_AFTER, victim.flight).await?;
            self.story.tell(format!("it ends with {done:?}\n{}", victim.environment.log_text()));
        }
        victim.environment.stop().await;
        self.site.ses.pause(false);
        match other {
            Some(other) => self.end_another(other).await,
            None => Ok(()),
        }
    }

    /// Another worker takes the doorbell and comes as far as SES, which holds it. `None`: there is nothing to send.
    async fn begin_another(&mut self) -> Result<Option<Another>, Failure> {
        let gate = Gate::new();
        let fault = if self.is_taken() { Fault::Gate } else { Fault::GateAnswer };
        self.site.ses.script(Match::Any, 1, fault(gate.clone()));
        let environment = self.site.patient_worker().await?;
        while let Some(message) = self.site.queue.receive(1).await?.pop() {
            let flight = flight::of(environment.begin_told(
                &queue::event(std::slice::from_ref(&message)),
                TOLD,
                KILLED_AFTER,
            ));
            if reached(&gate, &flight).await {
                self.story.tell("another worker's request is at SES");
                return Ok(Some(Another { environment, message, flight, gate }));
            }
            self.story.tell("another worker finds nothing to send");
            self.site.queue.delete(&message).await?;
        }
        self.site.ses.clear_scripts();
        if !self.is_settled() {
            self.faults.push("the kit never brought another worker to SES".to_owned());
        }
        Ok(None)
    }

    /// SES answers the other worker: that sending is paused, where the first one's request was taken.
    async fn end_another(&mut self, other: Another) -> Result<(), Failure> {
        // Whatever the victim did to the row, now is the time for a third one to fall for it.
        self.pass(WITHIN_A_LEASE).await?;
        self.deliver_doorbells().await?;
        self.site.ses.pause(self.is_taken());
        other.gate.release();
        let done = other.flight.await;
        self.site.ses.pause(false);
        self.story.tell(format!(
            "the other worker's invocation ends with {done:?}\n{}",
            other.environment.log_text()
        ));
        other.environment.stop().await;
        match done {
            Outcome::Response(response) if !other.message.failed(&response) => {
                // Delayed doorbells may have been let sound meanwhile, and it was purged then.
                let _ = self.site.queue.delete(&other.message).await;
            }
            _ => self.in_flight.push(other.message),
        }
        Ok(())
    }

    /// SES took the victim's request before it was suspended.
    fn is_taken(&self) -> bool {
        matches!(self.cell.step, Step::SesTook | Step::RecordRequest)
    }
}
