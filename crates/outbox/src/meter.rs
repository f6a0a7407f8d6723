//! Measurements into the embedded metric format of Amazon's metrics, by way of the log: the only module that names
//! `metrics`.
//!
//! Everything is measured in a [`Measured`] of the invocation's own and handed over at its end, because the library's
//! registry lives as long as the process: a gauge in it would be written again with every later document, though nobody
//! looked, and of more than a hundred values that it is told before it writes it drops the rest. So it has no gauges, and
//! is told a hundred values at a time.

use std::{fmt, io::Write as _};

use metrics::Unit as TheirUnit;
use metrics_cloudwatch_embedded::{Builder, Collector};

use crate::measure::{Measured, Metric, Unit};

/// The namespace of all metrics.
const NAMESPACE: &str = "sendonce";
/// Their one dimension: the deployment.
const DIMENSION: &str = "Stack";
/// The format takes no more values of a metric in one document.
const VALUES: usize = 100;

/// Writes down what invocations measured; or does not, where nobody asked for it.
#[derive(Clone, Copy, Default)]
pub struct Meter {
    collector: Option<&'static Collector>,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("is_on", &self.collector.is_some()).finish()
    }
}

impl Meter {
    /// For the deployment of this name; `None`: nothing is ever written. Once a process, since the library has one registry.
    #[must_use]
    pub fn of(stack: Option<String>) -> Self {
        let Some(stack) = stack else { return Self::default() };
        match Builder::new().cloudwatch_namespace(NAMESPACE).with_dimension(DIMENSION, stack).init() {
            Ok(collector) => {
                for metric in Metric::ALL {
                    describe(metric);
                }
                Self { collector: Some(collector) }
            }
            Err(error) => {
                tracing::error!(error.kind = "metrics", error.detail = %error, "metrics.off");
                Self::default()
            }
        }
    }

    /// Writes what was measured to the standard output: one document a line, and one document but for more than a hundred
    /// values of a metric. Nothing where nothing was measured.
    pub fn write(&self, measured: &Measured) {
        let Some(collector) = self.collector else { return };
        let documents = documents(collector, measured);
        // Whole lines at once: nothing comes in between, and nothing is left in a buffer when the process is frozen.
        let mut out = std::io::stdout().lock();
        if let Err(error) = out.write_all(&documents).and_then(|()| out.flush()) {
            drop(out);
            tracing::error!(error.kind = "metrics", error.detail = %error, "metrics.not_written");
        }
    }
}

fn documents(collector: &Collector, measured: &Measured) -> Vec<u8> {
    let mut documents = Vec::new();
    for (metric, count) in measured.counts() {
        metrics::counter!(metric.name()).increment(count);
    }
    let mut left: Vec<_> = Metric::ALL.iter().map(|metric| measured.values(*metric).peekable()).collect();
    loop {
        for (metric, values) in Metric::ALL.iter().zip(&mut left) {
            if values.peek().is_none() {
                continue;
            }
            let histogram = metrics::histogram!(metric.name());
            for value in values.take(VALUES) {
                histogram.record(value);
            }
        }
        // Writing into memory cannot fail, and of numbers all can be written.
        let _ = collector.flush(&mut documents);
        if left.iter_mut().all(|values| values.peek().is_none()) {
            return documents;
        }
    }
}

fn describe(metric: Metric) {
    let unit = match metric.unit() {
        Unit::Count => TheirUnit::Count,
        Unit::Milliseconds => TheirUnit::Milliseconds,
        Unit::Seconds => TheirUnit::Seconds,
    };
    // The unit belongs to the name, whichever kind it is of.
    metrics::describe_histogram!(metric.name(), unit, "");
}
