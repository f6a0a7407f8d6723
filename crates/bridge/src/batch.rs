//! Which messages travel together.
//!
//! A batch fails as a whole, so all its messages share the blame. The more often a message has failed, the fewer it
//! travels with: half as many after each failure, and in its last try always alone. So a poisonous one is soon alone, and
//! nobody is given up for another one's fault.

use std::collections::VecDeque;

/// The bytes of an event, at most. Lambda takes 6 MB.
pub const EVENT_BYTES: usize = 5_000_000;

/// The bytes of one body, at most: a doorbell has a few dozen.
pub const BODY_BYTES: usize = 256 * 1024;

/// How batches are cut.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Messages of a batch that has not failed yet.
    pub size: usize,
    /// How often a message may fail.
    pub max_tries: u32,
}

impl Limits {
    /// With how many at most, itself included, a message travels that failed `tries` times.
    #[must_use]
    pub fn size_after(&self, tries: u32) -> usize {
        if tries + 1 >= self.max_tries {
            return if tries == 0 { self.size } else { 1 };
        }
        self.size.checked_shr(tries).unwrap_or(0).max(1)
    }

    /// Takes the next batch from the front: as many as travel together, in their order. `weigh` says how often a message
    /// failed, and how many bytes it has in the event.
    pub fn take<T>(&self, waiting: &mut VecDeque<T>, weigh: impl Fn(&T) -> (u32, usize)) -> Vec<T> {
        let (mut batch, mut size, mut bytes) = (Vec::new(), self.size, 0);
        while let Some(next) = waiting.front() {
            let (tries, more) = weigh(next);
            size = size.min(self.size_after(tries));
            bytes += more;
            if !batch.is_empty() && (batch.len() >= size || bytes > EVENT_BYTES) {
                break;
            }
            batch.extend(waiting.pop_front());
        }
        batch
    }

    /// Whether a batch is as large as it may become.
    pub fn is_full<T>(&self, waiting: &VecDeque<T>, tries: impl Fn(&T) -> u32) -> bool {
        waiting.front().is_some_and(|first| waiting.len() >= self.size_after(tries(first)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { size: 100, max_tries: 10 };

    fn take(of: &[(u32, usize)]) -> Vec<usize> {
        let mut waiting: VecDeque<_> = of.iter().copied().collect();
        let mut sizes = Vec::new();
        while !waiting.is_empty() {
            sizes.push(LIMITS.take(&mut waiting, |item| *item).len());
        }
        sizes
    }

    #[test]
    fn half_as_many_after_each_failure_and_the_last_try_alone() {
        let sizes: Vec<_> = (0..10).map(|tries| LIMITS.size_after(tries)).collect();
        assert_eq!(sizes, [100, 50, 25, 12, 6, 3, 1, 1, 1, 1]);
        let short = Limits { size: 100, max_tries: 3 };
        assert_eq!([0, 1, 2, 40].map(|tries| short.size_after(tries)), [100, 50, 1, 1]);
        // Whoever wants one try only gets batches all the same.
        assert_eq!(Limits { size: 100, max_tries: 1 }.size_after(0), 100);
    }

    #[test]
    fn who_failed_is_not_carried_by_who_did_not() {
        assert_eq!(take(&[(0, 10); 250]), [100, 100, 50]);
        assert_eq!(take(&[(0, 1), (9, 1), (0, 1)]), [1, 1, 1]);
        assert_eq!(take(&[(4, 1); 7]), [6, 1]);
        assert_eq!(take(&[(0, 3_000_000), (0, 1_900_000), (0, 200_000)]), [2, 1]);
        assert_eq!(take(&[(0, 9_000_000), (0, 1)]), [1, 1], "what fits nowhere holds up nobody");
    }

    proptest! {
        #[test]
        fn nobody_is_left_out_and_no_batch_is_too_large(items in prop::collection::vec((0_u32..12, 0_usize..2_000_000), 0..300)) {
            let mut waiting: VecDeque<_> = items.iter().copied().collect();
            let mut taken = Vec::new();
            while !waiting.is_empty() {
                let batch = LIMITS.take(&mut waiting, |item| *item);
                prop_assert!(!batch.is_empty());
                let bytes: usize = batch.iter().map(|item| item.1).sum();
                prop_assert!(batch.len() == 1 || bytes <= EVENT_BYTES);
                for (tries, _) in &batch {
                    prop_assert!(batch.len() <= LIMITS.size_after(*tries));
                }
                taken.extend(batch);
            }
            prop_assert_eq!(taken, items);
        }
    }
}
