//! What was found, counted: for a terminal and for `docs/CONFORMANCE.md`.

use std::{collections::BTreeSet, fmt::Write as _};

use crate::{
    cell::{Events, Policy, Step, World},
    driver::Finding,
    storm::StormFinding,
    subject::End,
};

/// Everything that was found.
#[derive(Debug)]
pub struct Report {
    /// Who was examined.
    pub subject: String,
    /// The seed.
    pub seed: u64,
    /// The database server's version.
    pub server: String,
    /// What came of each cell.
    pub findings: Vec<Finding>,
    /// What came of the mass scenarios.
    pub storms: Vec<StormFinding>,
}

/// Some findings, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Processes killed or suspended at their step.
    pub kills: usize,
    /// Emails lost.
    pub lost: usize,
    /// Emails taken twice where their owner had not asked for it.
    pub twice_unasked: usize,
    /// Emails taken twice where their owner had.
    pub twice_asked: usize,
    /// Emails that ended `unknown`; SES had taken them.
    pub unknown_taken: usize,
    /// Emails that ended `unknown`; SES had not taken them.
    pub unknown_not_taken: usize,
}

impl Count {
    /// Of all that are wanted.
    pub fn of<'f>(findings: impl Iterator<Item = &'f Finding>) -> Self {
        let mut count = Self::default();
        for finding in findings {
            let facts = finding.facts;
            count.kills += usize::from(finding.reached);
            let is_lost = !matches!(facts.end, End::Sent | End::Unknown)
                || (facts.end == End::Sent && facts.taken == 0);
            count.lost += usize::from(is_lost);
            if facts.taken > 1 {
                let asked = finding.cell.may_be_taken_twice() && facts.taken <= 1 + facts.resends;
                *if asked { &mut count.twice_asked } else { &mut count.twice_unasked } += 1;
            }
            if facts.end == End::Unknown {
                *if facts.taken > 0 { &mut count.unknown_taken } else { &mut count.unknown_not_taken } += 1;
            }
        }
        count
    }

    fn cells(self) -> String {
        let Self { kills, lost, twice_unasked, twice_asked, unknown_taken, unknown_not_taken } = self;
        format!(
            "{kills} | {lost} | {twice_unasked} | {twice_asked} | {unknown_taken} | {unknown_not_taken} |\n"
        )
    }
}

/// The heads of what [`Count`] counts.
const HEADS: &str =
    "kills | lost | twice, unasked | twice, as asked | unknown, taken | unknown, not taken |\n";

impl Report {
    pub(crate) fn new(subject: &str, seed: u64) -> Self {
        Self {
            subject: subject.to_owned(),
            seed,
            server: String::new(),
            findings: Vec::new(),
            storms: Vec::new(),
        }
    }

    /// The cells in which a promise was broken, or the kit.
    pub fn violations(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.faults.is_empty())
    }

    /// The steps that no process was killed at.
    #[must_use]
    pub fn steps_never_hit(&self) -> Vec<Step> {
        let hit: BTreeSet<_> =
            self.findings.iter().filter(|finding| finding.reached).map(|finding| finding.cell.step).collect();
        Step::ALL.into_iter().filter(|step| !hit.contains(step)).collect()
    }

    /// The worlds that no process was killed in.
    #[must_use]
    pub fn worlds_never_seen(&self) -> Vec<World> {
        let seen: BTreeSet<_> = self
            .findings
            .iter()
            .filter(|finding| finding.reached)
            .map(|finding| finding.cell.world)
            .collect();
        World::ALL.into_iter().filter(|world| !seen.contains(world)).collect()
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations().next().is_none() && self.storms.iter().all(|storm| storm.faults.is_empty())
    }

    /// All together.
    #[must_use]
    pub fn total(&self) -> Count {
        Count::of(self.findings.iter())
    }

    /// What was wrong, cell by cell, with everything that happened there.
    #[must_use]
    pub fn stories(&self) -> String {
        let mut text = String::new();
        for finding in self.violations() {
            let _ = writeln!(text, "{} (seed {})", finding.cell, self.seed);
            for fault in &finding.faults {
                let _ = writeln!(text, "  ! {fault}");
            }
            let _ = writeln!(text, "{}", finding.story);
        }
        for storm in &self.storms {
            for fault in &storm.faults {
                let _ = writeln!(
                    text,
                    "{} emails under {}: {fault}",
                    storm.storm.emails,
                    storm.storm.policy.name()
                );
            }
        }
        text
    }

    /// Results by world, policy and events.
    #[must_use]
    pub fn by_world(&self) -> String {
        let mut table = format!("| world | policy | events | {HEADS}|---|---|---|--:|--:|--:|--:|--:|--:|\n");
        for world in World::ALL {
            for policy in Policy::ALL {
                for events in Events::ALL {
                    let some = self.findings.iter().filter(|finding| {
                        let cell = finding.cell;
                        (cell.world, cell.policy, cell.events) == (world, policy, events)
                    });
                    let count = Count::of(some);
                    if count != Count::default() {
                        let names =
                            (world.name(), policy.name(), events.name().trim_start_matches("events_"));
                        let _ = write!(
                            table,
                            "| {} | {} | {} | {}",
                            names.0,
                            names.1,
                            names.2.replace('_', " "),
                            count.cells()
                        );
                    }
                }
            }
        }
        table
    }

    /// Results by step.
    #[must_use]
    pub fn by_step(&self) -> String {
        let mut table = format!("| killed when | step | {HEADS}|---|---|--:|--:|--:|--:|--:|--:|\n");
        for step in Step::ALL {
            let count = Count::of(self.findings.iter().filter(|finding| finding.cell.step == step));
            let _ = write!(table, "| {} | `{}` | {}", step.meaning(), step.name(), count.cells());
        }
        let _ = write!(table, "| **all** | | {}", self.total().cells());
        table
    }

    /// The mass scenarios.
    #[must_use]
    pub fn by_storm(&self) -> String {
        let mut table = "| emails | policy | workers killed at work | not sent when the queue was purged | sent | unknown, \
                         not taken | taken twice |\n|--:|---|--:|--:|--:|--:|--:|\n"
            .to_owned();
        for found in &self.storms {
            let _ = writeln!(
                table,
                "| {} | {} | {} | {} | {} | {} | {} |",
                found.storm.emails,
                found.storm.policy.name(),
                found.killed,
                found.purged_at,
                found.sent,
                found.unknown,
                found.twice
            );
        }
        table
    }
}
