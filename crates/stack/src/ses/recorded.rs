//! What the stand-in remembers of a request.

use std::{
    collections::BTreeMap,
    time::{Instant, SystemTime},
};

use bytes::Bytes;

use super::{address, refusal::Refusal};

/// One request, accepted or not.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its place in the order of arrival, from 0.
    pub at_order: usize,
    /// When it had been read, on the monotonic clock.
    pub arrived: Instant,
    /// The same, on the wall clock.
    pub arrived_at: SystemTime,
    /// The region it was signed for.
    pub region: String,
    /// The configuration set it names.
    pub configuration_set: Option<String>,
    /// Its `EmailTags`.
    pub tags: BTreeMap<String, String>,
    /// The tag `email_id`, when it is a number.
    pub email_id: Option<u64>,
    /// The tag `attempt_id`.
    pub attempt_id: Option<String>,
    /// The message itself.
    pub message: Message,
    /// Whether SES took the message, whatever it answered. This is the truth that a sender's records are compared
    /// with: a message taken is sent.
    pub taken: bool,
    /// The id it was given, when it was taken.
    pub message_id: Option<String>,
    /// What was answered.
    pub answer: Answer,
}

/// What a request was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing yet.
    Pending,
    /// 200 and a message id. It had been written, which does not say that it was read.
    Accepted,
    /// An error of the service.
    Refused(Refusal),
    /// What a script said; its name.
    Scripted(&'static str),
}

/// A message as it was sent. Mailboxes are as they came, display names and all.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// `FromEmailAddress`, or the `From` of raw content.
    pub from: Option<String>,
    /// Where answers go.
    pub reply_to: Vec<String>,
    /// Recipients.
    pub to: Vec<String>,
    /// Recipients of a copy.
    pub cc: Vec<String>,
    /// Recipients of a blind copy.
    pub bcc: Vec<String>,
    /// The subject, decoded.
    pub subject: Option<String>,
    /// The text body, decoded.
    pub text: Option<String>,
    /// The HTML body, decoded.
    pub html: Option<String>,
    /// `Headers` of simple content; all headers of raw content, as they came.
    pub headers: Vec<(String, String)>,
    /// The attachments.
    pub attachments: Vec<Attachment>,
    /// The MIME of raw content.
    pub raw: Option<Bytes>,
    /// Raw content has a `Bcc` header, which SES removes.
    pub has_bcc_header: bool,
}

/// An attachment of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its file name.
    pub name: String,
    /// Its MIME type.
    pub content_type: Option<String>,
    /// Its id, by which HTML refers to it, without angle brackets.
    pub content_id: Option<String>,
    /// `ATTACHMENT` or `INLINE`.
    pub disposition: Option<String>,
    /// Its content, decoded.
    pub bytes: Bytes,
}

impl Message {
    /// Every recipient's mailbox: to, cc, bcc.
    pub fn recipients(&self) -> impl Iterator<Item = &str> {
        self.to.iter().chain(&self.cc).chain(&self.bcc).map(String::as_str)
    }

    /// Every recipient's bare address, in lower case; what is no mailbox is left out.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.recipients().filter_map(|mailbox| address::bare(mailbox).ok()).map(str::to_lowercase).collect()
    }

    /// The value of a header; names compare without case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl Recorded {
    pub(super) fn new(region: String) -> Self {
        Self {
            at_order: 0,
            arrived: Instant::now(),
            arrived_at: SystemTime::now(),
            region,
            configuration_set: None,
            tags: BTreeMap::new(),
            email_id: None,
            attempt_id: None,
            message: Message::default(),
            taken: false,
            message_id: None,
            answer: Answer::Pending,
        }
    }
}
