//! What nobody can read is put aside by our own hand, since Lambda has no place for it.
//!
//! Such a delivery must not come again: its event would fail for ever, and nothing would get past it. So it goes to a
//! queue of its own, to be looked at. Where there is none, or it takes nothing, the log names the delivery and it is
//! dropped: an email is a row, and what rings for nobody has none. It is put aside only when everything else in its
//! event is done, so an event that comes again does not put it aside twice.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Delivery, Original, Unreadable};

/// A message for the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// What was in the delivery: as it is where that can be, else in base64.
    pub body: String,
    /// What is known of it, name by name; no value is empty.
    pub attributes: Vec<(&'static str, String)>,
}

/// The port through which unreadable deliveries are put aside.
pub trait DeadLetters {
    /// Puts one aside.
    ///
    /// # Errors
    ///
    /// [`NotBuried`] when it is still where it was.
    fn put(&self, letter: DeadLetter) -> impl Future<Output = Result<(), NotBuried>> + Send;
}

/// A dead letter was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotBuried {
    /// There is no queue for it.
    #[error("there is no dead-letter queue")]
    NoQueue,
    /// The queue refused this one, with this code. What it says besides may quote the letter.
    #[error("the dead-letter queue refused it: {0}")]
    Refused(String),
    /// The queue could not be reached.
    #[error("the dead-letter queue could not be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl NotBuried {
    const fn kind(&self) -> &'static str {
        match self {
            Self::NoQueue => "no_dead_letter_queue",
            Self::Refused(_) => "dead_letter_refused",
            Self::Unreachable(_) => "dead_letter_queue_unreachable",
        }
    }
}

/// The most that is kept of a body, in characters of the dead letter: any SQS queue of the usual size takes it with its
/// attributes. A doorbell has a few dozen.
const LONGEST: usize = 240 * 1024;

/// Kept back from the end of an invocation.
const RESERVE: Duration = Duration::from_millis(500);

/// Puts aside what cannot be read among these, and says so in the log. It never fails: see the module.
pub async fn bury<D: DeadLetters>(letters: &D, deliveries: &[Delivery], deadline: Instant) {
    // A queue that does not answer is not asked again for each of a batch.
    let mut given_up = None;
    for delivery in deliveries {
        let Err(unreadable) = &delivery.email_id else { continue };
        let failure = if let Some(kind) = given_up {
            Some(kind)
        } else {
            let left = deadline.saturating_duration_since(Instant::now()).saturating_sub(RESERVE);
            match tokio::time::timeout(left, letters.put(letter(delivery, unreadable))).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => {
                    given_up = matches!(error, NotBuried::Unreachable(_)).then(|| error.kind());
                    Some(error.kind())
                }
                Err(_) => {
                    given_up = Some("short_of_time");
                    given_up
                }
            }
        };
        log(delivery, unreadable, failure);
    }
}

fn log(delivery: &Delivery, unreadable: &Unreadable, failure: Option<&'static str>) {
    let origin = &delivery.origin;
    let reason = unreadable.reason.kind();
    if let Some(kind) = failure {
        tracing::error!(
            error.kind = kind,
            reason,
            queue = origin.queue,
            vhost = origin.vhost,
            position = origin.position,
            message_id = origin.message_id,
            sent_at = origin.timestamp,
            redelivered = origin.redelivered,
            "doorbell.dropped"
        );
    } else {
        tracing::warn!(
            error.kind = reason,
            queue = origin.queue,
            vhost = origin.vhost,
            position = origin.position,
            message_id = origin.message_id,
            sent_at = origin.timestamp,
            redelivered = origin.redelivered,
            "doorbell.dead_lettered"
        );
    }
}

fn letter(delivery: &Delivery, unreadable: &Unreadable) -> DeadLetter {
    let Content { mut body, encoding, length } = content(&unreadable.original);
    let whole = body.len();
    if whole > LONGEST {
        body.truncate(body.floor_char_boundary(LONGEST));
    }
    let origin = &delivery.origin;
    let attributes = [
        ("queue", Some(origin.queue.clone())),
        ("vhost", Some(origin.vhost.clone())),
        ("reason", Some(unreadable.reason.kind().to_owned())),
        ("encoding", Some(encoding.to_owned())),
        ("message_id", origin.message_id.clone()),
        ("body_bytes", Some(length.to_string())),
        ("cut", (whole > LONGEST).then(|| "true".to_owned())),
    ];
    let known = attributes.into_iter().filter_map(|(name, value)| Some((name, value?)));
    DeadLetter { body, attributes: known.filter(|(_, value)| !value.is_empty()).collect() }
}

struct Content {
    body: String,
    encoding: &'static str,
    /// Of the original.
    length: usize,
}

/// As it is where SQS takes it so. SQS takes no empty text and no control characters.
fn content(original: &Original) -> Content {
    let is_takable =
        |sign: char| matches!(sign, '\t' | '\n' | '\r' | ' '..) && !matches!(sign, '\u{fffe}' | '\u{ffff}');
    match original {
        Original::Body(bytes) => match std::str::from_utf8(bytes) {
            Ok("") => Content { body: "(empty)".to_owned(), encoding: "none", length: 0 },
            Ok(text) if text.chars().all(is_takable) => {
                Content { body: text.to_owned(), encoding: "text", length: bytes.len() }
            }
            _ => Content { body: STANDARD.encode(bytes), encoding: "base64", length: bytes.len() },
        },
        // JSON had it as text; what SQS would not take in it, nobody will miss.
        Original::Data(data) => {
            let text: String =
                data.chars().map(|sign| if is_takable(sign) { sign } else { '\u{fffd}' }).collect();
            Content { length: data.len(), body: text, encoding: "data" }
        }
        Original::None => Content { body: "(nothing)".to_owned(), encoding: "none", length: 0 },
    }
}

#[cfg(test)]
mod tests;
