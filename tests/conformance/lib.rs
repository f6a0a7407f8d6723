//! The crash conformance kit: what is promised when processes die, shown by killing them.
//!
//! The real binaries run under a Runtime API that can kill and suspend, before a real database behind a proxy that holds
//! and cuts, with a strict SES that knows what it took, and real queues. One [`cell::Cell`] is one kill: at a step of the
//! hot path, in some state of the world, with SES's events coming in time or late or never, under one policy. After the
//! kill the world is driven on, doorbell by doorbell and sweep by sweep, until nothing changes any more; then the table
//! is compared with what SES took.
//!
//! Nothing sleeps and hopes: a process is held where it is to be killed, and time passes by moving the table's clock. The
//! one exception is a worker that must find its own time over ([`cell::World::Suspended`] at the claim's answer).
//!
//! `tests/it/conformance.rs` runs a selection with every test run, `cargo xtask conformance` all of it.

#![recursion_limit = "256"]

pub mod cell;
mod clock;
mod driver;
pub mod expect;
mod flight;
pub mod peers;
mod queue;
pub mod report;
mod sendonce;
mod site;
mod storm;
mod story;
pub mod subject;

use std::{
    collections::VecDeque,
    error::Error,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::try_join_all;
use stack::ministack::{Ministack, Options};

pub use self::{
    driver::Finding,
    report::Report,
    sendonce::Sendonce,
    storm::{Storm, StormFinding},
    story::Story,
};
use crate::{cell::Cell, site::Site, subject::Subject};

/// Longer than any cell takes, by far.
const CELL_WITHIN: Duration = Duration::from_mins(3);

/// Why the kit itself failed.
pub type Failure = Box<dyn Error + Send + Sync>;

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The cells, in their order.
    pub cells: Vec<Cell>,
    /// What is left to chance in a cell, always the same for the same seed.
    pub seed: u64,
    /// How many sites work beside each other.
    pub lanes: usize,
    /// The mass scenarios to run first.
    pub storms: Vec<Storm>,
}

impl Plan {
    /// These cells in a random order, the same for the same seed.
    #[must_use]
    pub fn shuffled(mut cells: Vec<Cell>, seed: u64, lanes: usize) -> Self {
        fastrand::Rng::with_seed(seed).shuffle(&mut cells);
        Self { cells, seed, lanes, storms: Vec::new() }
    }
}

/// Runs a plan; `told` hears of every cell as it ends.
///
/// # Errors
///
/// The servers could not be started. A cell that fails, for whatever reason, is in the report instead.
pub async fn run(subject: &dyn Subject, plan: &Plan, told: impl Fn(&Finding)) -> Result<Report, Failure> {
    let ministack = Ministack::start(Options::default().region("eu-west-1")).await?;
    let cells: Mutex<VecDeque<Cell>> = Mutex::new(plan.cells.iter().copied().collect());
    let storms: Mutex<VecDeque<Storm>> = Mutex::new(plan.storms.iter().copied().collect());
    let lanes = (0..plan.lanes.max(1)).map(|number| {
        let (cells, storms, told, ministack) = (&cells, &storms, &told, &ministack);
        async move {
            let mut site = Site::new(subject, ministack, number).await?;
            let (mut findings, mut weathered) = (Vec::new(), Vec::new());
            while let Some(storm) = next(storms) {
                let found = Box::pin(storm::weather(&mut site, storm, plan.seed)).await;
                weathered.push(found.map_err(|error| format!("{error}\n{}", site.server.log_tail()))?);
            }
            while let Some(cell) = next(cells) {
                let run =
                    tokio::time::timeout(CELL_WITHIN, Box::pin(driver::run(&mut site, cell, plan.seed)));
                let finding = match run.await {
                    Ok(finding) => finding,
                    Err(hung) => {
                        // Nobody knows what it was in the middle of.
                        site = Site::new(subject, ministack, number + 100).await?;
                        Finding::broken(cell, &hung.into())
                    }
                };
                told(&finding);
                findings.push(finding);
            }
            let version = site.database.admin().rows("SELECT VERSION()").await?;
            Ok::<_, Failure>((findings, weathered, version))
        }
    });
    let mut report = Report::new(subject.name(), plan.seed);
    for (findings, weathered, version) in try_join_all(lanes).await? {
        report.findings.extend(findings);
        report.storms.extend(weathered);
        report.server = version.into_iter().flatten().flatten().next().unwrap_or_default();
    }
    report.findings.sort_by_key(|finding| finding.cell);
    report.storms.sort_by_key(|found| found.storm.policy);
    Ok(report)
}

fn next<T>(queue: &Mutex<VecDeque<T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}
