//! Handing doorbells on to the queues of the lanes, until each is taken.
//!
//! A queue takes ten at a time, and may refuse some of them: those alone are tried again. What it has taken rings a
//! second time when the whole comes again, which does no harm.

use std::{
    error::Error,
    iter,
    time::{Duration, Instant},
};

use fastrand::Rng;
use futures_util::future::{join, join_all};

use crate::{Bell, Lane, Ring, Rung};

/// Some doorbells were not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{left} of {of} doorbells were not taken by the queue of lane {lane}")]
pub struct NotHandedOn {
    /// How many.
    pub left: usize,
    /// Of how many.
    pub of: usize,
    /// The lane of the first of them.
    pub lane: Lane,
}

/// What SQS takes in one call.
const TEN: usize = 10;

/// Calls at the same time: what a queue takes in one after the other, it takes as well in a fraction of the time.
const CALLS: usize = 8;

/// How often a doorbell is offered.
const ROUNDS: u32 = 5;

/// The upper bound of the first pause between rounds; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// Kept back from the end of an invocation, to answer.
const RESERVE: Duration = Duration::from_secs(1);

/// Hands all of them on, tens of one lane at a time, and offers again only what was not taken.
///
/// # Errors
///
/// [`NotHandedOn`] when something is left after five rounds, or when time is short; logged already. A lane without a
/// queue takes nothing.
pub async fn hand_on<B: Bell + Sync>(
    bell: &B,
    rings: Vec<Ring>,
    deadline: Instant,
    dice: &mut Rng,
) -> Result<(), NotHandedOn> {
    let of = rings.len();
    let mut left = Left { rings, ..Left::default() };
    for round in 0..ROUNDS {
        let time = deadline.saturating_duration_since(Instant::now()).saturating_sub(RESERVE);
        left = offer(bell, &left.rings, time).await;
        if left.rings.is_empty() {
            return Ok(());
        }
        let pause = PAUSE * (1 << round);
        // A queue that there is not will not be there a moment later.
        if left.kind == NO_QUEUE || round + 1 == ROUNDS || time <= pause + RESERVE {
            break;
        }
        tracing::debug!(left = left.rings.len(), of, round, error.kind = left.kind, "doorbells.not_taken");
        let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        tokio::time::sleep(Duration::from_millis(dice.u64(0..=millis))).await;
    }
    let lane = left.rings.first().map_or(Lane::Urgent, |ring| ring.lane);
    let failure = NotHandedOn { left: left.rings.len(), of, lane };
    tracing::error!(
        left = failure.left,
        of,
        lane = %lane,
        error.kind = left.kind,
        error.detail = left.detail,
        "doorbells.given_back"
    );
    Err(failure)
}

/// The lane has no queue.
const NO_QUEUE: &str = "no_queue";

/// What was not taken, and why.
#[derive(Default)]
struct Left {
    rings: Vec<Ring>,
    kind: &'static str,
    detail: String,
}

/// Offers each once, the lanes beside each other: one whose queue is away does not hold up the other.
async fn offer<B: Bell + Sync>(bell: &B, rings: &[Ring], time: Duration) -> Left {
    let until = tokio::time::Instant::now() + time;
    let (urgent, bulk): (Vec<Ring>, Vec<Ring>) =
        rings.iter().cloned().partition(|ring| ring.lane == Lane::Urgent);
    let (mut left, bulk) =
        join(Box::pin(offer_lane(bell, &urgent, until)), Box::pin(offer_lane(bell, &bulk, until))).await;
    if left.rings.is_empty() {
        return bulk;
    }
    left.rings.extend(bulk.rings);
    left
}

async fn offer_lane<B: Bell + Sync>(bell: &B, rings: &[Ring], until: tokio::time::Instant) -> Left {
    let mut left = Left::default();
    let mut waves = rings.chunks(TEN * CALLS);
    for wave in waves.by_ref() {
        let calls = join_all(wave.chunks(TEN).map(|ten| bell.ring_all(ten)));
        let Ok(answers) = tokio::time::timeout_at(until, calls).await else {
            left.kind = "short_of_time";
            left.rings.extend_from_slice(wave);
            break;
        };
        let mut some_taken = false;
        for (ring, answer) in wave.iter().zip(answers.into_iter().flatten()) {
            match answer {
                Ok(Rung::Yes) => {
                    some_taken = true;
                    continue;
                }
                Ok(Rung::NoQueue) => left.kind = NO_QUEUE,
                Err(error) => {
                    left.kind = "queue_unreachable";
                    // The others of a ten whose call failed have less to say than its first.
                    if left.detail.is_empty() {
                        left.detail = chain(&error);
                    }
                }
            }
            left.rings.push(ring.clone());
        }
        // A queue that takes nothing is not asked for every ten of a thousand.
        if !some_taken {
            break;
        }
    }
    left.rings.extend(waves.flatten().cloned());
    left
}

/// An error with its causes. They speak of the queue and of the way to it; the messages hold nothing but ids.
fn chain(error: &dyn Error) -> String {
    let mut causes: Vec<_> =
        iter::successors(Some(error), |error| (*error).source()).map(ToString::to_string).collect();
    // The SDK says some of them twice.
    causes.dedup();
    causes.join(": ")
}

#[cfg(test)]
mod tests;
