//! What a row must be to become an email (parse, don't validate). Pure: no I/O, no clock, no randomness.
//!
//! [`EmailRow`] is what a producer wrote, [`Email`] is what can be sent. Between them stands [`Email::parse`], which
//! either returns an email of which every field can be put into a message as it is, or says what is wrong in words
//! that the producer understands ([`InvalidEmail`]).
//!
//! What holds for every [`Email`]:
//!
//! - No string that goes into a header contains a line break or another control character, so nothing that a
//!   producer writes can add a header, a recipient or a part.
//! - Each mailbox is exactly one mailbox, its address is ASCII (international domains as punycode), and no
//!   address stands twice among the recipients.
//! - There are 1 to [`MAX_RECIPIENTS`] recipients, none of them suppressed.
//! - Its own tags leave room for sendonce's two, and cannot imitate them.
//! - Its encoded size is within what SES accepts.

mod attachment;
mod body;
mod header;
mod invalid;
mod json;
mod mailbox;
pub mod mime;
mod recipients;
mod size;
mod tag;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::fmt;

pub use self::{
    attachment::Attachment,
    header::ExtraHeader,
    invalid::InvalidEmail,
    mailbox::Mailbox,
    recipients::{MAX_RECIPIENTS, MAX_REPLY_TO},
    size::{MAX_ENCODED_BYTES, encoded_len},
    tag::{MAX_TAGS, Tag},
};

/// A row's content as the store read it, before anything was checked. JSON columns are still text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EmailRow {
    /// `email.id`.
    pub id: u64,
    /// One mailbox.
    pub sender: String,
    /// JSON array of mailboxes, or NULL.
    pub reply_to: Option<String>,
    /// JSON array of mailboxes.
    pub to_addresses: String,
    /// JSON array of mailboxes, or NULL.
    pub cc_addresses: Option<String>,
    /// JSON array of mailboxes, or NULL.
    pub bcc_addresses: Option<String>,
    /// The subject, any UTF-8.
    pub subject: String,
    /// The plain-text body.
    pub text_body: Option<String>,
    /// The HTML body.
    pub html_body: Option<String>,
    /// JSON object of extra headers, or NULL.
    pub headers: Option<String>,
    /// JSON object of SES tags, or NULL.
    pub tags: Option<String>,
    /// Rows of `attachment`, in order of their id.
    pub attachments: Vec<AttachmentRow>,
    /// Bare addresses, lower case, that match a row of `suppression` for this email.
    pub suppressed: Vec<String>,
}

/// A row of `attachment`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AttachmentRow {
    /// File name.
    pub name: String,
    /// MIME type.
    pub content_type: String,
    /// `Content-ID` without angle brackets: an inline image, referred to as `cid:…` in the HTML body.
    pub content_id: Option<String>,
    /// The bytes.
    pub content: Vec<u8>,
}

/// What a valid row leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// An email to hand to SES, without the recipients that are suppressed.
    Sendable(Box<Email>),
    /// The row is valid, but every recipient is suppressed: SES is not called.
    AllSuppressed,
}

/// How an email is handed to SES.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As fields; SES builds the message.
    Simple,
    /// As a message built by [`mime::compose`], where the fields of SES cannot carry something.
    Raw,
}

/// A valid email.
#[derive(Clone, PartialEq, Eq)]
pub struct Email {
    id: u64,
    sender: Mailbox,
    reply_to: Vec<Mailbox>,
    to: Vec<Mailbox>,
    cc: Vec<Mailbox>,
    bcc: Vec<Mailbox>,
    subject: String,
    text_body: Option<String>,
    html_body: Option<String>,
    headers: Vec<ExtraHeader>,
    tags: Vec<Tag>,
    attachments: Vec<Attachment>,
}

