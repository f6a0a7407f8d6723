//! What a message of the event says: for which email it rings, on which lane, and what to call it.

use std::sync::Arc;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::event::{Message, RabbitmqEvent, Text};
use crate::{
    Lane,
    body::{self, UnreadableBody},
    trace::Trace,
};

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What to call it.
    pub origin: Origin,
    /// The lane that it rings on.
    pub lane: Lane,
    /// The email that it rings for.
    pub email_id: Result<u64, Unreadable>,
    /// The trace that it belongs to.
    pub trace: Option<Arc<Trace>>,
}

/// Where a message came from: enough to find it again, and nothing that a person wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The queue.
    pub queue: String,
    /// The virtual host that the queue is in.
    pub vhost: String,
    /// Which of its queue's messages in the event it is, from 0.
    pub position: usize,
    /// The producer's name for it. `None` also where that could be more than an id: it is logged.
    pub message_id: Option<String>,
    /// When it was sent, as the event words it.
    pub timestamp: Option<String>,
    /// Whether it came before.
    pub redelivered: bool,
}

/// A message that rings for nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// What is wrong with it.
    pub reason: BadDelivery,
    /// What was in it.
    pub original: Original,
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadDelivery {
    /// It has no `data` that is a text.
    #[error("the message has no data")]
    NoData,
    /// Its `data` is not base64.
    #[error("the message's data is not base64")]
    NotBase64,
    /// Its body names no email.
    #[error(transparent)]
    Body(UnreadableBody),
}

impl BadDelivery {
    /// A short stable code for logs and for the dead letter.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::NoData => "data_missing",
            Self::NotBase64 => "data_not_base64",
            Self::Body(unreadable) => unreadable.kind(),
        }
    }
}

/// What was in a message that nobody can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Original {
    /// Its body.
    Body(Vec<u8>),
    /// Its `data` as it stood in the event, where no body could be made of it.
    Data(String),
    /// Nothing.
    None,
}

/// Padded or not: a body is not lost for the want of a sign that carries nothing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The messages of an event, in order.
#[must_use]
pub fn deliveries(event: RabbitmqEvent) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for (name, messages) in event.queues {
        // A vhost is named by its owner and a queue by anybody, so the last colons are those between them.
        let (queue, vhost) = name.rsplit_once("::").unwrap_or((&name, ""));
        deliveries.extend(
            messages
                .into_iter()
                .enumerate()
                .map(|(position, message)| delivery(queue, vhost, position, message)),
        );
    }
    deliveries
}

fn delivery(queue: &str, vhost: &str, position: usize, message: Message) -> Delivery {
    let properties = message.properties;
    let origin = Origin {
        queue: queue.to_owned(),
        vhost: vhost.to_owned(),
        position,
        message_id: properties.message_id.0.filter(|id| is_id(id)),
        timestamp: properties.timestamp.0.filter(|time| is_time(time)),
        redelivered: message.redelivered.0,
    };
    let headers = properties.headers;
    let lane = lane(&origin, &headers.lane);
    let trace = Trace::read(headers.traceparent.0.as_deref(), headers.tracestate.0.as_deref(), None);
    Delivery { origin, lane, email_id: read(message.data), trace }
}

fn read(data: Text) -> Result<u64, Unreadable> {
    let Text(Some(data)) = data else {
        return Err(Unreadable { reason: BadDelivery::NoData, original: Original::None });
    };
    let Ok(body) = BASE64.decode(&data) else {
        return Err(Unreadable { reason: BadDelivery::NotBase64, original: Original::Data(data) });
    };
    body::parse(&body).map_err(|unreadable| Unreadable {
        reason: BadDelivery::Body(unreadable),
        original: Original::Body(body),
    })
}

/// What the header `lane` says, else what the queue's name ends with, else urgent: nobody should wait for a guess.
fn lane(origin: &Origin, header: &Text) -> Lane {
    let by_name = || {
        let last = origin.queue.rsplit(|sign: char| !sign.is_alphanumeric()).next().unwrap_or_default();
        last.parse().unwrap_or(Lane::Urgent)
    };
    let Text(Some(header)) = header else { return by_name() };
    header.parse().unwrap_or_else(|_| {
        let lane = by_name();
        // What the header says is the producer's business, and not quoted.
        tracing::warn!(
            error.kind = "lane_unknown",
            queue = origin.queue,
            vhost = origin.vhost,
            position = origin.position,
            message_id = origin.message_id,
            lane = %lane,
            "doorbell.lane_guessed"
        );
        lane
    })
}

/// Whether a text can be nothing but an id: no address, no name, no sentence.
fn is_id(text: &str) -> bool {
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "-_.:/+=".contains(sign);
    (1..=128).contains(&text.len()) && text.chars().all(is_plain)
}

/// Whether a text can be a time: `Nov 23, 2026, 4:43:04 PM`, with whatever space Java puts before the last word.
fn is_time(text: &str) -> bool {
    let is_plain =
        |sign: char| sign.is_ascii_alphanumeric() || sign.is_whitespace() || ",:.+-/".contains(sign);
    text.len() <= 48 && text.starts_with(|sign: char| sign.is_ascii_alphanumeric()) && {
        text.chars().all(is_plain) && text.contains(|sign: char| sign.is_ascii_digit())
    }
}

#[cfg(test)]
mod tests;
