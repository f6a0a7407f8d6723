//! What an invocation measures: how many emails went which way, how long each step took, what waits.
//!
//! Pure. [`Metric::ALL`] is the one list of what there is; `infra/observability.yaml` looks at these and no others, and a
//! test compares the two. Nothing here names an email: that is what log lines are for.

use std::time::Duration;

use crate::state::State;

/// Something that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Emails that became `sent`.
    Sent,
    /// Emails that became `failed`.
    Failed,
    /// Emails that became `unknown`.
    Unknown,
    /// Emails that became `suppressed`.
    Suppressed,
    /// Emails put back to be tried again, by SES's answer or because their owner asked for that.
    Retries,
    /// Doorbells whose email had to wait for the sending rate.
    RateWaits,
    /// Doorbells whose row was still locked or not there after the last try.
    Orphaned,
    /// Opening a connection, the login included.
    ConnectMs,
    /// One claim.
    ClaimMs,
    /// One call of SES, whatever it answered.
    SendMs,
    /// One record, everything included that it took until it was written.
    RecordMs,
    /// For how long the oldest due email has been due; 0 when none is. The sweep's.
    OldestDueSeconds,
    /// Emails that are `unknown`. The sweep's.
    UnknownEmails,
}

/// In what something is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Thousandths of a second.
    Milliseconds,
    /// Seconds.
    Seconds,
}

impl Metric {
    /// All there are.
    pub const ALL: [Self; 13] = [
        Self::Sent,
        Self::Failed,
        Self::Unknown,
        Self::Suppressed,
        Self::Retries,
        Self::RateWaits,
        Self::Orphaned,
        Self::ConnectMs,
        Self::ClaimMs,
        Self::SendMs,
        Self::RecordMs,
        Self::OldestDueSeconds,
        Self::UnknownEmails,
    ];

    /// The name that `CloudWatch` knows it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "Sent",
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
            Self::Suppressed => "Suppressed",
            Self::Retries => "Retries",
            Self::RateWaits => "RateWaits",
            Self::Orphaned => "Orphaned",
            Self::ConnectMs => "ConnectMs",
            Self::ClaimMs => "ClaimMs",
            Self::SendMs => "SendMs",
            Self::RecordMs => "RecordMs",
            Self::OldestDueSeconds => "OldestDueSeconds",
            Self::UnknownEmails => "UnknownEmails",
        }
    }

    /// Its unit.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Self::ConnectMs | Self::ClaimMs | Self::SendMs | Self::RecordMs => Unit::Milliseconds,
            Self::OldestDueSeconds => Unit::Seconds,
            _ => Unit::Count,
        }
    }
}

/// What one invocation measured so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    counts: [u64; Metric::ALL.len()],
    values: Vec<(Metric, f64)>,
}

impl Measured {
    /// One more.
    pub fn count(&mut self, metric: Metric) {
        self.counts[metric as usize] += 1;
    }

    /// An email entered this state, if it is one that is counted.
    pub fn entered(&mut self, state: State) {
        match state {
            State::Sent => self.count(Metric::Sent),
            State::Failed => self.count(Metric::Failed),
            State::Unknown => self.count(Metric::Unknown),
            State::Suppressed => self.count(Metric::Suppressed),
            State::Pending | State::Sending | State::Cancelled | State::Expired => {}
        }
    }

    /// A step that took so long.
    pub fn took(&mut self, metric: Metric, time: Duration) {
        // Microseconds are as fine as anything here is worth.
        self.value(metric, (time.as_secs_f64() * 1e6).round() / 1e3);
    }

    /// A value that is kept as it is.
    pub fn value(&mut self, metric: Metric, value: f64) {
        self.values.push((metric, value));
    }

    /// What was counted, and how often.
    pub fn counts(&self) -> impl Iterator<Item = (Metric, u64)> {
        let all = Metric::ALL.into_iter().map(|metric| (metric, self.counts[metric as usize]));
        all.filter(|(_, count)| *count > 0)
    }

    /// The values of one metric, in the order in which they were measured.
    pub fn values(&self, metric: Metric) -> impl Iterator<Item = f64> {
        self.values.iter().filter(move |(measured, _)| *measured == metric).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_stands_where_its_number_says() {
        for (place, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric as usize, place, "{metric:?}");
        }
    }

    #[test]
    fn counts_add_up_and_values_are_kept() {
        let mut measured = Measured::default();
        assert_eq!(measured.counts().count(), 0);
        for state in [State::Sent, State::Sent, State::Pending, State::Failed] {
            measured.entered(state);
        }
        measured.took(Metric::SendMs, Duration::from_nanos(1_234_567));
        measured.took(Metric::ClaimMs, Duration::from_secs(2));
        measured.took(Metric::SendMs, Duration::ZERO);
        assert_eq!(measured.counts().collect::<Vec<_>>(), [(Metric::Sent, 2), (Metric::Failed, 1)]);
        assert_eq!(measured.values(Metric::SendMs).collect::<Vec<_>>(), [1.235, 0.0]);
        assert_eq!(measured.values(Metric::RecordMs).count(), 0);
    }
}
