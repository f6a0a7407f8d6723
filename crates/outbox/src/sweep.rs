//! What nobody rings for, and what nobody came back from: the use case of `functions/sweep`, once a minute.
//!
//! The queue is only a doorbell. Whatever happened to it, every waiting row is found here: rung for when its doorbell is
//! overdue, or sent from here when there is no queue to ring, or ended when its time is over. A `sending` row whose lease
//! ran out is `unknown`, and an `unknown` one is sent again only where its owner asked for that.
//!
//! A run is bounded in rows and in time; what is left is the next run's. Two at once do no harm: every change repeats its
//! conditions, and skips a row that somebody holds.

mod bell;
mod report;

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use doorbell::{Bell, Lane, Ring, Rung};
use fastrand::Rng;
use futures_util::FutureExt as _;

use self::bell::MutedBell;
pub use self::report::Report;
use crate::{
    config::SendPolicy,
    dispatch::{Dispatcher, Doorbell},
    line::Line,
    mailer::Mailer,
    measure::Metric,
    meter::Meter,
    state::State,
    store::{Chore, Chored, Database, Overdue, Part, Session, StoreError, Survey, SweepRules},
};

/// Rows of one kind that one look at the table takes.
const PAGE: u32 = 1_000;
/// Looks that one run takes at one part of the table.
const PAGES: u32 = 10;
/// Chores of one round trip.
const AT_ONCE: usize = 20;
/// Emails that one run sends itself when a queue cannot be rung: enough to keep password resets moving, few enough for the
/// next run to try the queue again.
const SENT_DIRECTLY: usize = 200;
/// Emails that one run sends itself where a lane has no queue.
const SENT_WITHOUT_QUEUE: usize = 5_000;
/// Of a run's time, what is kept for rows that have to be let go again.
const LAST_MOMENTS: Duration = Duration::from_secs(3);

/// Looks after what waits. Lives as long as its environment; holds no connection between invocations.
#[derive(Debug)]
pub struct Sweeper<M, B> {
    database: Database,
    dispatcher: Dispatcher<M, MutedBell<B>>,
    rules: SweepRules,
    meter: Meter,
}

/// What a sweep would find: the counts of a dry run.
///
/// # Errors
///
/// Any of [`StoreError`].
pub async fn survey(
    session: &mut Session,
    rules: &SweepRules,
    deadline: Instant,
) -> Result<Report, StoreError> {
    let mut report = Report { dry_run: true, ..Report::default() };
    for part in Part::ALL {
        report.foresee(&session.survey(part, rules, PAGE, deadline).await?, rules);
    }
    Ok(report)
}

