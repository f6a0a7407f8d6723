//! The commands of the project, run as `cargo xtask …`.

mod aws;
mod bench;
mod conformance;
mod demo;
mod deploy_local;
mod executables;
mod redrive;
mod replay;
mod step;
mod test;
mod verify;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// How a command ended: an exit code of its own choosing, or an error, which is exit code 1.
type Outcome = Result<ExitCode, Box<dyn Error + Send + Sync>>;

/// The commands of the project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Command {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Demo(demo::Args),
    Test(test::Args),
    Bench(bench::Args),
    Conformance(conformance::Args),
    Replay(replay::Args),
    DeployLocal(deploy_local::Args),
    Redrive(redrive::Args),
    Verify(verify::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Command::parse().task {
        Task::Demo(args) => demo::run(args).await,
        Task::Test(args) => test::run(args).await,
        Task::Bench(args) => bench::run(args).await,
        Task::Conformance(args) => conformance::run(args).await,
        Task::DeployLocal(args) => deploy_local::run(args).await,
        Task::Replay(args) => replay::run(args).await,
        Task::Redrive(args) => redrive::run(args).await,
        Task::Verify(args) => verify::run(args).await,
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {}", chain(&*error));
        ExitCode::FAILURE
    })
}

/// An error with everything that led to it, on one line where it has one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
