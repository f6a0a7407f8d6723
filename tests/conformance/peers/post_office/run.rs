//! One trial: the command is brought to a step and killed there, and started again until nothing is queued.

use std::time::Duration;

use stack::{
    gate::Gate,
    proxy::How,
    ses::{Fault, Match},
};

use super::{
    EMAILS, Outcome, Settings, Trial, asks_ses,
    site::{MARK, Process, Site, flight},
};
use crate::{
    Failure,
    cell::{Step, World},
    story::Story,
    subject::End,
};

/// How long the command may take to a step, or to its end. Only what never comes takes so long.
const WITHIN: Duration = Duration::from_mins(1);

/// More runs than any story takes.
const RUNS: usize = 8;

struct Run<'r> {
    site: &'r mut Site,
    trial: Trial,
    story: Story,
}

/// Runs a trial to its end.
pub(super) async fn examine(site: &mut Site, trial: Trial) -> Outcome {
    let mut run = Run { site, trial, story: Story::default() };
    let result = run.whole().await;
    let log = run.site.log_tail();
    let mut outcome = Outcome {
        trial,
        reached: false,
        emails: Vec::new(),
        broken: None,
        story: std::mem::take(&mut run.story),
    };
    match result {
        Ok((reached, emails)) => (outcome.reached, outcome.emails) = (reached, emails),
        Err(error) => {
            // Whatever it left behind must not reach the next trial.
            run.site.proxy.refuse(false).await;
            if run.site.server.pid().is_none() {
                let _ = run.site.server.restart().await;
            }
            outcome.story.tell(format!("the commands wrote last:\n{log}"));
            outcome.broken = Some(error.to_string());
        }
    }
    outcome
}