impl<M, B> Sweeper<M, B>
where
    M: Mailer + Send + Sync + 'static,
    M::Prepared: Send + 'static,
    B: Bell + Sync,
{
    /// A sweeper of these parts: it rings, and where need be it sends.
    pub fn new(database: Database, mailer: M, bell: B, policy: SendPolicy, rules: SweepRules) -> Self {
        let dispatcher = Dispatcher::new(database.clone(), mailer, MutedBell::of(bell), policy);
        Self { database, dispatcher, rules, meter: Meter::default() }
    }

    /// The same with somebody to tell at the end of a run what it measured.
    #[must_use]
    pub fn metered(mut self, meter: Meter) -> Self {
        self.meter = meter;
        self
    }

    /// The bell that it rings.
    pub fn bell(&self) -> &B {
        self.dispatcher.bell().inner()
    }

    /// Looks, and changes nothing.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`].
    pub async fn dry_run(&self, deadline: Instant) -> Result<Report, StoreError> {
        let mut line = Line::new(&self.database, deadline);
        let deadline = line.deadline();
        let report = match line.session().await {
            Ok(session) => survey(session, &self.rules, deadline).await,
            Err(error) => Err(error),
        };
        line.close().await;
        match &report {
            Ok(report) => report.log(),
            Err(error) => {
                tracing::error!(error.kind = error.kind(), error.detail = %error, "sweep.failed");
            }
        }
        report
    }

    /// One run.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`]: what was done until then stays done, and the next run goes on from there.
    pub async fn sweep(&self, deadline: Instant, dice: &mut Rng) -> Result<Report, StoreError> {
        let mut line = Line::new(&self.database, deadline);
        let mut report = Report::default();
        self.dispatcher.bell().unmute();
        // A panic must not leave the connection open.
        let swept = AssertUnwindSafe(self.run(&mut line, &mut report, dice)).catch_unwind().await;
        self.meter.write(&line.close().await);
        match swept {
            // What failed was logged where it was gone past.
            Ok(result) => result.map(|()| {
                report.log();
                report
            }),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Every part of the table, whatever became of the one before; the first failure is told in the end.
    async fn run(&self, line: &mut Line<'_>, report: &mut Report, dice: &mut Rng) -> Result<(), StoreError> {
        let mut failed = Ok(());
        for part in Part::ALL {
            if let Err(error) = self.part(part, line, report, dice).await {
                report.is_cut_off = true;
                tracing::error!(part = ?part, error.kind = error.kind(), error.detail = %error, "sweep.failed");
                line.heal(&error).await;
                failed = failed.and(Err(error));
                if line.given_up() {
                    break;
                }
            }
        }
        report.unreachable_queues = self.dispatcher.bell().muted();
        failed
    }

    async fn part(
        &self,
        part: Part,
        line: &mut Line<'_>,
        report: &mut Report,
        dice: &mut Rng,
    ) -> Result<(), StoreError> {
        let mut has_looked = part != Part::Attempts;
        for _ in 0..PAGES {
            if !has_time(line) {
                report.is_cut_off = true;
                return Ok(());
            }
            let deadline = line.deadline();
            let survey = line.session().await?.survey(part, &self.rules, PAGE, deadline).await?;
            if let Some(age) = survey.oldest_due {
                report.oldest_due_s = Some(age.as_secs());
            }
            if !has_looked {
                gauge(&survey, line);
                has_looked = true;
            }
            let is_cut_off = survey.is_cut_off;
            let changed = self.page(survey, line, report, dice).await?;
            // A page that changed nothing would look the same again: somebody holds these rows.
            if !is_cut_off || !changed {
                report.is_cut_off |= is_cut_off;
                return Ok(());
            }
        }
        report.is_cut_off = true;
        Ok(())
    }

    /// Does what one look found; whether anything changed.
    async fn page(
        &self,
        survey: Survey,
        line: &mut Line<'_>,
        report: &mut Report,
        dice: &mut Rng,
    ) -> Result<bool, StoreError> {
        let mut changed = false;
        let mut to_send = Vec::new();
        for some in survey.overdue.chunks(AT_ONCE) {
            if !has_time(line) {
                report.is_cut_off = true;
                return Ok(changed);
            }
            // Where no queue takes a doorbell, the row is claimed as it is.
            let (direct, chores): (Vec<_>, Vec<_>) = some.iter().cloned().partition(|overdue| {
                matches!(overdue.chore, Chore::Ring { .. }) && !self.may_ring(overdue.lane())
            });
            to_send.extend(direct.iter().filter(|overdue| overdue.is_due()).map(Overdue::doorbell));
            let outcomes = self.chores(&chores, line).await?;
            let mut rings = Vec::new();
            for (overdue, outcome) in chores.iter().zip(outcomes) {
                changed |= outcome != Chored::Left;
                report.count(overdue, outcome);
                measure(overdue, outcome, line);
                match (&overdue.chore, outcome) {
                    (Chore::Ring { delay, .. }, Chored::Rung) => rings.push(overdue.ring(*delay)),
                    (_, Chored::Moved(State::Pending)) => rings.push(overdue.ring(Duration::ZERO)),
                    _ => {}
                }
            }
            to_send.extend(self.ring(&rings, line, report).await);
        }
        let sent = self.send(to_send, line, report, dice).await;
        Ok(changed || sent)
    }

    /// Does chores; where they cannot be done together, one by one, so that a row which the server refuses to touch keeps
    /// the sweep from no other.
    async fn chores(&self, chores: &[Overdue], line: &mut Line<'_>) -> Result<Vec<Chored>, StoreError> {
        if chores.is_empty() {
            return Ok(Vec::new());
        }
        let deadline = line.deadline();
        match line.session().await?.chore(chores, &self.rules, deadline).await {
            Err(error) if !error.ends_session() => {}
            other => return other,
        }
        let mut outcomes = Vec::with_capacity(chores.len());
        for overdue in chores {
            let one = line.session().await?.chore(std::slice::from_ref(overdue), &self.rules, deadline).await;
            outcomes.push(match (one, &overdue.chore) {
                // Its `rung_at` may have been moved before the others failed: a doorbell too many does no harm.
                (Ok(done), Chore::Ring { .. }) if done == [Chored::Left] => Chored::Rung,
                (Ok(done), _) => done[0],
                (Err(error), _) if error.ends_session() => return Err(error),
                (Err(error), _) => {
                    tracing::error!(email_id = overdue.id, error.kind = error.kind(), error.detail = %error, "sweep.row_failed");
                    Chored::Left
                }
            });
        }
        Ok(outcomes)
    }

    fn may_ring(&self, lane: Lane) -> bool {
        let has_queue = match lane {
            Lane::Urgent => self.rules.urgent_has_queue,
            Lane::Bulk => self.rules.bulk_has_queue,
        };
        has_queue && !self.dispatcher.bell().is_muted(lane)
    }

    /// Rings for rows whose `rung_at` says so already; what could not be rung for is let go, and returned to be sent.
    async fn ring(&self, rings: &[Ring], line: &mut Line<'_>, report: &mut Report) -> Vec<Doorbell> {
        if rings.is_empty() {
            return Vec::new();
        }
        let left = line.deadline().saturating_duration_since(Instant::now()).saturating_sub(LAST_MOMENTS);
        let results = tokio::time::timeout(left, self.dispatcher.bell().ring_all(rings)).await;
        let results = results.unwrap_or_else(|_| {
            tracing::error!(error.kind = "queue_slow", doorbells = rings.len(), "sweep.not_rung");
            rings.iter().map(|_| Ok(Rung::NoQueue)).collect()
        });
        for lane in [Lane::Urgent, Lane::Bulk] {
            let of_lane = || rings.iter().zip(&results).filter(|(ring, _)| ring.lane == lane);
            // A queue that takes some of a batch can be reached.
            if let Some((_, Err(error))) = of_lane().find(|(_, result)| result.is_err())
                && !of_lane().any(|(_, result)| matches!(result, Ok(Rung::Yes)))
            {
                tracing::error!(lane = %lane, error.kind = "queue_unreachable", error.detail = %error, "sweep.not_rung");
                self.dispatcher.bell().mute(lane);
            }
        }
        let mut not_rung = Vec::new();
        for (ring, result) in rings.iter().zip(&results) {
            if matches!(result, Ok(Rung::Yes)) {
                report.rung += 1;
            } else {
                not_rung.push(ring.clone());
            }
        }
        let deadline = line.deadline();
        let ids: Vec<u64> = not_rung.iter().map(|ring| ring.email_id).collect();
        if !ids.is_empty()
            && let Ok(session) = line.session().await
            && let Err(error) = session.unring(&ids, deadline).await
        {
            // They are rung for when the time of that doorbell is over.
            line.heal(&error).await;
        }
        let to_send = not_rung.iter().filter(|ring| ring.delay.is_zero() && !self.may_ring(ring.lane));
        to_send.map(|ring| doorbell(ring.email_id, ring.lane)).collect()
    }

    /// Sends emails from here; whether there was one.
    async fn send(
        &self,
        doorbells: Vec<Doorbell>,
        line: &mut Line<'_>,
        report: &mut Report,
        dice: &mut Rng,
    ) -> bool {
        let mut any = false;
        for some in doorbells.chunks(AT_ONCE) {
            let muted = self.dispatcher.bell().muted();
            let limit = if muted.is_empty() { SENT_WITHOUT_QUEUE } else { SENT_DIRECTLY };
            if report.dispatched >= limit || !self.dispatcher.has_time(line) {
                report.is_cut_off = true;
                break;
            }
            any = true;
            report.dispatched += some.len();
            self.dispatcher.dispatch_on(line, some, dice).await;
        }
        any
    }
}

/// What waits, as the run found it. Also where nothing does: an alarm is about nobody looking.
fn gauge(survey: &Survey, line: &mut Line<'_>) {
    let oldest = survey.oldest_due.unwrap_or_default();
    line.measured.value(Metric::OldestDueSeconds, oldest.as_secs_f64().floor());
    line.measured.value(Metric::UnknownEmails, survey.unknown.into());
}

/// Counts where a chore took an email.
fn measure(overdue: &Overdue, outcome: Chored, line: &mut Line<'_>) {
    match (&overdue.chore, outcome) {
        (Chore::Resend { .. }, Chored::Moved(State::Pending)) => line.measured.count(Metric::Retries),
        (_, Chored::Moved(state)) => line.measured.entered(state),
        (_, Chored::Rung | Chored::Left) => {}
    }
}

/// Whether there is time for another round trip or two.
fn has_time(line: &Line<'_>) -> bool {
    line.deadline().saturating_duration_since(Instant::now()) > LAST_MOMENTS
}

fn doorbell(id: u64, lane: Lane) -> Doorbell {
    Doorbell { email_id: Ok(id), lane, tries: 0, group: None, trace: None }
}

impl Overdue {
    /// The lane to ring through; a row with an unknown one is failed by whoever claims it.
    fn lane(&self) -> Lane {
        self.lane.parse().unwrap_or(Lane::Urgent)
    }

    fn is_due(&self) -> bool {
        matches!(self.chore, Chore::Ring { delay, .. } if delay.is_zero())
    }

    fn doorbell(&self) -> Doorbell {
        doorbell(self.id, self.lane())
    }

    fn ring(&self, delay: Duration) -> Ring {
        Ring { email_id: self.id, lane: self.lane(), delay, tries: 0, trace: None }
    }
}
