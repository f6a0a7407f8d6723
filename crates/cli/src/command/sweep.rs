//! `sendonce sweep --dry-run`: what the next sweep would begin with.

use outbox::{config::OperatorConfig, sweep};
use serde_json::json;

use crate::{
    failure::Failure,
    output::{Report, Table, emails},
    session::{self, LOOKING},
    when::rough,
};

pub(crate) fn belongs_to_the_function() -> Failure {
    Failure::usage(
        "the sweep is done by the function `sweep`, once a minute",
        "sendonce sweep --dry-run says what it would do next",
    )
}

pub(crate) async fn run(config: &OperatorConfig) -> Result<Report, Failure> {
    let report = session::with(&config.database, LOOKING, async |session, deadline, _| {
        sweep::survey(session, &config.rules, deadline).await
    })
    .await?;
    let mut table = Table::new(2);
    for (what, count) in [
        ("an attempt died: unknown, or sent where an event shows it", report.leases_ended),
        ("unknown for long enough, and to be sent again", report.resent),
        ("their time is over: expired", report.expired),
        ("nobody rings for them: rung", report.rung),
        ("there is no queue to ring: sent by the sweep itself", report.dispatched),
    ] {
        table.row([emails(count), what.to_owned()]);
    }
    let more = if report.is_cut_off {
        "There is more than one run looks at: the rest is for the next one.\n"
    } else {
        ""
    };
    let oldest = report.oldest_due_s.map_or_else(String::new, |seconds| {
        format!("The oldest due email has waited for {}.\n", rough(std::time::Duration::from_secs(seconds)))
    });
    let text =
        format!("The next sweep would begin with:\n{}{more}{oldest}Nothing was changed.\n", table.text());
    Ok(Report::done(text, json!(report)))
}
