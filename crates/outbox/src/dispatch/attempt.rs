//! One attempt up to its call: claim, check, prepare.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use doorbell::{Bell, Lane, trace::Trace};
use fastrand::Rng;

use super::{
    Answer, Dispatcher, Doorbell,
    content::{checked, is_content_error},
    waiting::SOON,
};
use crate::{
    line::Line,
    mailer::{Mailer, Reason},
    measure::Metric,
    retry::up_to,
    state::AttemptId,
    store::{Claim, ClaimRequest, Claimed, LaneReport, NotClaimed, Record, StoreError, Verdict},
};

/// What is known of an attempt from its claim on.
pub(super) struct Attempt {
    pub(super) id: u64,
    pub(super) token: AttemptId,
    /// Monotonic, read before the claim was sent: the lease has not begun earlier than this.
    pub(super) claimed_at: Instant,
    pub(super) lane: Lane,
    pub(super) attempts: u32,
    pub(super) trying_for: Duration,
    pub(super) expires_in: Option<Duration>,
    pub(super) lane_is_struck: bool,
    pub(super) probe: bool,
    pub(super) trace: Option<Arc<Trace>>,
}

impl Attempt {
    /// Around all that is done for it.
    pub(super) fn span(&self) -> tracing::Span {
        Trace::span(self.trace.as_ref())
    }
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
                self.check(id, doorbell, token, claimed_at, lease, *claimed, probe, line, dice).await
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
        let (mut repeated, mut looked_again, mut has_waited) = (false, false, false);
        loop {
            let session = line.session().await?;
            let began = Instant::now();
            let claim = session.claim(*request, deadline).await;
            if claim.is_ok() {
                line.measured.took(Metric::ClaimMs, began.elapsed());
            }
            if !has_waited && matches!(claim, Ok(Claim::NotClaimed(NotClaimed::NoSlot { .. }))) {
                has_waited = true;
                line.measured.count(Metric::RateWaits);
            }
            match claim {
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
                line.measured.entered(state);
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
        doorbell: &Doorbell,
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
            trace: doorbell.trace.clone(),
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
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
