//! How the path to the function is, as all workers see it together.
//!
//! While it is bad nobody tries before the rest is over, and a rest grows with each round that failed. It is said once
//! when it becomes bad or bad in another way, and once when it is good again.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use fastrand::Rng;

use super::Trouble;

const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_mins(1);

/// The path to the function.
#[derive(Debug, Default)]
pub struct Path(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    rounds: u32,
    until: Option<Instant>,
    trouble: Option<Trouble>,
}

impl Path {
    /// How long nobody tries.
    #[must_use]
    pub fn rest(&self, now: Instant) -> Option<Duration> {
        self.lock().until?.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// What is wrong with it.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.lock().trouble.clone()
    }

    /// It was good.
    pub fn was_good(&self) {
        let mut state = self.lock();
        if std::mem::take(&mut *state).trouble.is_some() {
            tracing::info!("function.reached");
        }
    }

    /// It was bad, at this time.
    pub fn was_bad(&self, trouble: Trouble, now: Instant, dice: &mut Rng) {
        let mut state = self.lock();
        // The others of the same round have nothing to add.
        if state.until.is_none_or(|until| until <= now) {
            let longest = SHORTEST.saturating_mul(1 << state.rounds.min(10)).min(LONGEST);
            state.rounds = state.rounds.saturating_add(1);
            state.until = Some(now + longest.mul_f64(0.5 + dice.f64() / 2.0));
        }
        if state.trouble.as_ref().is_none_or(|known| known.kind != trouble.kind) {
            let advice = trouble.advice();
            tracing::warn!(error.kind = trouble.kind, error.detail = trouble.detail, advice, "function.away");
        }
        state.trouble = Some(trouble);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble() -> Trouble {
        Trouble { kind: "throttled", detail: String::new() }
    }

    #[test]
    fn rests_grow_to_a_minute_whoever_fails_meanwhile() {
        let (path, mut dice, mut now) = (Path::default(), Rng::with_seed(7), Instant::now());
        let mut longest = SHORTEST;
        for _ in 0..12 {
            path.was_bad(trouble(), now, &mut dice);
            let rest = path.rest(now).expect("a rest");
            assert!(rest >= longest / 2 && rest <= longest, "{rest:?} of {longest:?}");
            path.was_bad(trouble(), now, &mut dice);
            assert_eq!(path.rest(now), Some(rest), "one round, one rest");
            longest = (longest * 2).min(LONGEST);
            now += rest;
        }
        assert_eq!(longest, LONGEST);
        assert_eq!(path.rest(now), None);
        path.was_good();
        assert!(path.trouble().is_none());
        path.was_bad(trouble(), now, &mut dice);
        assert!(path.rest(now).expect("a rest") <= SHORTEST);
    }
}
