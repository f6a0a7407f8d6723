//! From an email to the fields of `SendEmail`.

use std::time::{Duration, SystemTime};

use aws_sdk_sesv2::{
    error::BuildError,
    operation::send_email::builders::SendEmailFluentBuilder,
    primitives::Blob,
    types::{
        Attachment, AttachmentContentDisposition, AttachmentContentTransferEncoding, Body, Content,
        Destination, EmailContent, Message, MessageHeader, MessageTag, RawMessage,
    },
};
use ulid::Ulid;

use crate::{
    email::{self, Email, Form, MAX_ENCODED_BYTES, Mailbox, mime},
    mailer::{Consequence, Reason, Refusal},
    state::AttemptId,
};

/// Fills `request`. Sender, recipients and reply addresses are explicit in both forms: with Raw content SES then takes
/// them from here and not from the headers, which is how a Bcc reaches its recipient without being seen.
pub(super) fn build(
    request: SendEmailFluentBuilder,
    email: &Email,
    attempt: &AttemptId,
) -> Result<SendEmailFluentBuilder, Refusal> {
    let content = match email.form() {
        Form::Simple => simple(email).map_err(unbuildable)?,
        Form::Raw => raw(email, attempt)?,
    };
    let destination = Destination::builder()
        .set_to_addresses(encoded(email.to()))
        .set_cc_addresses(encoded(email.cc()))
        .set_bcc_addresses(encoded(email.bcc()))
        .build();
    Ok(request
        .from_email_address(email.sender().encoded())
        .set_reply_to_addresses(encoded(email.reply_to()))
        .destination(destination)
        .content(content)
        .set_email_tags(Some(tags(email, attempt).map_err(unbuildable)?)))
}

fn encoded(mailboxes: &[Mailbox]) -> Option<Vec<String>> {
    if mailboxes.is_empty() { None } else { Some(mailboxes.iter().map(Mailbox::encoded).collect()) }
}

fn tags(email: &Email, attempt: &AttemptId) -> Result<Vec<MessageTag>, BuildError> {
    let id = email.id().to_string();
    let own = [("email_id", id.as_str()), ("attempt_id", attempt.as_str())];
    own.into_iter()
        .chain(email.tags().iter().map(|tag| (tag.name(), tag.value())))
        .map(|(name, value)| MessageTag::builder().name(name).value(value).build())
        .collect()
}

fn simple(email: &Email) -> Result<EmailContent, BuildError> {
    let utf8 = |data: &str| Content::builder().data(data).charset("UTF-8").build();
    let body = Body::builder()
        .set_text(email.text_body().map(utf8).transpose()?)
        .set_html(email.html_body().map(utf8).transpose()?)
        .build();
    let headers = email
        .headers()
        .iter()
        .map(|header| MessageHeader::builder().name(header.name()).value(header.value()).build())
        .collect::<Result<Vec<_>, _>>()?;
    let attachments = email.attachments().iter().map(attachment).collect::<Result<Vec<_>, _>>()?;
    let message = Message::builder()
        .subject(utf8(email.subject())?)
        .body(body)
        .set_headers(if headers.is_empty() { None } else { Some(headers) })
        .set_attachments(if attachments.is_empty() { None } else { Some(attachments) })
        .build();
    Ok(EmailContent::builder().simple(message).build())
}

fn attachment(attachment: &email::Attachment) -> Result<Attachment, BuildError> {
    let disposition = if attachment.content_id().is_some() {
        AttachmentContentDisposition::Inline
    } else {
        AttachmentContentDisposition::Attachment
    };
    Attachment::builder()
        .raw_content(Blob::new(attachment.content()))
        .file_name(attachment.name())
        .content_type(attachment.content_type())
        .content_disposition(disposition)
        .set_content_id(attachment.content_id().map(str::to_owned))
        .content_transfer_encoding(AttachmentContentTransferEncoding::Base64)
        .build()
}

fn raw(email: &Email, attempt: &AttemptId) -> Result<EmailContent, Refusal> {
    // The attempt's token has 80 random bits that the producer, who wrote the row before, cannot have known.
    let boundary = format!("sendonce-{attempt}-");
    let message = mime::compose(email, time_of(attempt), &boundary).map_err(unbuildable)?;
    if message.len() as u64 > MAX_ENCODED_BYTES {
        return Err(never(
            "email_too_large",
            format!(
                "The email is too large: {} bytes as a message, and Amazon SES takes at most {MAX_ENCODED_BYTES}.",
                message.len()
            ),
        ));
    }
    let raw = RawMessage::builder().data(Blob::new(message)).build().map_err(unbuildable)?;
    Ok(EmailContent::builder().raw(raw).build())
}

/// When the attempt was made, from its token; near enough, since SES writes its own `Date` over it.
fn time_of(attempt: &AttemptId) -> SystemTime {
    let unix_ms = Ulid::from_string(attempt.as_str()).map_or(0, |ulid| ulid.timestamp_ms());
    SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms)
}

fn unbuildable(error: impl std::fmt::Display) -> Refusal {
    never("email_unbuildable", format!("The email could not be put into a request: {error}."))
}

fn never(kind: &'static str, detail: String) -> Refusal {
    Refusal { consequence: Consequence::Permanent, reason: Reason::new(kind, detail) }
}
