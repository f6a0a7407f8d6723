//! `sendonce list`: emails of one state.

use std::time::SystemTime;

use outbox::{
    config::OperatorConfig,
    state::State,
    store::operator::{Filter, Line, Page, When},
};
use serde_json::{Value, json};

use crate::{
    arguments::List,
    failure::Failure,
    output::{Report, Table, clipped, emails, mailboxes, plain},
    session::{self, LOOKING},
    when::{human, rfc3339},
};

pub(crate) async fn run(config: &OperatorConfig, list: List) -> Result<Report, Failure> {
    let filter = Filter {
        state: list.state,
        lane: list.lane,
        since: list.since,
        until: list.older_than.map(When::Ago),
        error_kind: list.error_kind,
    };
    let page = session::with(&config.database, LOOKING, async |session, deadline, _| {
        session.list(&filter, list.after, list.limit, deadline).await
    })
    .await?;
    let Some(page) = page else {
        return Err(Failure::not_found(
            format!("there is no email {} to go on behind", list.after.unwrap_or_default()),
            "begin again without --after",
        ));
    };
    Ok(Report::done(text(&page, filter.state), document(&page, filter.state)))
}

fn text(page: &Page, state: State) -> String {
    let mut text = String::new();
    if page.lines.is_empty() {
        text.extend([format!("No {state} email was found.\n")]);
    } else {
        let mut table = Table::new(0);
        table.row(["ID", "LANE", "DUE", "IN THIS STATE SINCE", "TRIES", "REASON", "TO", "SUBJECT"]);
        for line in &page.lines {
            table.row([
                line.id.to_string(),
                plain(&line.lane),
                human(line.due_at),
                human(line.state_at),
                line.attempts.to_string(),
                line.error_kind.clone().unwrap_or_else(|| "-".to_owned()),
                clipped(&to(line), 40),
                clipped(&line.subject, 50),
            ]);
        }
        text.push_str(&table.text());
        text.extend([format!("{} in the state {state}.\n", emails(page.lines.len()))]);
    }
    if let Some(next) = page.next {
        text.extend([format!("There may be more: the same command with --after {next} goes on.\n")]);
    }
    text
}

fn to(line: &Line) -> String {
    let first = line.to.as_deref().map(mailboxes).unwrap_or_default();
    if line.to_count > 1 { format!("{first} +{}", line.to_count - 1) } else { first }
}

fn document(page: &Page, state: State) -> Value {
    let time = |time: Option<SystemTime>| time.map(rfc3339);
    let emails: Vec<_> = page
        .lines
        .iter()
        .map(|line| {
            json!({
                "id": line.id,
                "state": state.as_str(),
                "lane": line.lane,
                "due_at": rfc3339(line.due_at),
                "state_at": rfc3339(line.state_at),
                "created_at": rfc3339(line.created_at),
                "lease_until": time(line.lease_until),
                "attempts": line.attempts,
                "resends": line.resends,
                "on_unknown": line.on_unknown,
                "error_kind": line.error_kind,
                "first_to": line.to.as_deref().map(|to| serde_json::from_str(to).unwrap_or(json!(to))),
                "to_count": line.to_count,
                "subject": line.subject,
            })
        })
        .collect();
    json!({"state": state.as_str(), "emails": emails, "next_after": page.next})
}
