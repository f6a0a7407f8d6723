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
        ("an attempt died: unknown, or sent where an SES event shows it", report.leases_ended),
        ("unknown for long enough, and to be sent again", report.resent),
        ("an SES event shows that it was sent: sent", report.settled),
        ("their time is over: expired, or unknown where an earlier attempt may have arrived", report.expired),
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
    // What is only not set here must not be taken for a fault of the deployment.
    let here = match (config.rules.urgent_has_queue, config.rules.bulk_has_queue) {
        (true, true) => "",
        (false, true) => {
            "URGENT_QUEUE_URL is not set here: if the sweep has it, it rings that lane instead.\n"
        }
        (true, false) => "BULK_QUEUE_URL is not set here: if the sweep has it, it rings that lane instead.\n",
        (false, false) => {
            "URGENT_QUEUE_URL and BULK_QUEUE_URL are not set here: if the sweep has them, it rings instead.\n"
        }
    };
    let here = if report.dispatched > 0 { here } else { "" };
    let oldest = report.oldest_due_s.map_or_else(String::new, |seconds| {
        format!("The oldest due email has waited for {}.\n", rough(std::time::Duration::from_secs(seconds)))
    });
    let text = format!(
        "The next sweep would begin with:\n{}{here}{more}{oldest}Nothing was changed.\n",
        table.text()
    );
    Ok(Report::done(text, json!(report)))
}
