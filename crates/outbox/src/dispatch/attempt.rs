//! One attempt: claim, check, call, record.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use doorbell::{Bell, Lane};
use fastrand::Rng;

use super::{
    Answer, Dispatcher, Doorbell,
    content::{checked, is_content_error},
    waiting::SOON,
};
use crate::{
    line::Line,
    mailer::{Consequence, Mailer, Reason, Refusal, SendOutcome},
    retry::up_to,
    state::{AttemptId, State},
    store::{Claim, ClaimRequest, Claimed, LaneReport, NotClaimed, Record, StoreError, Verdict},
};

/// What is known of an attempt from its claim on.
pub(super) struct Attempt {
    id: u64,
    token: AttemptId,
    /// Monotonic, read before the claim was sent: the lease has not begun earlier than this.
    claimed_at: Instant,
    lane: Lane,
    attempts: u32,
    trying_for: Duration,
    expires_in: Option<Duration>,
    lane_is_struck: bool,
    probe: bool,
}

/// An attempt whose request may leave.
pub(super) struct Ready<R> {
    pub(super) request: R,
    pub(super) timeout: Duration,
    /// When it was seen that the lease outlasts the time-out.
    pub(super) checked_at: Instant,
    pub(super) facts: Attempt,
}

/// What became of a doorbell before any call.
pub(super) enum Begun<R> {
    /// It is answered.
    Answered(Answer),
    /// Its email is claimed, and its request may leave.
    Ready(Ready<R>),
}

/// Kept back from the end of an invocation for the record, a reconnect and the good-bye.
pub(super) const RESERVE: Duration = Duration::from_secs(2);
/// The lease outlives the invocation by more than half a minute, so that only a dead process loses it.
const LEASE_MARGIN: Duration = Duration::from_secs(35);
/// A sending slot that is free within this is waited for.
const WORTH_WAITING: Duration = Duration::from_millis(500);