impl Run<'_> {
    async fn whole(&mut self) -> Result<(bool, Vec<(End, usize)>), Failure> {
        self.site.clean().await?;
        let gate = self.prepare();
        let mut victim = self.site.send_queued_mail(self.trial.settings)?;
        if let (Some(step), Some(gate)) = (self.trial.step, gate) {
            self.bring_to(step, &mut victim, &gate).await?;
            self.strike(step, victim, &gate).await?;
        } else {
            let ended = self.end_of(&mut victim).await?;
            self.story.tell(format!("the command ended with {ended}"));
        }
        self.start_again().await?;
        if self.site.ses.unused_scripts() > 0 {
            return Err("the kit prepared a fault that never happened".into());
        }
        Ok((true, self.site.emails().await?))
    }

    /// Sets up what will hold the process, and the answer that will be lost.
    fn prepare(&self) -> Option<Gate> {
        let Trial { step, world, number, .. } = self.trial;
        let (ses, proxy) = (&self.site.ses, &self.site.proxy);
        let held = step.is_some_and(asks_ses);
        if held || world == World::AnswerLost {
            // Those before it pass as ever. Which email comes when is the command's choice.
            ses.script(Match::Any, number - 1, Fault::Delay(Duration::ZERO));
        }
        let gate = step.and_then(|step| match flight(step) {
            Some((flight, false)) => Some(proxy.hold(flight)),
            Some((flight, true)) => Some(proxy.hold_answer(flight)),
            None => held.then(|| {
                let gate = Gate::new();
                let fault = if step == Step::SesAsked { Fault::Gate } else { Fault::GateAnswer };
                ses.script(Match::Any, self.under_way(), fault(gate.clone()));
                gate
            }),
        });
        if world == World::AnswerLost {
            ses.script(Match::Any, 1, Fault::CloseAfterRead { taken: true });
        }
        gate
    }

    /// How many requests are under way when the one of the trial's number has come.
    fn under_way(&self) -> usize {
        self.trial.settings.threads().min(EMAILS + 1 - self.trial.number)
    }

    /// Waits until the process is there, and sees that it is there.
    async fn bring_to(&mut self, step: Step, victim: &mut Process, gate: &Gate) -> Result<(), Failure> {
        let arrivals = if asks_ses(step) { self.under_way() } else { 1 };
        let arrived = tokio::time::timeout(WITHIN, async {
            tokio::select! {
                () = gate.reached_by(arrivals) => Ok(()),
                ended = victim.ended() => Err(format!("the command ended before {}: {:?}", step.name(), ended)),
            }
        });
        arrived.await.map_err(|_| format!("the command never came to {}", step.name()))??;
        let before = self.trial.number - 1;
        let marked = if self.trial.settings == Settings::BatchesOfOne { before } else { 0 };
        let wanted = match step {
            Step::SesAsked => (before, marked),
            Step::SesTook => (before + self.under_way(), marked),
            Step::RecordRequest => (EMAILS, 0),
            Step::RecordAnswer | Step::Quit => (EMAILS, EMAILS),
            _ => (0, 0),
        };
        let mut seen = self.site.taken_and_marked().await?;
        // Those before the one that is held may be under way in other threads, and nothing says when SES has taken them.
        for _ in 0..200 {
            if seen == wanted {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            seen = self.site.taken_and_marked().await?;
        }
        self.story.tell(format!(
            "the command is at {}: {} emails taken, {} marked",
            step.name(),
            seen.0,
            seen.1
        ));
        let says_goodbye = self.site.proxy.connections().first().is_some_and(|connection| connection.quit);
        // Without batches its first connection is gone by then.
        let is_told_by_it = self.trial.settings == Settings::Defaults;
        if seen == wanted && (!is_told_by_it || says_goodbye == (step == Step::Quit)) {
            Ok(())
        } else {
            Err(format!("{}: {wanted:?} were expected taken and marked, not {seen:?}", step.name()).into())
        }
    }

    /// Kills it, or suspends it and lets it go on, in its world.
    async fn strike(&mut self, step: Step, mut victim: Process, gate: &Gate) -> Result<(), Failure> {
        match self.trial.world {
            World::Suspended => {
                victim.suspend()?;
                self.story.tell("the command is suspended");
                self.start("while it is").await?;
                gate.release();
                victim.resume()?;
                let ended = self.end_of(&mut victim).await?;
                self.story.tell(format!("it is woken, and ends with {ended}"));
                return Ok(());
            }
            World::TwoWorkers => self.start("beside it").await?,
            World::DatabaseGone if step >= Step::SesAsked => {
                self.site.proxy.refuse(true).await;
                self.story.tell("the database is gone");
            }
            _ => {}
        }
        victim.kill().await?;
        self.story.tell("the command is killed");
        // What it had written and the proxy still holds never arrives, or did before: each has a step of its own.
        self.site.proxy.cut_all(How::Reset);
        match self.trial.world {
            World::DatabaseGone if step >= Step::SesAsked => {
                self.start("without a database").await?;
                self.site.proxy.refuse(false).await;
            }
            World::DatabaseGone => self.site.proxy.cut_before_request(MARK),
            World::DatabaseRestarted => {
                self.site.server.kill().await?;
                self.site.server.restart().await?;
                self.story.tell("the database was killed and started again");
            }
            _ => {}
        }
        Ok(())
    }

    /// As cron does, until nothing is queued.
    async fn start_again(&mut self) -> Result<(), Failure> {
        for _ in 0..RUNS {
            if self.site.emails().await?.iter().all(|(end, _)| *end != End::Waiting) {
                return Ok(());
            }
            self.start("by cron").await?;
        }
        Ok(())
    }

    async fn start(&mut self, when: &str) -> Result<(), Failure> {
        let mut process = self.site.send_queued_mail(self.trial.settings)?;
        let ended = self.end_of(&mut process).await?;
        let requests = self.site.ses.request_count();
        self.story
            .tell(format!("another is started {when} and ends with {ended}; {requests} requests so far"));
        Ok(())
    }

    async fn end_of(&self, process: &mut Process) -> Result<std::process::ExitStatus, Failure> {
        let ended = tokio::time::timeout(WITHIN, process.ended()).await;
        ended.map_err(|_| "the command does not end")?
    }
}
