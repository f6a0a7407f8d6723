//! `cargo xtask demo`: the whole of sendonce on this machine, with real servers, and what becomes of a dozen emails.
//! With `--kill`: what becomes of an email whose worker dies after SES took it.
//!
//! Progress goes to standard error, what was found out to standard output. With `--once` the exit code says whether
//! every email ended where it should have, exactly once, and whether nothing was left behind: no doorbell, no
//! connection.

mod build;
mod kill;
mod more;
mod progress;
mod rabbitmq;
mod report;
mod run;
mod samples;
mod stage;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use stack::supervisor::Supervisor;

use self::kill::Story;
use self::progress::{note, step};
use self::report::Report;
use self::run::Run;
use self::stage::Stage;
use crate::Outcome;

/// Start the whole stack, send more than a dozen emails and show what became of each
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Exit when every email has ended, with 0 only if each ended where it should
    #[arg(long)]
    once: bool,
    /// Instead, kill a worker in mid-send, watch its email become unknown, and see what resolves it
    #[arg(long)]
    kill: bool,
}

/// Runs the demonstration.
///
/// # Errors
///
/// Something could not be installed, built, started, deployed or asked. An email that ended elsewhere than it should is
/// no error but the exit code 1.
pub(crate) async fn run(args: Args) -> Outcome {
    let begun = Instant::now();
    let outcome = Box::pin(play(&args, begun)).await;
    // The servers would end with this process; waiting for it leaves nothing to be seen running afterwards.
    if let Ok(supervisor) = Supervisor::of_this_process() {
        supervisor.finish();
    }
    outcome
}

async fn play(args: &Args, begun: Instant) -> Outcome {
    // Where the story tells when an event comes, none comes by itself.
    let events = if args.kill { &[][..] } else { run::EVENTS };
    let stage = Stage::set_up(events).await?;
    note(begun, "the stack is up");
    let is_good = if args.kill {
        let story = Story::play(&stage, if args.once { Duration::ZERO } else { kill::PACE }).await?;
        println!("{story}");
        story.is_good()
    } else {
        let run = Run::play(&stage).await?;
        let report = step("looking at inbox, queues and connections", Report::make(&stage, run)).await?;
        println!("{report}");
        report.is_good()
    };
    if !args.once {
        more::until_interrupted(&stage).await?;
        eprintln!();
    }
    let wrong = step("stopping the bridges", stage.stop_bridges()).await?;
    for problem in &wrong {
        eprintln!("{problem}");
    }
    let is_good = is_good && wrong.is_empty();
    if args.once {
        note(begun, if is_good { "all as it should be" } else { "NOT as it should be" });
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