impl<M, B> Dispatcher<M, B>
where
    M: Mailer + Send + Sync + 'static,
    M::Prepared: Send + 'static,
    B: Bell,
{
    /// Claims an email and prepares its request.
    pub(super) async fn begin(
        &self,
        id: u64,
        doorbell: &Doorbell,
        line: &mut Line<'_>,
        dice: &mut Rng,
    ) -> Begun<M::Prepared> {
        if self.call_timeout(line).is_none() || line.given_up() {
            // Nothing is claimed that could not be finished; another invocation has the time.
            if !line.given_up() {
                tracing::warn!(email_id = id, "invocation.short_of_time");
            }
            return Begun::Answered(self.ring_unseen(id, doorbell, up_to(SOON, dice), line).await);
        }
        let token = AttemptId::new(unix_ms(), dice.u128(..));
        let claimed_at = Instant::now();
        let lease = line.budget() + LEASE_MARGIN;
        let mut request = ClaimRequest { id, attempt: &token, lease, pace: self.policy.pace, probe: false };
        match self.claim(&mut request, line).await {
            Ok(Claim::Claimed(claimed)) => {
                let probe = request.probe;
                self.check(id, token, claimed_at, lease, *claimed, probe, line, dice).await
            }
            Ok(Claim::NotClaimed(why)) => Begun::Answered(self.wait(id, doorbell, why, line, dice).await),
            Err(error) => {
                let probe = request.probe;
                Begun::Answered(self.claim_failed(id, doorbell, &token, probe, &error, line, dice).await)
            }
        }
    }

    /// Claims: once more after contention, after a short wait for a slot, or as the lane's probe.
    async fn claim(&self, request: &mut ClaimRequest<'_>, line: &mut Line<'_>) -> Result<Claim, StoreError> {
        let deadline = line.deadline();
        let mut waits = 0;
        let (mut repeated, mut looked_again) = (false, false);
        loop {
            match line.session().await?.claim(*request, deadline).await {
                Err(error) if error.is_contended() && !repeated => repeated = true,
                Ok(Claim::NotClaimed(NotClaimed::WantsProbe { .. })) if !request.probe => {
                    request.probe = true;
                }
                // Nothing speaks against it: somebody holds a lock, or a slot, the time or the lane came free between the
                // claim and the look at the row.
                Ok(Claim::NotClaimed(NotClaimed::Locked)) if !looked_again => {
                    looked_again = true;
                    request.probe = false;
                }
                Ok(Claim::NotClaimed(NotClaimed::NoSlot { free_in, .. }))
                    if free_in <= WORTH_WAITING && waits < 3 && self.call_timeout(line).is_some() =>
                {
                    waits += 1;
                    tokio::time::sleep(free_in).await;
                }
                other => return other,
            }
        }
    }

    /// The claim's answer is lost or an error: the claim may have been made all the same, so it is given back.
    #[expect(clippy::too_many_arguments, reason = "the parts of one attempt, used once")]
    async fn claim_failed(
        &self,
        id: u64,
        doorbell: &Doorbell,
        token: &AttemptId,
        probe: bool,
        error: &StoreError,
        line: &mut Line<'_>,
        dice: &mut Rng,
    ) -> Answer {
        let wait = up_to(SOON, dice).max(Duration::from_secs(1));
        tracing::error!(email_id = id, error.kind = error.kind(), error.detail = %error, "claim.failed");
        if line.given_up() || error.is_contended() {
            return self.ring_unseen(id, doorbell, wait, line).await;
        }
        line.heal(error).await;
        let reason;
        let verdict = match error {
            StoreError::Refused { code } if is_content_error(*code) => {
                reason = Reason::new(
                    "row_unreadable",
                    format!(
                        "The database cannot hand out this row (MySQL error {code}); is an attachment or a body \
                             larger than its max_allowed_packet?"
                    ),
                );
                Verdict::Fail { reason: &reason }
            }
            StoreError::Protocol(_) => {
                reason = Reason::new(
                    "row_unreadable",
                    "The database's answer for this row was not understood; its text may not be valid.",
                );
                Verdict::Fail { reason: &reason }
            }
            _ => Verdict::Withdraw { wait },
        };
        let lane = probe.then_some((doorbell.lane.as_str(), LaneReport::Unprobed));
        match line.record(Record { id, attempt: token, verdict, lane }, dice).await {
            Ok(Some(state)) if state.is_terminal() => {
                tracing::warn!(email_id = id, attempt_id = %token, state = %state, "email.{state}");
                Answer::Done
            }
            Ok(_) => self.ring_unseen(id, doorbell, wait, line).await,
            Err(error) => {
                tracing::error!(email_id = id, attempt_id = %token, error.kind = error.kind(), "release.failed");
                self.ring_unseen(id, doorbell, wait, line).await
            }
        }
    }

    /// Turns a claimed row into a request, or ends it.
    #[expect(clippy::too_many_arguments, reason = "the parts of one attempt, used once")]
    async fn check(
        &self,
        id: u64,
        token: AttemptId,
        claimed_at: Instant,
        lease: Duration,
        claimed: Claimed,
        probe: bool,
        line: &mut Line<'_>,
        dice: &mut Rng,
    ) -> Begun<M::Prepared> {
        let lane = claimed.lane.parse();
        let facts = Attempt {
            id,
            token,
            claimed_at,
            lane: lane.unwrap_or(Lane::Urgent),
            attempts: u32::try_from(claimed.attempts).unwrap_or(u32::MAX),
            trying_for: claimed.trying_for,
            expires_in: claimed.expires_in,
            lane_is_struck: claimed.lane_is_struck,
            probe,
        };
        // A panic here is certain not to have sent anything; what it interrupted is pure.
        let prepared = catch_unwind(AssertUnwindSafe(|| {
            Ok::<_, Reason>(
                checked(claimed, lane.is_ok())?.map(|email| self.mailer.prepare(&email, &facts.token)),
            )
        }));
        let request = match prepared {
            Ok(Ok(Some(Ok(request)))) => request,
            Ok(Ok(Some(Err(refusal)))) => {
                return Begun::Answered(self.not_sent(&facts, false, &refusal, line, dice).await);
            }
            Ok(Ok(None)) => {
                return Begun::Answered(self.end(&facts, Verdict::Suppress, None, line, dice).await);
            }
            Ok(Err(reason)) => {
                let verdict = Verdict::Fail { reason: &reason };
                return Begun::Answered(self.end(&facts, verdict, Some(reason.kind), line, dice).await);
            }
            Err(_) => return Begun::Answered(self.give_back(&facts, "panic", line, dice).await),
        };
        // The request leaves only while the lease covers the call and its record, and the invocation does, too.
        let checked_at = Instant::now();
        let left_of_lease = lease.saturating_sub(claimed_at.elapsed()).saturating_sub(RESERVE);
        match self.call_timeout(line) {
            Some(timeout) if timeout < left_of_lease => {
                Begun::Ready(Ready { request, timeout, checked_at, facts })
            }
            _ => Begun::Answered(self.give_back(&facts, "short_of_time", line, dice).await),
        }
    }

    /// Whether a send that begins now can be finished.
    pub(crate) fn has_time(&self, line: &Line<'_>) -> bool {
        self.call_timeout(line).is_some()
    }

    /// How long a call that starts now may take; `None` when the invocation is short of time.
    fn call_timeout(&self, line: &Line<'_>) -> Option<Duration> {
        let left = line.deadline().saturating_duration_since(Instant::now()).saturating_sub(RESERVE);
        // A call that is cut short ends as "cannot know": it wants its whole time-out, unless even a fresh invocation
        // has less.
        let wanted = self.policy.ses_timeout.min(line.budget().saturating_sub(RESERVE).mul_f32(0.8));
        (left >= wanted && !left.is_zero()).then(|| self.policy.ses_timeout.min(left))
    }

    /// Records what a call brought. `None`: it panicked, and nobody can know how far it came.
    pub(super) async fn land(
        &self,
        facts: Attempt,
        outcome: Option<SendOutcome>,
        line: &mut Line<'_>,
        dice: &mut Rng,
    ) -> Answer {
        let outcome = outcome.unwrap_or_else(|| {
            SendOutcome::Unknown(Reason::new(
                "panic",
                "The call to SES was interrupted by a defect in sendonce.",
            ))
        });
        match outcome {
            SendOutcome::Accepted { message_id } => self.accepted(&facts, &message_id, line, dice).await,
            SendOutcome::NotSent(refusal) => self.not_sent(&facts, true, &refusal, line, dice).await,
            SendOutcome::Unknown(reason) => {
                let report = LaneReport::Doubtful { probe: facts.probe };
                let verdict = Verdict::Unknown { reason: &reason };
                self.write(&facts, verdict, Some(report), Some(reason.kind), line, dice).await;
                Answer::Done
            }
        }
    }

    async fn accepted(
        &self,
        facts: &Attempt,
        message_id: &str,
        line: &mut Line<'_>,
        dice: &mut Rng,
    ) -> Answer {
        let record = Record {
            id: facts.id,
            attempt: &facts.token,
            verdict: Verdict::Accepted { message_id },
            lane: facts.lane_is_struck.then_some((facts.lane.as_str(), LaneReport::Healthy)),
        };
        match line.record(record, dice).await {
            Ok(_) => tracing::info!(
                email_id = facts.id,
                attempt_id = %facts.token,
                ses_message_id = message_id,
                attempt = facts.attempts,
                duration_ms = millis(facts.claimed_at.elapsed()),
                "email.sent"
            ),
            // The row stays `sending` until its lease ends. This line and SES's own Send event are what repairs it.
            Err(error) => tracing::error!(
                email_id = facts.id,
                attempt_id = %facts.token,
                ses_message_id = message_id,
                error.kind = error.kind(),
                error.detail = %error,
                "email.sent but not recorded"
            ),
        }
        Answer::Done
    }

    /// SES certainly did not take it. `called`: because it said so.
    async fn not_sent(
        &self,
        facts: &Attempt,
        called: bool,
        refusal: &Refusal,
        line: &mut Line<'_>,
        dice: &mut Rng,
    ) -> Answer {
        let Refusal { consequence, reason } = refusal;
        let retry = &self.policy.retry;
        let trusted = match (called, facts.probe || facts.lane_is_struck) {
            (true, true) => Some(LaneReport::Healthy),
            (false, true) if facts.probe => Some(LaneReport::Unprobed),
            _ => None,
        };
        let (wait, give_back, over, report) = match *consequence {
            Consequence::Permanent => (Duration::ZERO, false, true, trusted),
            Consequence::Later => {
                (retry.backoff(facts.attempts, dice), false, facts.attempts >= retry.max_attempts, trusted)
            }
            Consequence::Doubt(at_least) | Consequence::Rest(at_least) => (
                at_least + up_to(at_least.max(Duration::from_secs(1)), dice),
                true,
                facts.trying_for >= retry.retry_for,
                Some(match consequence {
                    Consequence::Rest(_) => LaneReport::Rest { at_least, probe: facts.probe },
                    _ => LaneReport::Doubtful { probe: facts.probe },
                }),
            ),
        };
        // Whoever comes when `expires_at` is over ends the email then, and not before.
        let wait = match facts.expires_in {
            Some(left) => wait.min(left.saturating_sub(facts.claimed_at.elapsed())),
            None => wait,
        };
        let verdict =
            if over { Verdict::Fail { reason } } else { Verdict::Retry { wait, give_back, reason } };
        match self.write(facts, verdict, report, Some(reason.kind), line, dice).await {
            Some(State::Pending) => self.ring_waiting(facts.id, facts.lane, wait, line).await,
            _ => Answer::Done,
        }
    }

    /// The email is claimed but its request never left: as if it had not been claimed.
    async fn give_back(
        &self,
        facts: &Attempt,
        why: &'static str,
        line: &mut Line<'_>,
        dice: &mut Rng,
    ) -> Answer {
        let wait = up_to(SOON, dice).max(Duration::from_secs(1));
        let report = facts.probe.then_some(LaneReport::Unprobed);
        match self.write(facts, Verdict::Release { wait }, report, Some(why), line, dice).await {
            Some(State::Pending) => self.ring_waiting(facts.id, facts.lane, wait, line).await,
            _ => Answer::Done,
        }
    }

    /// Ends an email without calling SES.
    async fn end(
        &self,
        facts: &Attempt,
        verdict: Verdict<'_>,
        error_kind: Option<&'static str>,
        line: &mut Line<'_>,
        dice: &mut Rng,
    ) -> Answer {
        let report = facts.probe.then_some(LaneReport::Unprobed);
        self.write(facts, verdict, report, error_kind, line, dice).await;
        Answer::Done
    }

    /// Records a verdict and logs what came of it.
    async fn write(
        &self,
        facts: &Attempt,
        verdict: Verdict<'_>,
        report: Option<LaneReport>,
        error_kind: Option<&'static str>,
        line: &mut Line<'_>,
        dice: &mut Rng,
    ) -> Option<State> {
        let lane = report.map(|report| (facts.lane.as_str(), report));
        let record = Record { id: facts.id, attempt: &facts.token, verdict, lane };
        match line.record(record, dice).await {
            Ok(state) => {
                tracing::warn!(
                    email_id = facts.id,
                    attempt_id = %facts.token,
                    attempt = facts.attempts,
                    state = state.map_or("gone", State::as_str),
                    error.kind = error_kind,
                    duration_ms = millis(facts.claimed_at.elapsed()),
                    "email.not_sent"
                );
                state
            }
            // The row stays `sending` until its lease ends, then it is `unknown`.
            Err(error) => {
                tracing::error!(
                    email_id = facts.id,
                    attempt_id = %facts.token,
                    error.kind = error.kind(),
                    error.detail = %error,
                    verdict.kind = error_kind,
                    "record.failed"
                );
                None
            }
        }
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
