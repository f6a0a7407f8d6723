//! The table that is printed.

use std::{fmt, time::Duration};

use super::samples::Samples;

/// Lines in the order in which they were measured.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Line>);

#[derive(Debug)]
struct Line {
    what: String,
    budget: String,
    measured: String,
    p95: String,
    met: Option<bool>,
}

impl Report {
    /// A latency and its budget.
    pub(super) fn latency(&mut self, what: &str, budget: Duration, samples: &Samples) {
        let (median, p95) = (samples.median(), samples.p95());
        let text = format!("≤ {}", millis(budget));
        self.line(what, text, millis(median), millis(p95), Some(median <= budget));
    }

    /// A number that must not be above `budget`; both with this unit and so many decimals.
    pub(super) fn number(&mut self, what: &str, budget: f64, measured: f64, decimals: usize, unit: &str) {
        let text = |value| format!("{value:.decimals$}{unit}");
        self.line(
            what,
            format!("≤ {}", text(budget)),
            text(measured),
            String::new(),
            Some(measured <= budget),
        );
    }

    /// A number that must not be below `budget`; both with this unit and so many decimals.
    pub(super) fn at_least(&mut self, what: &str, budget: f64, measured: f64, decimals: usize, unit: &str) {
        let text = |value| format!("{value:.decimals$}{unit}");
        self.line(
            what,
            format!("≥ {}", text(budget)),
            text(measured),
            String::new(),
            Some(measured >= budget),
        );
    }

    /// Something that has to be exactly so.
    pub(super) fn exactly(&mut self, what: &str, wanted: usize, measured: &[usize]) {
        let (least, most) = (measured.iter().min().copied(), measured.iter().max().copied());
        let text = match (least, most) {
            (Some(least), Some(most)) if least != most => format!("{least} to {most}"),
            (Some(least), _) => least.to_string(),
            _ => "none".to_owned(),
        };
        let met = least == Some(wanted) && most == Some(wanted);
        self.line(what, format!("= {wanted}"), text, String::new(), Some(met));
    }

    /// A latency that explains another one.
    pub(super) fn aside(&mut self, what: &str, samples: &Samples) {
        self.line(what, String::new(), millis(samples.median()), millis(samples.p95()), None);
    }

    /// A figure that explains another one.
    pub(super) fn aside_number(&mut self, what: &str, measured: f64, decimals: usize, unit: &str) {
        self.line(what, String::new(), format!("{measured:.decimals$}{unit}"), String::new(), None);
    }

    /// A count that explains another one.
    pub(super) fn aside_count(&mut self, what: &str, measured: u64) {
        self.line(what, String::new(), measured.to_string(), String::new(), None);
    }

    /// Something that was left out.
    pub(super) fn skipped(&mut self, what: &str, budget: &str) {
        self.line(what, budget.to_owned(), "skipped".to_owned(), String::new(), None);
    }

    fn line(&mut self, what: &str, budget: String, measured: String, p95: String, met: Option<bool>) {
        self.0.push(Line { what: what.to_owned(), budget, measured, p95, met });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |of: fn(&Line) -> &str, title: &str| {
            let widths = self.0.iter().map(|line| of(line).chars().count());
            widths.chain([title.chars().count()]).max().unwrap_or(0)
        };
        let what = width(|line| &line.what, "");
        let budget = width(|line| &line.budget, "budget");
        let measured = width(|line| &line.measured, "measured");
        let p95 = width(|line| &line.p95, "p95");
        writeln!(f, "{:what$}  {:>budget$}  {:>measured$}  {:>p95$}  met", "", "budget", "measured", "p95")?;
        for line in &self.0 {
            let met = match line.met {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "",
            };
            let text = format!(
                "{:what$}  {:>budget$}  {:>measured$}  {:>p95$}  {met}",
                line.what, line.budget, line.measured, line.p95
            );
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1000.0)
}
