//! The story of an email in the order of time: from its row, from the names of its attempts, and from its history.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outbox::store::operator::{Event, Story};
use serde_json::Value;

use crate::{
    output::{clipped, plain},
    when::is_same_second,
};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) at: SystemTime,
    /// A name for programs: `email_event.kind`, or one of `created`, `due`, `attempt`, `rung`, `state`.
    pub(super) kind: String,
    pub(super) attempt_id: Option<String>,
    pub(super) text: String,
    pub(super) detail: Option<Value>,
}

/// All that happened, oldest first, and of what is yet to come the times that are fixed.
pub(super) fn entries(story: &Story) -> Vec<Entry> {
    let email = &story.email;
    let mut entries = vec![entry(email.created_at, "created", "the row was written".to_owned())];
    if !is_same_second(email.due_at, email.created_at) {
        entries.push(entry(email.due_at, "due", "it is due".to_owned()));
    }
    if let Some(rung_at) = email.rung_at.filter(|rung_at| *rung_at > email.created_at) {
        entries.push(entry(rung_at, "rung", "its doorbell sounds".to_owned()));
    }
    let mut attempts: Vec<&str> =
        story.events.iter().filter_map(|event| event.attempt_id.as_deref()).collect();
    attempts.extend(email.attempt_id.as_deref());
    attempts.sort_unstable();
    attempts.dedup();
    for id in attempts {
        // A clock may be wrong; a name may be of another making.
        if let Some(at) = began(id).filter(|at| *at + A_DAY > email.created_at) {
            let mut entry = entry(at, "attempt", format!("attempt {} begins", short(id)));
            entry.attempt_id = Some(id.to_owned());
            entries.push(entry);
        }
    }
    entries.extend(story.events.iter().map(of_event));
    let reason = email.error_kind.as_deref().map_or(String::new(), |kind| format!(": {kind}"));
    entries.push(entry(email.state_at, "state", format!("{}{reason}", email.state)));
    // A stable order: of two at the same time, the one above comes first.
    entries.sort_by_key(|entry| entry.at);
    entries
}

const A_DAY: Duration = Duration::from_hours(24);

fn entry(at: SystemTime, kind: &str, text: String) -> Entry {
    Entry { at, kind: kind.to_owned(), attempt_id: None, text, detail: None }
}

fn of_event(event: &Event) -> Entry {
    let detail: Option<Value> = event.detail.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let what = match event.kind.as_str() {
        "accepted" => "SES took an attempt that had lost its row".to_owned(),
        "resent" => {
            "an attempt was given up as unresolved, and the email put back to be sent again".to_owned()
        }
        "assumed_sent" => "an operator took it for sent".to_owned(),
        "retried" => "an operator let it be tried again".to_owned(),
        "cancelled" => "an operator withdrew it".to_owned(),
        kind => format!("SES event: {}", plain(kind)),
    };
    let attempt = event.attempt_id.as_deref().map_or(String::new(), |id| format!(", attempt {}", short(id)));
    let useful = detail.as_ref().map(useful).filter(|text| !text.is_empty());
    let useful = useful.map_or(String::new(), |text| format!(" ({})", clipped(&text, 160)));
    Entry {
        at: event.at,
        kind: event.kind.clone(),
        attempt_id: event.attempt_id.clone(),
        text: format!("{what}{attempt}{useful}"),
        detail,
    }
}

/// What says why, among all that SES tells; times and sizes of SES's own are left out.
fn useful(detail: &Value) -> String {
    const TELLING: [&str; 12] = [
        "by",
        "reason",
        "bounceType",
        "bounceSubType",
        "complaintFeedbackType",
        "complaintSubType",
        "delayType",
        "errorMessage",
        "emailAddress",
        "diagnosticCode",
        "smtpResponse",
        "ses_message_id",
    ];
    let mut found = Vec::new();
    gather(detail, 0, &mut |name, value| {
        if TELLING.contains(&name) && found.len() < 8 {
            found.push(format!("{name}: {value}"));
        }
    });
    found.join(", ")
}

fn gather(value: &Value, depth: usize, each: &mut impl FnMut(&str, &str)) {
    if depth > 6 {
        return;
    }
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) => each(name, text),
                    other => gather(other, depth + 1, each),
                }
            }
        }
        Value::Array(members) => members.iter().for_each(|member| gather(member, depth + 1, each)),
        _ => {}
    }
}

/// The end of an attempt's name, which tells it from others.
fn short(id: &str) -> String {
    let start = id.len().saturating_sub(6);
    id.get(start..).map_or_else(|| plain(id), |end| format!("…{}", plain(end)))
}

/// When an attempt began: its name is a ULID, whose first ten characters are milliseconds since 1970.
fn began(id: &str) -> Option<SystemTime> {
    const DIGITS: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut unix_ms: u64 = 0;
    for character in id.get(..10)?.chars() {
        let digit = DIGITS.find(character)?;
        unix_ms = unix_ms * 32 + u64::try_from(digit).ok()?;
    }
    UNIX_EPOCH.checked_add(Duration::from_millis(unix_ms))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::json;

    use super::{began, short, useful};

    #[test]
    fn an_attempt_tells_when_it_began() {
        let id = outbox::state::AttemptId::new(1_777_897_800_123, 42);
        assert_eq!(began(id.as_str()), Some(UNIX_EPOCH + Duration::from_millis(1_777_897_800_123)));
        assert_eq!(began("short"), None);
        assert_eq!(began("UUUUUUUUUUUUUUUUUUUUUUUUUU"), None);
        assert_eq!(short("01ARZ3NDEKTSV4RRFFQ69G5FAV"), "…9G5FAV");
    }

    #[test]
    fn what_says_why_is_found_wherever_it_stands() {
        let detail = json!({
            "ses_message_id": "0102-x",
            "bounce": {"bounceType": "Permanent", "timestamp": "2026", "bouncedRecipients": [
                {"emailAddress": "ada@customer.example", "diagnosticCode": "550 no such user"}]},
        });
        let text = useful(&detail);
        for part in ["bounceType: Permanent", "550 no such user", "ses_message_id: 0102-x"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("2026"), "{text}");
        assert_eq!(useful(&json!([1, {"x": null}])), "");
    }
}
