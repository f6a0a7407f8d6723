//! How the path to the function is, as all workers see it together.
//!
//! While it is bad nobody tries before the rest is over, and a rest grows with each round that failed. It is said once
//! when it becomes bad or bad in another way, and once when it is good again.
//!
//! A function that is at its concurrency and serves others is not away: whoever was refused waits by itself for a moment.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use fastrand::Rng;

use super::{THROTTLED, Trouble};

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
    /// When somebody last reached it.
    good: Option<Instant>,
}

/// Whoever reached it within this long shows that it can be.
const RECENTLY: Duration = Duration::from_secs(10);

/// How long is waited at most for another one's invocation to end.
const CROWDED: Duration = Duration::from_secs(1);

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

    /// It was good, at this time.
    pub fn was_good(&self, now: Instant) {
        let mut state = self.lock();
        if std::mem::replace(&mut *state, State { good: Some(now), ..State::default() }).trouble.is_some() {
            tracing::info!("function.reached");
        }
    }

    /// It was bad, at this time. Where that is nothing to the others, returns how long this one waits.
    pub fn was_bad(&self, trouble: Trouble, now: Instant, dice: &mut Rng) -> Option<Duration> {
        let mut state = self.lock();
        let serves_others = state.good.is_some_and(|good| now.saturating_duration_since(good) < RECENTLY);
        if trouble.kind == THROTTLED && serves_others {
            return Some(CROWDED.mul_f64(0.5 + dice.f64() / 2.0));
        }
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
        None
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble() -> Trouble {
        Trouble { kind: THROTTLED, detail: String::new() }
    }

    #[test]
    fn rests_grow_to_a_minute_whoever_fails_meanwhile() {
        let (path, mut dice, mut now) = (Path::default(), Rng::with_seed(7), Instant::now());
        let mut longest = SHORTEST;
        for _ in 0..12 {
            assert_eq!(path.was_bad(trouble(), now, &mut dice), None);
            let rest = path.rest(now).expect("a rest");
            assert!(rest >= longest / 2 && rest <= longest, "{rest:?} of {longest:?}");
            assert_eq!(path.was_bad(trouble(), now, &mut dice), None);
            assert_eq!(path.rest(now), Some(rest), "one round, one rest");
            longest = (longest * 2).min(LONGEST);
            now += rest;
        }
        assert_eq!(longest, LONGEST);
        assert_eq!(path.rest(now), None);
        path.was_good(now);
        assert!(path.trouble().is_none());
        now += RECENTLY;
        assert_eq!(path.was_bad(trouble(), now, &mut dice), None);
        assert!(path.rest(now).expect("a rest") <= SHORTEST);
    }

    #[test]
    fn who_is_throttled_beside_others_waits_alone_and_nobody_hears_of_it() {
        let (path, mut dice, now) = (Path::default(), Rng::with_seed(7), Instant::now());
        path.was_good(now);
        let alone = path.was_bad(trouble(), now + RECENTLY / 2, &mut dice).expect("its own wait");
        assert!(alone >= CROWDED / 2 && alone <= CROWDED, "{alone:?}");
        assert_eq!((path.rest(now), path.trouble()), (None, None));
        let other = Trouble { kind: "unavailable", detail: String::new() };
        assert_eq!(path.was_bad(other, now, &mut dice), None);
        assert!(path.rest(now).is_some());
    }
}