impl Email {
    /// Turns a row into an email.
    ///
    /// Every column is checked before suppression is looked at, so an invalid row is reported as such even when all
    /// its recipients are suppressed.
    ///
    /// # Errors
    ///
    /// [`InvalidEmail`] names the first thing found that keeps the row from being sent. It is permanent: the row must
    /// be written differently.
    pub fn parse(row: EmailRow) -> Result<Parsed, InvalidEmail> {
        let sender =
            Mailbox::parse(&row.sender).map_err(|problem| InvalidEmail::sender(&row.sender, &problem))?;
        let reply_to = recipients::parse_reply_to(row.reply_to.as_deref())?;
        let mut recipients = recipients::Recipients::parse(
            &row.to_addresses,
            row.cc_addresses.as_deref(),
            row.bcc_addresses.as_deref(),
        )?;
        let subject = body::parse_subject(&row.subject)?;
        let (text_body, html_body) = body::parse_bodies(row.text_body, row.html_body)?;
        let headers = header::parse(row.headers.as_deref())?;
        let tags = tag::parse(row.tags.as_deref())?;
        let attachments = attachment::parse(row.attachments)?;
        recipients.remove_suppressed(&row.suppressed);
        let recipients::Recipients { to, cc, bcc } = recipients;
        let email = Self {
            id: row.id,
            sender,
            reply_to,
            to,
            cc,
            bcc,
            subject,
            text_body,
            html_body,
            headers,
            tags,
            attachments,
        };
        let size = email.encoded_size_upper_bound();
        if size > MAX_ENCODED_BYTES {
            return Err(InvalidEmail::too_large(size));
        }
        Ok(if email.recipient_count() == 0 {
            Parsed::AllSuppressed
        } else {
            Parsed::Sendable(Box::new(email))
        })
    }

    /// `email.id`.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Who it is from.
    #[must_use]
    pub const fn sender(&self) -> &Mailbox {
        &self.sender
    }

    /// Where replies go; empty: to the sender.
    #[must_use]
    pub fn reply_to(&self) -> &[Mailbox] {
        &self.reply_to
    }

    /// The `To` recipients. May be empty when there are others.
    #[must_use]
    pub fn to(&self) -> &[Mailbox] {
        &self.to
    }

    /// The `Cc` recipients.
    #[must_use]
    pub fn cc(&self) -> &[Mailbox] {
        &self.cc
    }

    /// The recipients that no header names.
    #[must_use]
    pub fn bcc(&self) -> &[Mailbox] {
        &self.bcc
    }

    /// All recipients: to, cc, bcc.
    pub fn recipients(&self) -> impl Iterator<Item = &Mailbox> {
        self.to.iter().chain(&self.cc).chain(&self.bcc)
    }

    /// How many recipients SES counts against the account's quota.
    #[must_use]
    pub fn recipient_count(&self) -> usize {
        self.to.len() + self.cc.len() + self.bcc.len()
    }

    /// The subject, any UTF-8 but control characters.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The plain-text body.
    #[must_use]
    pub fn text_body(&self) -> Option<&str> {
        self.text_body.as_deref()
    }

    /// The HTML body.
    #[must_use]
    pub fn html_body(&self) -> Option<&str> {
        self.html_body.as_deref()
    }

    /// The extra headers, in the order of the column.
    #[must_use]
    pub fn headers(&self) -> &[ExtraHeader] {
        &self.headers
    }

    /// The row's own tags; `email_id` and `attempt_id` are added by whoever sends.
    #[must_use]
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// The attachments, inline images among them.
    #[must_use]
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// Simple wherever SES's fields can carry the email, Raw otherwise.
    #[must_use]
    pub fn form(&self) -> Form {
        let fits = self.headers.len() <= header::MAX_SIMPLE_HEADERS
            && self.headers.iter().all(ExtraHeader::fits_simple)
            && self.attachments.iter().all(Attachment::fits_simple);
        if fits { Form::Simple } else { Form::Raw }
    }

    /// At most this many bytes as a MIME message in which bodies and attachments are base64, which is how SES counts.
    /// A message that was really built is measured again.
    #[must_use]
    pub fn encoded_size_upper_bound(&self) -> u64 {
        size::of_headers(self)
            + self.text_body().map_or(0, size::of_text)
            + self.html_body().map_or(0, size::of_text)
            + self.attachments.iter().map(size::of_attachment).sum::<u64>()
    }
}

// What a producer wrote is personal; a `{:?}` in a log line or a failed assertion must not repeat it.

impl fmt::Debug for EmailRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmailRow").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for AttachmentRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachmentRow").field("bytes", &self.content.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Email")
            .field("id", &self.id)
            .field("recipients", &self.recipient_count())
            .field("attachments", &self.attachments.len())
            .finish_non_exhaustive()
    }
}
