//! `cargo xtask conformance`: kills a worker at every step, in every world, and writes down what came of it.

mod document;
mod peers;

use std::{
    cell::Cell as Counter,
    path::PathBuf,
    process::{ExitCode, Stdio},
    time::Instant,
};

use ::conformance::{
    Failure, Finding, Plan, Sendonce, Storm,
    cell::{Cell, Policy},
};
use stack::install;

use crate::Outcome;

/// Kill a worker at every step in every world, and count what is lost, sent twice and unknown
#[derive(clap::Args)]
pub(crate) struct Args {
    /// One cell by its name, such as `ses_took/answer_lost/events_late/resend`
    #[arg(long, value_name = "NAME")]
    cell: Option<Cell>,
    /// Repeat what another run left to chance
    #[arg(long)]
    seed: Option<u64>,
    /// Sites that work beside each other, each with servers of its own
    #[arg(long, default_value_t = 3)]
    lanes: usize,
    /// Only the thousand emails at once
    #[arg(long)]
    storm: bool,
    /// Only the selection that `cargo xtask test` runs
    #[arg(long)]
    short: bool,
    /// Examine the binaries of this folder instead of building them: those of another version, say
    #[arg(long, value_name = "FOLDER")]
    binaries: Option<PathBuf>,
    /// Compare with another system, and with sendonce in the same cells
    #[arg(long, value_name = "NAME", conflicts_with_all = ["cell", "short"])]
    against: Option<peers::Against>,
    /// Do not write docs/CONFORMANCE.md
    #[arg(long)]
    no_document: bool,
}

pub(crate) async fn run(args: Args) -> Outcome {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000_000));
    if let Some(against) = args.against {
        return peers::run(against, seed, args.lanes, !args.no_document).await;
    }
    let subject = args.binaries.as_deref().map_or_else(build, |folder| Ok(Sendonce::in_folder(folder)))?;
    let (cells, lanes) = match args.cell {
        Some(cell) => (vec![cell], 1),
        None if args.storm => (Vec::new(), 2),
        None if args.short => (Cell::some(), args.lanes),
        None => (Cell::all(), args.lanes),
    };
    let is_full = args.cell.is_none() && !args.short && !args.storm;
    let mut plan = Plan::shuffled(cells, seed, lanes);
    if is_full || args.storm {
        plan.storms = Policy::ALL.map(|policy| Storm { emails: 1000, kills: 24, policy }).to_vec();
        plan.storms.push(Storm { emails: 1000, kills: 0, policy: Policy::Hold });
    }
    println!("seed {seed}, {} cells", plan.cells.len());
    let begun = Instant::now();
    let (done, wrong) = (Counter::new(0), Counter::new(0));
    let report = ::conformance::run(&subject, &plan, |finding: &Finding| {
        done.set(done.get() + 1);
        if !finding.faults.is_empty() {
            wrong.set(wrong.get() + 1);
            println!("{}: {}", finding.cell, finding.faults.join("; "));
        }
        if args.cell.is_some() {
            println!("{}\n{}", finding.cell, finding.story);
        } else if done.get() % 50 == 0 {
            println!(
                "{} of {} cells, {} wrong, {:.0?}",
                done.get(),
                plan.cells.len(),
                wrong.get(),
                begun.elapsed()
            );
        }
    })
    .await?;
    if args.cell.is_none() {
        println!("\n{}\n{}\n{}", report.by_world(), report.by_step(), report.by_storm());
    }
    let mut is_good = report.is_clean();
    if !is_good {
        println!("{}", report.stories());
    }
    if !plan.cells.is_empty() && args.cell.is_none() {
        for step in report.steps_never_hit() {
            println!("no worker was killed at {}", step.name());
            is_good = false;
        }
        for world in report.worlds_never_seen() {
            println!("no worker was killed in the world {}", world.name());
            is_good = false;
        }
    }
    println!("{} kills in {:.0?}, seed {seed}: {}", report.total().kills, begun.elapsed(), verdict(is_good));
    if is_full && is_good && !args.no_document {
        let path = install::workspace().join("docs/CONFORMANCE.md");
        std::fs::write(&path, document::of(&report))?;
        println!("written: docs/CONFORMANCE.md");
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verdict(is_good: bool) -> &'static str {
    if is_good { "every promise was kept" } else { "A PROMISE WAS BROKEN" }
}

/// Builds the functions in the development profile: what is shown here is not speed.
fn build() -> Result<Sendonce, Failure> {
    let mut cargo = install::cargo();
    cargo.args(["build", "--workspace"]).stdin(Stdio::null());
    for binary in Sendonce::BINARIES {
        cargo.args(["--bin", binary]);
    }
    let status = cargo.status()?;
    if !status.success() {
        return Err(format!("cargo ended with {status}").into());
    }
    let target: PathBuf = install::workspace().join("target/debug");
    Ok(Sendonce::in_folder(&target))
}
