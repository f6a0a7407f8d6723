//! The commands, each in a file of its own.

mod cancel;
mod change;
mod list;
mod pause;
mod resolve;
mod retry;
mod show;
mod stats;
mod sweep;

use outbox::config::{OperatorConfig, Variables};

use crate::{
    arguments::{Arguments, Command},
    failure::Failure,
    output::Report,
};

/// Reads the configuration and does what the command line says.
pub(crate) async fn run(
    arguments: Arguments,
    variables: &(impl Variables + ?Sized),
) -> Result<Report, Failure> {
    if let Command::Sweep { dry_run: false } = arguments.command {
        return Err(sweep::belongs_to_the_function());
    }
    let config = OperatorConfig::from_variables(variables)?;
    match arguments.command {
        Command::Show { id } => show::run(&config, id).await,
        Command::List(list) => list::run(&config, list).await,
        Command::Stats => stats::run(&config).await,
        Command::Resolve(resolve) => resolve::run(&config, resolve).await,
        Command::Retry(retry) => retry::run(&config, retry).await,
        Command::Cancel(cancel) => cancel::run(&config, cancel).await,
        Command::Pause(pause) => pause::pause(&config, pause).await,
        Command::Resume(resume) => pause::resume(&config, resume).await,
        Command::Sweep { .. } => sweep::run(&config).await,
    }
}
