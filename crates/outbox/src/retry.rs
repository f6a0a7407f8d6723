//! When to try again: pure, with the dice as a parameter.

use std::time::Duration;

use fastrand::Rng;

/// How failed attempts are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts an email has in all (`MAX_ATTEMPTS`).
    pub max_attempts: u32,
    /// The back-off's upper bound after the first attempt (`RETRY_BASE_MS`); doubles with each further one.
    pub base: Duration,
    /// Its upper bound in the end (`RETRY_CAP_MS`).
    pub cap: Duration,
    /// How long an email is tried when the account or the path is what fails, from its first attempt (`RETRY_FOR_S`).
    pub retry_for: Duration,
}

impl RetryPolicy {
    /// How long to wait after `attempts` attempts: exponential with full jitter, so that emails which failed together do
    /// not come back together.
    #[must_use]
    pub fn backoff(&self, attempts: u32, dice: &mut Rng) -> Duration {
        let doubled = self.base.saturating_mul(1 << attempts.saturating_sub(1).min(30));
        up_to(doubled.min(self.cap), dice)
    }
}

/// A duration from 0 to `limit`, evenly.
pub fn up_to(limit: Duration, dice: &mut Rng) -> Duration {
    Duration::from_micros(dice.u64(0..=u64::try_from(limit.as_micros()).unwrap_or(u64::MAX)))
}

/// How long until the next ring for a row that is locked or not there, after `tries` rings in vain: 1, 2, 4 seconds,
/// then `None`: the sweep finds it.
#[must_use]
pub const fn ring_again_in(tries: u32) -> Option<Duration> {
    match tries {
        0..=2 => Some(Duration::from_secs(1 << tries)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fastrand::Rng;

    use super::{RetryPolicy, ring_again_in};

    const POLICY: RetryPolicy = RetryPolicy {
        max_attempts: 8,
        base: Duration::from_secs(2),
        cap: Duration::from_hours(1),
        retry_for: Duration::from_hours(48),
    };

    #[test]
    fn backoff_doubles_up_to_the_cap_and_uses_the_whole_range() {
        let mut dice = Rng::with_seed(7);
        for (attempts, bound) in [(1, 2), (2, 4), (5, 32), (11, 2048), (12, 3600), (u32::MAX, 3600)] {
            let bound = Duration::from_secs(bound);
            let waits: Vec<_> = (0..200).map(|_| POLICY.backoff(attempts, &mut dice)).collect();
            assert!(waits.iter().all(|wait| *wait <= bound), "{attempts}");
            assert!(waits.iter().any(|wait| *wait > bound.mul_f32(0.8)), "{attempts}");
            assert!(waits.iter().any(|wait| *wait < bound.mul_f32(0.2)), "{attempts}");
        }
    }

    #[test]
    fn a_row_that_is_not_there_is_rung_for_three_times() {
        let waits: Vec<_> = (0..5).map(|tries| ring_again_in(tries).map(|wait| wait.as_secs())).collect();
        assert_eq!(waits, [Some(1), Some(2), Some(4), None, None]);
    }
}
