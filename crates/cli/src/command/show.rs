//! `sendonce show`: one email, its whole story, and what happens next.

mod next;
mod story;

use std::time::SystemTime;

use outbox::{
    config::OperatorConfig,
    store::operator::{EmailFacts, Story},
};
use serde_json::{Value, json};

use self::{next::Next, story::Entry};
use crate::{
    failure::Failure,
    output::{Report, Table, clipped, mailboxes, plain, thousands},
    session::{self, LOOKING},
    when::{human, relative, rfc3339},
};

pub(crate) async fn run(config: &OperatorConfig, id: u64) -> Result<Report, Failure> {
    let story = session::with(&config.database, LOOKING, async |session, deadline, _| {
        session.story(id, deadline).await
    })
    .await?;
    let Some(story) = story else {
        return Err(Failure::not_found(
            format!("there is no email {id}"),
            "its producer may not have committed yet; or DATABASE_URL names another database",
        ));
    };
    let (entries, next) = (story::entries(&story), Next::of(&story.email, &config.rules));
    let json = document(&story, &entries, &next);
    Ok(Report::done(text(&story, &entries, &next), json))
}

fn text(story: &Story, entries: &[Entry], next: &Next) -> String {
    let email = &story.email;
    let mut text = format!(
        "Email {} is {}, since {} ({})\n\n",
        email.id,
        email.state,
        human(email.state_at),
        relative(email.state_at, email.now)
    );
    let mut table = Table::new(2);
    for (name, value) in rows(story) {
        table.row([name.to_owned(), value]);
    }
    text.push_str(&table.text());
    text.push_str("\nStory\n");
    if story.has_older_events {
        text.extend([format!("  (only the latest {} events are shown)\n", Story::MOST_EVENTS)]);
    }
    let mut table = Table::new(2);
    for entry in entries {
        table.row([human(entry.at), entry.text.clone()]);
    }
    text.push_str(&table.text());
    text.push_str("\nWhat happens next\n");
    text.extend([format!("  {}\n", next.sentence)]);
    let mut table = Table::new(4);
    for (command, note) in &next.commands {
        table.row([command.as_str(), note]);
    }
    text.push_str(&table.text());
    text
}

/// Characters of one value. A column may hold megabytes, and whoever reads this wants the rest of the screen.
const SHOWN: usize = 1_000;

/// The row, empty columns left out.
fn rows(story: &Story) -> Vec<(&'static str, String)> {
    let email = &story.email;
    let at = |time: SystemTime| format!("{} ({})", human(time), relative(time, email.now));
    let size =
        |bytes: Option<u64>| bytes.map_or("none".to_owned(), |bytes| format!("{} bytes", thousands(bytes)));
    let resends =
        if email.resends > 0 { format!("; {} given up as unresolved", email.resends) } else { String::new() };
    let attachments = story.attachments.iter().map(|attachment| {
        let inline =
            attachment.content_id.as_deref().map_or(String::new(), |id| format!(", inline as {}", plain(id)));
        let (name, sort) = (plain(&attachment.name), plain(&attachment.content_type));
        Some(format!("{name}, {sort}, {} bytes{inline}", thousands(attachment.bytes)))
    });
    let error = email.error_kind.as_ref().map(|kind| match &email.error_detail {
        Some(detail) => format!("{kind}: {}", plain(detail)),
        None => kind.clone(),
    });
    let text = |text: &Option<String>| text.as_deref().map(plain);
    let list = |json: &Option<String>| json.as_deref().map(mailboxes);
    let mut rows = vec![
        ("From", Some(plain(&email.sender))),
        ("Reply-To", list(&email.reply_to)),
        ("To", Some(mailboxes(&email.to_addresses))),
        ("Cc", list(&email.cc_addresses)),
        ("Bcc", list(&email.bcc_addresses)),
        ("Subject", Some(plain(&email.subject))),
        (
            "Bodies",
            Some(format!("text {}, HTML {}", size(email.text_body_bytes), size(email.html_body_bytes))),
        ),
    ];
    rows.extend(attachments.map(|attachment| ("Attachment", attachment)));
    rows.extend([
        ("Headers", text(&email.headers)),
        ("Tags", text(&email.tags)),
        ("Lane", Some(plain(&email.lane))),
        ("List", text(&email.list_name)),
        ("Key", text(&email.idempotency_key)),
        ("Created", Some(at(email.created_at))),
        ("Due", Some(at(email.due_at))),
        ("Expires", email.expires_at.map(at)),
        ("If unknown", text(&email.on_unknown)),
        ("Attempts", Some(format!("{}{resends}", email.attempts))),
        ("Attempt", email.attempt_id.clone()),
        ("Lease until", email.lease_until.map(at)),
        ("SES message", email.ses_message_id.clone()),
        ("Sent", email.sent_at.map(at)),
        ("Reason", error),
    ]);
    rows.into_iter().filter_map(|(name, value)| Some((name, clipped(&value?, SHOWN)))).collect()
}

fn document(story: &Story, entries: &[Entry], next: &Next) -> Value {
    let attachments: Vec<_> = story
        .attachments
        .iter()
        .map(|attachment| {
            json!({
                "name": attachment.name,
                "content_type": attachment.content_type,
                "content_id": attachment.content_id,
                "bytes": attachment.bytes,
            })
        })
        .collect();
    let entries: Vec<_> = entries
        .iter()
        .map(|entry| {
            json!({
                "at": rfc3339(entry.at),
                "kind": entry.kind,
                "attempt_id": entry.attempt_id,
                "text": entry.text,
                "detail": entry.detail,
            })
        })
        .collect();
    json!({
        "email": row(&story.email),
        "attachments": attachments,
        "story": entries,
        "has_older_events": story.has_older_events,
        "next": {"text": next.sentence, "at": next.at.map(rfc3339), "commands": next.commands.iter().map(|(command, _)| command).collect::<Vec<_>>()},
    })
}

/// The columns under their own names.
fn row(email: &EmailFacts) -> Value {
    let time = |time: Option<SystemTime>| time.map(rfc3339);
    let json = |text: &Option<String>| {
        text.as_deref().map(|text| serde_json::from_str(text).unwrap_or_else(|_| json!(text)))
    };
    json!({
        "id": email.id,
        "sender": email.sender,
        "reply_to": json(&email.reply_to),
        "to_addresses": json(&Some(email.to_addresses.clone())),
        "cc_addresses": json(&email.cc_addresses),
        "bcc_addresses": json(&email.bcc_addresses),
        "subject": email.subject,
        "text_body_bytes": email.text_body_bytes,
        "html_body_bytes": email.html_body_bytes,
        "headers": json(&email.headers),
        "tags": json(&email.tags),
        "lane": email.lane,
        "due_at": rfc3339(email.due_at),
        "expires_at": time(email.expires_at),
        "idempotency_key": email.idempotency_key,
        "on_unknown": email.on_unknown,
        "list_name": email.list_name,
        "state": email.state.as_str(),
        "state_at": rfc3339(email.state_at),
        "attempts": email.attempts,
        "resends": email.resends,
        "first_attempt_at": time(email.first_attempt_at),
        "attempt_id": email.attempt_id,
        "lease_until": time(email.lease_until),
        "rung_at": time(email.rung_at),
        "ses_message_id": email.ses_message_id,
        "sent_at": time(email.sent_at),
        "error_kind": email.error_kind,
        "error_detail": email.error_detail,
        "created_at": rfc3339(email.created_at),
        "is_accepted": email.accepted,
        "is_unresolved": email.unresolved,
    })
}
