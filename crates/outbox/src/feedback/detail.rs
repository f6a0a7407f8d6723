//! What is kept of an event, and what it is known by. Pure.
//!
//! Kept are SES's id of the message and what is particular to the type: for a bounce its recipients and their
//! diagnostics, say. Never kept is what tells of a reader's habits: address, program and link of an opening or a click.

use serde_json::{Map, Value, json};

use super::event::{EventKind, text};
use crate::state::AttemptId;

/// What is kept is never longer than this.
const LONGEST: usize = 16 * 1024;
/// MySQL takes JSON of a hundred levels, and SES writes four.
const MOST_LEVELS: u8 = 12;
/// Of a reader, not of the email.
const PERSONAL: [&str; 3] = ["ipAddress", "userAgent", "link"];

/// The JSON that is kept.
pub(super) fn detail(kind: EventKind, message_id: Option<&str>, particulars: &Value) -> String {
    let mut particulars = pruned(particulars, MOST_LEVELS);
    if matches!(kind, EventKind::Open | EventKind::Click)
        && let Value::Object(members) = &mut particulars
    {
        members.retain(|name, _| !PERSONAL.contains(&name.as_str()));
    }
    let written = |particulars: &Value| {
        let mut members = Map::new();
        members.insert("ses_message_id".to_owned(), json!(message_id));
        if !particulars.is_null() {
            members.insert(kind.member().to_owned(), particulars.clone());
        }
        Value::Object(members).to_string()
    };
    let whole = written(&particulars);
    if whole.len() <= LONGEST {
        return whole;
    }
    if let Value::Object(members) = &mut particulars {
        members.retain(|_, value| !value.is_array() && !value.is_object());
    }
    let scalars = written(&particulars);
    if scalars.len() <= LONGEST { scalars } else { written(&Value::Null) }
}

/// Without what lies too deep.
fn pruned(value: &Value, levels: u8) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) if levels == 0 => Value::Null,
        Value::Array(values) => values.iter().map(|value| pruned(value, levels - 1)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), pruned(value, levels - 1))).collect()
        }
        scalar => scalar.clone(),
    }
}

/// What tells one event from another, of what SES itself says and no route adds.
///
/// SES takes, rejects and fails to render a message once. A bounce and a complaint have an id of their own; whatever
/// else may happen more than once is told apart by its time and whom it happened to.
pub(super) fn identity(
    kind: EventKind,
    attempt: &AttemptId,
    message_id: Option<&str>,
    at: Option<&str>,
    particulars: &Value,
) -> String {
    let id = text(&particulars["feedbackId"]);
    let apart = match kind {
        EventKind::Send | EventKind::Reject | EventKind::RenderingFailure => Value::Null,
        EventKind::Bounce | EventKind::Complaint if id.is_some() => json!(id),
        _ => json!([at, recipients(particulars), PERSONAL.map(|name| &particulars[name])]),
    };
    // JSON, so that no two lists of texts can look alike.
    json!([kind.as_str(), attempt.as_str(), message_id, apart]).to_string()
}

/// Whom it happened to, in an order of their own.
fn recipients(particulars: &Value) -> Vec<&str> {
    let lists = ["recipients", "bouncedRecipients", "complainedRecipients", "delayedRecipients"];
    let mut found: Vec<_> = lists
        .iter()
        .filter_map(|list| particulars[list].as_array())
        .flatten()
        .filter_map(|recipient| text(recipient).or_else(|| text(&recipient["emailAddress"])))
        .collect();
    found.sort_unstable();
    found
}
