//! Doorbells for rows that are not to be sent now.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use doorbell::{Bell, Lane, Ring, Rung, trace::Trace};
use fastrand::Rng;

use super::{Answer, Dispatcher, Doorbell, attempt::RESERVE};
use crate::{
    line::Line,
    mailer::{Mailer, Reason},
    measure::Metric,
    retry::{ring_again_in, up_to},
    state::State,
    store::{NotClaimed, Pace, Place, Postpone},
};

/// Rings again within this when the cause lies with nobody in particular.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// Room in the line for one email when sending is not paced.
const SPACING: Duration = Duration::from_millis(20);

impl<M, B> Dispatcher<M, B>
where
    M: Mailer + Send + Sync + 'static,
    M::Prepared: Send + 'static,
    B: Bell,
{
    /// Answers a doorbell whose row was not claimed, and rings again where nothing else would.
    pub(super) async fn wait(
        &self,
        id: u64,
        doorbell: &Doorbell,
        why: NotClaimed,
        line: &mut Line<'_>,
        dice: &mut Rng,
    ) -> Answer {
        let in_line = |earliest| Postpone::InLine {
            earliest,
            spacing: self.policy.pace.map_or(SPACING, Pace::interval),
        };
        let (postpone, place) = match why {
            NotClaimed::Terminal(state) | NotClaimed::Busy(state) => {
                tracing::debug!(email_id = id, state = %state, "doorbell.superfluous");
                return Answer::Done;
            }
            NotClaimed::RungLater => return Answer::Done,
            NotClaimed::Missing => return self.ring_in_vain(id, doorbell, line).await,
            NotClaimed::Locked => return self.settle(id, doorbell, line).await,
            NotClaimed::Expired { .. } => return self.expire(id, doorbell, line, dice).await,
            NotClaimed::NotDue { due_in, .. } if due_in > Postpone::LONGEST => return Answer::Done,
            NotClaimed::NotDue { due_in, place } => (Postpone::Until(due_in), place),
            NotClaimed::Paused { place } => (Postpone::LeftToSweep, place),
            NotClaimed::Resting { rest_in, place } => (in_line(rest_in), place),
            NotClaimed::WantsProbe { place } => (in_line(Duration::from_secs(1)), place),
            NotClaimed::NoSlot { free_in, place } => (in_line(free_in), place),
        };
        self.postpone(id, doorbell, &place, postpone, line, dice).await
    }

    async fn postpone(
        &self,
        id: u64,
        doorbell: &Doorbell,
        place: &Place,
        postpone: Postpone,
        line: &mut Line<'_>,
        dice: &mut Rng,
    ) -> Answer {
        let deadline = line.deadline();
        let postponed = match line.session().await {
            Ok(session) => session.postpone(id, place, postpone, deadline).await,
            Err(error) => Err(error),
        };
        match postponed {
            Ok(Some(delay)) => {
                tracing::debug!(email_id = id, "doorbell.postponed");
                let lane = place.lane().parse().unwrap_or(Lane::Urgent);
                self.ring_waiting(id, lane, doorbell.trace.clone(), delay, line).await
            }
            // Another doorbell was quicker, and will sound for the row.
            Ok(None) => Answer::Done,
            Err(error) => {
                line.heal(&error).await;
                self.ring_unseen(id, doorbell, up_to(SOON, dice), line).await
            }
        }
    }

    async fn expire(&self, id: u64, doorbell: &Doorbell, line: &mut Line<'_>, dice: &mut Rng) -> Answer {
        let reason = Reason::new("expired", "expires_at passed before the email could be sent.");
        let deadline = line.deadline();
        let ended = match line.session().await {
            Ok(session) => session.expire(id, &reason, deadline).await,
            Err(error) => Err(error),
        };
        match ended {
            // Somebody holds the row, or an earlier attempt was accepted.
            Ok(Some(State::Pending)) => self.settle(id, doorbell, line).await,
            Ok(state) => ended_as(id, state),
            Err(error) => {
                line.heal(&error).await;
                self.ring_unseen(id, doorbell, up_to(SOON, dice), line).await
            }
        }
    }

    /// Ends a row that SES's events show to be sent; any other that could not be taken is held by somebody.
    async fn settle(&self, id: u64, doorbell: &Doorbell, line: &mut Line<'_>) -> Answer {
        let deadline = line.deadline();
        let settled = match line.session().await {
            Ok(session) => session.settle(id, deadline).await,
            Err(error) => Err(error),
        };
        match settled {
            Ok(Some(State::Pending)) => self.ring_in_vain(id, doorbell, line).await,
            Ok(state) => ended_as(id, state),
            Err(error) => {
                line.heal(&error).await;
                self.ring_in_vain(id, doorbell, line).await
            }
        }
    }

    /// Rings again for a row that is locked or not there: a few times, then the sweep finds it.
    async fn ring_in_vain(&self, id: u64, doorbell: &Doorbell, line: &mut Line<'_>) -> Answer {
        let Some(delay) = ring_again_in(doorbell.tries) else {
            line.measured.count(Metric::Orphaned);
            tracing::warn!(email_id = id, tries = doorbell.tries, "doorbell.orphaned");
            return Answer::Done;
        };
        let (tries, trace) = (doorbell.tries + 1, doorbell.trace.clone());
        self.ring(Ring { email_id: id, lane: doorbell.lane, delay, tries, trace }, line).await
    }

    /// Rings again for a row that could not be looked at. There is no `rung_at` to move; a second doorbell does no harm.
    pub(super) async fn ring_unseen(
        &self,
        id: u64,
        doorbell: &Doorbell,
        delay: Duration,
        line: &Line<'_>,
    ) -> Answer {
        if self.bell.gives_back(doorbell.lane) {
            return Answer::Again;
        }
        let (tries, trace) = (doorbell.tries, doorbell.trace.clone());
        self.ring(Ring { email_id: id, lane: doorbell.lane, delay, tries, trace }, line).await
    }

    /// Rings, while there is time; without a queue, the sweep will.
    pub(super) async fn ring(&self, ring: Ring, line: &Line<'_>) -> Answer {
        // What has been sent meanwhile must still be recorded: a queue that hangs may not use up the time for that.
        let left = line.deadline().saturating_duration_since(Instant::now()).saturating_sub(RESERVE);
        let email_id = ring.email_id;
        match tokio::time::timeout(left, self.bell.ring(ring)).await {
            Ok(Ok(Rung::Yes | Rung::NoQueue)) => Answer::Done,
            Err(_) => {
                tracing::error!(email_id, error.kind = "queue_slow", "doorbell.not_rung");
                Answer::Again
            }
            Ok(Err(error)) => {
                tracing::error!(
                    email_id,
                    error.kind = "queue_unreachable",
                    error.detail = %error,
                    "doorbell.not_rung"
                );
                Answer::Again
            }
        }
    }

    /// Rings again for a row that is `pending` and whose `rung_at` says so already.
    pub(super) async fn ring_waiting(
        &self,
        id: u64,
        lane: Lane,
        trace: Option<Arc<Trace>>,
        wait: Duration,
        line: &mut Line<'_>,
    ) -> Answer {
        if wait > Postpone::LONGEST {
            // Longer than the queue can wait: the sweep rings.
            return Answer::Done;
        }
        let answer = self.ring(Ring { email_id: id, lane, delay: wait, tries: 0, trace }, line).await;
        if answer == Answer::Again {
            let deadline = line.deadline();
            // Best effort: otherwise the row waits for the sweep.
            if let Ok(session) = line.session().await {
                let _ = session.unring(&[id], deadline).await;
            }
        }
        answer
    }
}

fn ended_as(id: u64, state: Option<State>) -> Answer {
    tracing::info!(email_id = id, state = state.map_or("gone", State::as_str), "email.ended");
    Answer::Done
}
