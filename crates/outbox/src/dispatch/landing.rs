//! What came of an attempt: written down, counted, and rung for again where that is of use.

use std::time::Duration;

use doorbell::Bell;
use fastrand::Rng;

use super::{Answer, Dispatcher, attempt::Attempt, waiting::SOON};
use crate::{
    line::Line,
    mailer::{Consequence, Mailer, Reason, Refusal, SendOutcome},
    measure::Metric,
    retry::up_to,
    state::State,
    store::{LaneReport, Record, Verdict},
};

impl<M, B> Dispatcher<M, B>
where
    M: Mailer + Send + Sync + 'static,
    M::Prepared: Send + 'static,
    B: Bell,
{
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
            Ok(state) => {
                line.measured.entered(state.unwrap_or(State::Sent));
                tracing::info!(
                    email_id = facts.id,
                    attempt_id = %facts.token,
                    ses_message_id = message_id,
                    attempt = facts.attempts,
                    duration_ms = millis(facts.claimed_at.elapsed()),
                    "email.sent"
                );
            }
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
    pub(super) async fn not_sent(
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
            Some(State::Pending) => {
                self.ring_waiting(facts.id, facts.lane, facts.trace.clone(), wait, line).await
            }
            _ => Answer::Done,
        }
    }

    /// The email is claimed but its request never left: as if it had not been claimed.
    pub(super) async fn give_back(
        &self,
        facts: &Attempt,
        why: &'static str,
        line: &mut Line<'_>,
        dice: &mut Rng,
    ) -> Answer {
        let wait = up_to(SOON, dice).max(Duration::from_secs(1));
        let report = facts.probe.then_some(LaneReport::Unprobed);
        match self.write(facts, Verdict::Release { wait }, report, Some(why), line, dice).await {
            Some(State::Pending) => {
                self.ring_waiting(facts.id, facts.lane, facts.trace.clone(), wait, line).await
            }
            _ => Answer::Done,
        }
    }

    /// Ends an email without calling SES.
    pub(super) async fn end(
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
        let is_retry = matches!(verdict, Verdict::Retry { .. });
        let record = Record { id: facts.id, attempt: &facts.token, verdict, lane };
        match line.record(record, dice).await {
            Ok(state) => {
                match state {
                    Some(State::Pending) if is_retry => line.measured.count(Metric::Retries),
                    Some(state) => line.measured.entered(state),
                    None => {}
                }
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
