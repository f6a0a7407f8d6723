//! SES's events in: what the history keeps, where the row goes, what the queue is told.

mod faults;
mod files;
mod function;
mod history;
mod states;

use fastrand::Rng;
use outbox::{
    feedback::{Answer, Feedback, envelope},
    state::AttemptId,
};
use serde_json::{Value, json};

use crate::{stage::half_a_minute, world::Table};

/// Every type of event: as SES writes it, the member that holds its particulars, and as it is stored.
const KINDS: [(&str, &str, &str); 10] = [
    ("Send", "send", "send"),
    ("Delivery", "delivery", "delivery"),
    ("Bounce", "bounce", "bounce"),
    ("Complaint", "complaint", "complaint"),
    ("DeliveryDelay", "deliveryDelay", "delivery_delay"),
    ("Reject", "reject", "reject"),
    ("Rendering Failure", "failure", "rendering_failure"),
    ("Subscription", "subscription", "subscription"),
    ("Open", "open", "open"),
    ("Click", "click", "click"),
];

/// An event of this type about an attempt.
fn event(name: &str, id: u64, attempt: &AttemptId) -> Value {
    let (_, member, _) = KINDS.into_iter().find(|kind| kind.0 == name).expect("a type");
    json!({
        "eventType": name,
        "mail": {
            "timestamp": "2026-01-02T03:04:05.678Z",
            "messageId": format!("0102-{attempt}"),
            "destination": ["recipient-marker@customer.example"],
            "tags": {
                "ses:configuration-set": ["mail-events"],
                "email_id": [id.to_string()],
                "attempt_id": [attempt.as_str()]
            }
        },
        member: {
            "timestamp": "2026-01-02T03:04:06.789Z",
            "feedbackId": format!("{name}-{attempt}"),
            "recipients": ["recipient-marker@customer.example"],
            "reason": "reason-marker",
            "errorMessage": "reason-marker",
            "ipAddress": "192.0.2.17"
        }
    })
}

/// As EventBridge wraps it.
fn bridged(event: &Value) -> Value {
    json!({"version": "0", "source": "aws.ses", "detail-type": "Email Something", "detail": event})
}

/// As SNS wraps it.
fn noticed(event: &Value) -> Value {
    json!({"Type": "Notification", "MessageId": "n", "Message": event.to_string()})
}

/// As SQS hands it over: `item-0`, `item-1`, ….
fn queued(bodies: &[Value]) -> Value {
    let records: Vec<_> = (0..)
        .zip(bodies)
        .map(|(serial, body)| {
            let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
            json!({"messageId": format!("item-{serial}"), "eventSource": "aws:sqs", "body": body})
        })
        .collect();
    json!({"Records": records})
}

/// One invocation.
async fn take(feedback: &Feedback, payload: Value) -> Vec<Answer> {
    feedback.take(envelope::open(payload).deliveries, half_a_minute(), &mut Rng::new()).await
}

/// Takes in these events, all of them, through the table's own way in.
async fn took(table: &Table, events: &[Value]) {
    let answers = take(&Feedback::new(table.plain_as("feedback"), None), queued(events)).await;
    assert_eq!(answers, vec![Answer::Done; events.len()]);
}

/// An attempt's token.
fn attempt(serial: u128) -> AttemptId {
    AttemptId::new(1_700_000_000_000, serial)
}

/// An email in this state, by this attempt, for an hour.
async fn place(table: &Table, state: &str, attempt: &AttemptId, changes: &[(&str, &str)]) -> u64 {
    let (state_text, token) = (format!("'{state}'"), format!("'{attempt}'"));
    let mut columns = vec![
        ("state", state_text.as_str()),
        ("attempt_id", token.as_str()),
        ("state_at", "UTC_TIMESTAMP(6) - INTERVAL 1 HOUR"),
        ("created_at", "'2026-01-01 00:00:00'"),
        ("attempts", "1"),
    ];
    match state {
        "sending" => columns.push(("lease_until", "UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE")),
        "sent" => columns.push(("sent_at", "'2026-01-02 03:04:05'")),
        "failed" | "unknown" => columns.extend([("error_kind", "'before'"), ("error_detail", "'Before.'")]),
        "pending" => columns.push(("rung_at", "UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE")),
        _ => {}
    }
    columns.extend(changes);
    table.insert(&columns).await
}

/// All of sendonce's own columns of all emails, and the whole history.
async fn everything(table: &Table) -> Vec<Vec<Option<String>>> {
    let emails = "SELECT CAST(id AS CHAR), state, CAST(state_at AS CHAR), attempt_id, CAST(lease_until AS CHAR), \
                  CAST(rung_at AS CHAR), ses_message_id, CAST(sent_at AS CHAR), error_kind, error_detail \
                  FROM email ORDER BY id";
    let history = "SELECT CAST(email_id AS CHAR), CAST(at AS CHAR), kind, attempt_id, CAST(detail AS CHAR), dedup_key \
                   FROM email_event ORDER BY id";
    let mut rows = table.database.admin().rows(emails).await.expect("read");
    rows.extend(table.database.admin().rows(history).await.expect("read"));
    rows
}

/// The kinds in the history of an email, one after the other.
async fn kinds(table: &Table, id: u64) -> String {
    let sql = format!("SELECT GROUP_CONCAT(kind ORDER BY id) FROM email_event WHERE email_id = {id}");
    table.value(&sql).await.unwrap_or_default()
}
