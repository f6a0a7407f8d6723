//! What SES says in an event, and whose it is. Pure.
//!
//! Any member may be missing or null: what an event is about follows from its type and from the two tags that every
//! email carries, and the rest is told as far as it is there.

use serde_json::Value;
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};
use ulid::Ulid;

use super::detail;
use crate::{mailer::Reason, state::AttemptId};

/// The types of events that SES publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// SES took it.
    Send,
    /// A recipient's server took it.
    Delivery,
    /// A recipient's server refused it.
    Bounce,
    /// A recipient called it spam.
    Complaint,
    /// It could not be delivered yet.
    DeliveryDelay,
    /// SES took it first, then found a virus in it.
    Reject,
    /// SES took it first, then could not fill in its template.
    RenderingFailure,
    /// A recipient changed a subscription that SES keeps.
    Subscription,
    /// A recipient opened it.
    Open,
    /// A recipient followed a link.
    Click,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Send,
        Self::Delivery,
        Self::Bounce,
        Self::Complaint,
        Self::DeliveryDelay,
        Self::Reject,
        Self::RenderingFailure,
        Self::Subscription,
        Self::Open,
        Self::Click,
    ];

    /// As stored in `email_event.kind`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Delivery => "delivery",
            Self::Bounce => "bounce",
            Self::Complaint => "complaint",
            Self::DeliveryDelay => "delivery_delay",
            Self::Reject => "reject",
            Self::RenderingFailure => "rendering_failure",
            Self::Subscription => "subscription",
            Self::Open => "open",
            Self::Click => "click",
        }
    }

    /// As SES writes it, with the spaces left out that it has in some places.
    fn parse(name: &str) -> Option<Self> {
        Some(match name.replace(' ', "").as_str() {
            "Send" => Self::Send,
            "Delivery" => Self::Delivery,
            "Bounce" => Self::Bounce,
            "Complaint" => Self::Complaint,
            "DeliveryDelay" => Self::DeliveryDelay,
            "Reject" => Self::Reject,
            "RenderingFailure" => Self::RenderingFailure,
            "Subscription" => Self::Subscription,
            "Open" => Self::Open,
            "Click" => Self::Click,
            _ => return None,
        })
    }

    /// The member in which SES puts what is particular to the type.
    pub(super) const fn member(self) -> &'static str {
        match self {
            Self::DeliveryDelay => "deliveryDelay",
            Self::RenderingFailure => "failure",
            other => other.as_str(),
        }
    }
}

/// An event about an attempt of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SesEvent {
    /// What happened.
    pub kind: EventKind,
    /// `email.id`.
    pub email_id: u64,
    /// The attempt that SES speaks of.
    pub attempt: AttemptId,
    /// When it happened, in UTC and MySQL's notation.
    pub at: Option<String>,
    /// When SES took the email, likewise.
    pub taken_at: Option<String>,
    /// SES's id of the message: ASCII, 255 characters at most.
    pub message_id: Option<String>,
    /// The configuration set that it was sent with.
    pub configuration_set: Option<String>,
    /// The same for every delivery of this event by whatever route, and for no other event.
    pub identity: String,
    /// What SES says beyond that: a JSON object, bounded.
    pub detail: String,
    /// Why SES dropped it.
    pub refusal: Option<Reason>,
}

/// What an event turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// About an attempt of ours.
    Ours(Box<SesEvent>),
    /// Without our tags, or with tags of the same names that are not ours.
    NotOurs(EventKind),
    /// Of a type that is not known: its name.
    UnknownType(String),
}

/// Reads an event as SES wrote it.
#[must_use]
pub fn read(event: &Value) -> Reading {
    let name = ["eventType", "notificationType"].iter().find_map(|name| text(&event[name]));
    let name = name.unwrap_or_default();
    let Some(kind) = EventKind::parse(name) else { return Reading::UnknownType(name.to_owned()) };
    let mail = &event["mail"];
    let (Some(email_id), Some(attempt)) =
        (tag(mail, "email_id").and_then(email_id), tag(mail, "attempt_id").and_then(attempt))
    else {
        return Reading::NotOurs(kind);
    };
    let particulars = &event[kind.member()];
    let taken_at = text(&mail["timestamp"]).and_then(moment);
    let at = text(&particulars["timestamp"]).and_then(moment).or_else(|| taken_at.clone());
    let message_id = text(&mail["messageId"])
        .map(|id| id.chars().filter(char::is_ascii_graphic).take(255).collect::<String>())
        .filter(|id| !id.is_empty());
    Reading::Ours(Box::new(SesEvent {
        kind,
        email_id,
        identity: detail::identity(kind, &attempt, message_id.as_deref(), at.as_deref(), particulars),
        detail: detail::detail(kind, message_id.as_deref(), particulars),
        refusal: refusal(kind, particulars),
        configuration_set: tag(mail, "ses:configuration-set").map(str::to_owned),
        attempt,
        at,
        taken_at,
        message_id,
    }))
}

pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// SES gives every tag a list of values.
fn tag<'v>(mail: &'v Value, name: &str) -> Option<&'v str> {
    match &mail["tags"][name] {
        Value::Array(values) => values.iter().find_map(text),
        value => text(value),
    }
}

fn email_id(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id > 0)
}

/// Only the way that an attempt's token is written counts: another one would not be found in the table.
fn attempt(text: &str) -> Option<AttemptId> {
    let ulid = Ulid::from_string(text).ok()?;
    Some(AttemptId::new(ulid.timestamp_ms(), ulid.random())).filter(|attempt| attempt.as_str() == text)
}

fn refusal(kind: EventKind, particulars: &Value) -> Option<Reason> {
    let (error_kind, sentence, reason) = match kind {
        EventKind::Reject => ("ses_rejected", "Amazon SES took this email and then rejected it", "reason"),
        EventKind::RenderingFailure => (
            "ses_rendering_failed",
            "Amazon SES took this email and then could not fill in its template",
            "errorMessage",
        ),
        _ => return None,
    };
    Some(Reason::new(
        error_kind,
        match text(&particulars[reason]) {
            Some(reason) => format!("{sentence}: {reason}"),
            None => format!("{sentence}. It did not say why."),
        },
    ))
}

/// A time as SES writes it, in MySQL's notation for UTC; within what a DATETIME holds and a clock can show.
fn moment(text: &str) -> Option<String> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?.checked_to_offset(UtcOffset::UTC)?;
    if !(1970..=9999).contains(&at.year()) {
        return None;
    }
    let (date, time) = (at.date(), at.time());
    let (hour, minute, second) = time.as_hms();
    Some(format!(
        "{:04}-{:02}-{:02} {hour:02}:{minute:02}:{second:02}.{:06}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.microsecond()
    ))
}

#[cfg(test)]
mod tests;
