//! `sendonce retry`: once more, from the beginning.

use outbox::{config::OperatorConfig, store::operator::Command};

use super::change::{Change, distinct};
use crate::{arguments::Retry, failure::Failure, output::Report};

pub(crate) async fn run(config: &OperatorConfig, retry: Retry) -> Result<Report, Failure> {
    let command = Command::Retry { drop_expiry: retry.drop_expiry };
    let ids = distinct(retry.ids);
    let change = if retry.dry_run {
        Change::rehearsed(config, command, ids).await?
    } else {
        Change::made(config, command, ids).await?
    };
    Ok(change.report())
}
