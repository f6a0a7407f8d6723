//! `sendonce cancel`: withdrawn before it was claimed.

use outbox::{config::OperatorConfig, store::operator::Command};

use super::change::{Change, distinct};
use crate::{arguments::Cancel, failure::Failure, output::Report};

pub(crate) async fn run(config: &OperatorConfig, cancel: Cancel) -> Result<Report, Failure> {
    let ids = distinct(cancel.ids);
    let change = if cancel.dry_run {
        Change::rehearsed(config, Command::Cancel, ids).await?
    } else {
        Change::made(config, Command::Cancel, ids).await?
    };
    Ok(change.report())
}
