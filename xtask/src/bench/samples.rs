//! What was measured, many times over.

use std::time::Duration;

/// Durations of the same thing.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<Duration>);

impl Samples {
    pub(super) fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Half are not longer.
    pub(super) fn median(&self) -> Duration {
        self.percentile(50)
    }

    /// Nineteen of twenty are not longer.
    pub(super) fn p95(&self) -> Duration {
        self.percentile(95)
    }

    fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted.get(rank).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Samples;

    #[test]
    fn percentiles_are_samples_that_were_taken() {
        let mut samples = Samples::default();
        assert_eq!(samples.median(), Duration::ZERO);
        (1..=20).rev().map(Duration::from_millis).for_each(|sample| samples.add(sample));
        assert_eq!((samples.median().as_millis(), samples.p95().as_millis()), (10, 19));
        samples.add(Duration::from_millis(21));
        assert_eq!((samples.count(), samples.median().as_millis()), (21, 11));
    }
}
