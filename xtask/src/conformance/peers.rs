//! `cargo xtask conformance --against …`: the same faults for others, and for sendonce beside them.

mod document;
mod table;

use std::{cell::Cell as Counter, process::ExitCode, process::Stdio, time::Instant};

use ::conformance::{
    Failure, Plan, Report,
    cell::{Cell, Events, Policy},
    peers::{
        AtLeastOnce, Tally, cells,
        post_office::{self, Settings, Trial},
    },
    subject::Subject,
};
use stack::install::{self, InstallError, PostOfficeTool};

use self::table::Examined;
use crate::Outcome;

/// Whom to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Against {
    /// A plain handler: claim nothing, send, mark
    AtLeastOnce,
    /// django-post_office, fetched from the Python Package Index
    PostOffice,
    /// Both; writes docs/CONFORMANCE-PEERS.md
    All,
}

/// As sendonce comes, with and without SES's events; and as it is set up by whoever wants no email to wait for a person.
const SENDONCE: [(Policy, Events, &str); 3] = [
    (Policy::Hold, Events::OnTime, "sendonce, `hold`"),
    (Policy::Hold, Events::Off, "sendonce, `hold`, SES's events off"),
    (Policy::Resend, Events::OnTime, "sendonce, `resend`"),
];

/// Everything that was found.
struct Found {
    seed: u64,
    server: String,
    systems: Vec<Examined>,
    post_office: Vec<post_office::Outcome>,
}

pub(super) async fn run(against: Against, seed: u64, lanes: usize, writes_document: bool) -> Outcome {
    let begun = Instant::now();
    // What may be missing is fetched and built before anything is run.
    let tool = if against == Against::AtLeastOnce { None } else { Some(fetch()?) };
    let sendonce = super::build()?;
    let folder = built(AtLeastOnce::BINARY)?;
    println!("seed {seed}");
    let mut found = Found { seed, server: String::new(), systems: Vec::new(), post_office: Vec::new() };
    let mut is_good = true;
    for (policy, events, name) in SENDONCE {
        let report = examine(&sendonce, cells(policy, events), seed, lanes).await?;
        is_good &= report.is_clean();
        print!("{}", report.stories());
        is_good &= found.take(name, policy == Policy::Hold, &report);
    }
    if against != Against::PostOffice {
        for sdk_retries in [true, false] {
            let handler = AtLeastOnce::in_folder(&folder, sdk_retries);
            let report = examine(&handler, handler.cells(), seed, lanes).await?;
            is_good &= found.take(handler.name(), sdk_retries, &report);
        }
    }
    if let Some(tool) = tool {
        is_good &= found.take_post_office(tool, lanes).await?;
    }
    println!("\n{}", found.tables());
    println!("{:.0?}, seed {seed}", begun.elapsed());
    if !is_good {
        println!("THE KIT FAILED, OR SENDONCE BROKE A PROMISE");
    }
    if against == Against::All && is_good && writes_document {
        std::fs::write(install::workspace().join(document::PATH), document::of(&found))?;
        println!("written: {}", document::PATH);
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Found {
    /// Keeps what was found. Says whether every process was killed where it was to be.
    fn take(&mut self, name: &str, is_detailed: bool, report: &Report) -> bool {
        self.server.clone_from(&report.server);
        for finding in report.findings.iter().filter(|finding| !finding.reached) {
            println!("{name}, {}: {}\n{}", finding.cell, finding.faults.join("; "), finding.story);
        }
        let kills = report
            .findings
            .iter()
            .map(|finding| (finding.cell.step, finding.cell.world, Tally::of([finding])));
        self.systems.push(Examined { name: name.to_owned(), is_detailed, kills: kills.collect() });
        report.findings.iter().all(|finding| finding.reached)
    }

    async fn take_post_office(&mut self, tool: PostOfficeTool, lanes: usize) -> Result<bool, Failure> {
        let trials = [Trial::kills(), Trial::batches_of_one(), Trial::lost_answers()].concat();
        println!("django-post_office: {} runs over {} emails each", trials.len(), post_office::EMAILS);
        let done = Counter::new(0);
        let told = |outcome: &post_office::Outcome| {
            done.set(done.get() + 1);
            if let Some(broken) = &outcome.broken {
                println!("{}: {broken}\n{}", outcome.trial, outcome.story);
            } else if done.get() % 20 == 0 {
                println!("{} runs", done.get());
            }
        };
        let (outcomes, server) = post_office::run(tool.python, trials, lanes, told).await?;
        let is_good = outcomes.iter().all(|outcome| outcome.broken.is_none() && outcome.reached);
        let kills = outcomes
            .iter()
            .filter(|outcome| outcome.trial.settings == Settings::Defaults)
            .filter_map(|outcome| Some((outcome.trial.step?, outcome.trial.world, outcome.tally())));
        let (name, kills) = ("django-post_office".to_owned(), kills.collect());
        self.systems.push(Examined { name, is_detailed: true, kills });
        self.post_office = outcomes;
        self.server = server;
        Ok(is_good)
    }

    /// All tables, as they stand in the document.
    fn tables(&self) -> String {
        let general =
            [table::summary(&self.systems), table::by_step(&self.systems), table::by_world(&self.systems)];
        let special = [table::by_request(&self.post_office), table::lost_answers(&self.post_office)];
        let mut tables = general.to_vec();
        if !self.post_office.is_empty() {
            tables.extend(special);
        }
        tables.join("\n")
    }
}

async fn examine(
    subject: &dyn Subject,
    cells: Vec<Cell>,
    seed: u64,
    lanes: usize,
) -> Result<Report, Failure> {
    println!("{}: {} cells", subject.name(), cells.len());
    let begun = Instant::now();
    let plan = Plan::shuffled(cells, seed, lanes);
    let report = ::conformance::run(subject, &plan, |_| {}).await?;
    println!("{}: {} kills in {:.0?}", subject.name(), report.total().kills, begun.elapsed());
    Ok(report)
}

fn fetch() -> Result<PostOfficeTool, String> {
    install::post_office().map_err(|error| match error {
        InstallError::Failed { .. } => {
            format!(
                "django-post_office is not here and could not be fetched, which needs a network once: {error}"
            )
        }
        other => crate::chain(&other),
    })
}

/// Builds a binary of the kit itself and returns its folder.
fn built(binary: &str) -> Result<std::path::PathBuf, Failure> {
    let mut cargo = install::cargo();
    let status = cargo.args(["build", "--workspace", "--bin", binary]).stdin(Stdio::null()).status()?;
    if status.success() {
        Ok(install::workspace().join("target/debug"))
    } else {
        Err(format!("cargo ended with {status}").into())
    }
}
