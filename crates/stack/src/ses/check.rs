//! The limits of SES.
//!
//! Where the documentation leaves open what SES does, the stricter is chosen: text in a charset it does not fit is
//! refused here, while SES may well send question marks.

use std::collections::BTreeSet;

use super::{address, recorded::Message, refusal::Refusal, wire};

/// 40 MB, in the binary megabytes of the service's own error message.
const SIZE_LIMIT: usize = 40 * 1024 * 1024;
const RECIPIENT_LIMIT: usize = 50;
const HEADER_LIMIT: usize = 15;

/// Headers that SES makes itself from other members.
const RESERVED: [&str; 14] = [
    "bcc",
    "cc",
    "content-disposition",
    "content-transfer-encoding",
    "content-type",
    "date",
    "from",
    "message-id",
    "mime-version",
    "reply-to",
    "return-path",
    "sender",
    "subject",
    "to",
];

/// Headers that may be there once only, of those a sender of mail is likely to set.
const ONCE: [&str; 26] = [
    "archived-at",
    "auto-submitted",
    "content-transfer-encoding",
    "content-type",
    "date",
    "errors-to",
    "from",
    "importance",
    "in-reply-to",
    "keywords",
    "list-archive",
    "list-help",
    "list-id",
    "list-owner",
    "list-post",
    "list-subscribe",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "message-id",
    "mime-version",
    "precedence",
    "priority",
    "references",
    "reply-to",
    "return-path",
    "subject",
];

/// Recipients, sender and reply addresses.
pub(super) fn message(message: &Message) -> Result<(), Refusal> {
    let count = message.recipients().count();
    if count == 0 {
        return Err(Refusal::bad_request("Destination must have at least one recipient."));
    }
    if count > RECIPIENT_LIMIT {
        return Err(Refusal::bad_request(format!("Recipient count exceeds {RECIPIENT_LIMIT}.")));
    }
    for mailbox in
        message.from.iter().chain(&message.reply_to).map(String::as_str).chain(message.recipients())
    {
        address::bare(mailbox).map_err(Refusal::bad_request)?;
    }
    Ok(())
}

pub(super) fn size(bytes: usize) -> Result<(), Refusal> {
    if bytes <= SIZE_LIMIT {
        return Ok(());
    }
    Err(Refusal::bad_request(format!("Message length is more than {SIZE_LIMIT} bytes long: '{bytes}'.")))
}

pub(super) fn tag(name: &str, value: &str) -> Result<(), Refusal> {
    for (what, text) in [("name", name), ("value", value)] {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if text.is_empty() || text.len() > 256 || !text.bytes().all(is_allowed) {
            return Err(Refusal::bad_request(format!(
                "Invalid tag {what} <{text}>: only alphanumeric ASCII characters, '_', and '-' are allowed, up to 256."
            )));
        }
    }
    Ok(())
}

pub(super) fn configuration_set(name: Option<&str>) -> Result<(), Refusal> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match name {
        Some(name) if name.is_empty() || name.len() > 64 || !name.bytes().all(is_allowed) => {
            Err(Refusal::bad_request(format!("Invalid configuration set name <{name}>.")))
        }
        _ => Ok(()),
    }
}

/// The extra headers of simple and template content.
pub(super) fn headers(headers: &[(String, String)]) -> Result<(), Refusal> {
    if headers.len() > HEADER_LIMIT {
        return Err(Refusal::bad_request(format!("Header count exceeds {HEADER_LIMIT}.")));
    }
    for (name, value) in headers {
        let is_name = |byte: u8| (33..=126).contains(&byte) && byte != b':';
        if name.is_empty() || name.len() > 126 || !name.bytes().all(is_name) {
            return Err(Refusal::bad_request(format!("Invalid header name <{}>.", name.escape_default())));
        }
        let is_value = |byte: u8| (32..=126).contains(&byte);
        if value.len() > 995 || name.len() + value.len() > 996 || !value.bytes().all(is_value) {
            return Err(Refusal::bad_request(format!("Invalid value of header <{name}>.")));
        }
        if RESERVED.contains(&name.to_lowercase().as_str()) {
            return Err(Refusal::bad_request(format!("Header <{name}> is not allowed.")));
        }
    }
    once(headers.iter().map(|(name, _)| name.as_str()))
}

/// That no header is there twice which may be there once.
pub(super) fn once<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for name in names {
        let lower = name.to_lowercase();
        if ONCE.contains(&lower.as_str()) && !seen.insert(lower) {
            return Err(Refusal::bad_request(format!("Duplicate header '{name}'.")));
        }
    }
    Ok(())
}

pub(super) fn charset(charset: Option<&str>, data: &str) -> Result<(), Refusal> {
    let charset = charset.unwrap_or("us-ascii").to_lowercase();
    let fits = match charset.as_str() {
        "utf-8" => true,
        "us-ascii" => data.is_ascii(),
        "iso-8859-1" => data.chars().all(|character| u32::from(character) < 256),
        _ => return Err(Refusal::bad_request(format!("Unsupported charset <{charset}>."))),
    };
    if fits { Ok(()) } else { Err(Refusal::bad_request(format!("Data does not fit charset <{charset}>."))) }
}

pub(super) fn attachment(attachment: &wire::Attachment) -> Result<(), Refusal> {
    let refuse = |what: &str| Err(Refusal::bad_request(format!("Invalid attachment: {what}.")));
    let lengths = [
        ("FileName", &attachment.file_name, 255),
        ("ContentId", &attachment.content_id, 78),
        ("ContentType", &attachment.content_type, 78),
        ("ContentDescription", &attachment.content_description, 1000),
    ];
    for (name, value, limit) in lengths {
        if let Some(value) = value
            && (value.is_empty() || value.chars().count() > limit || value.chars().any(char::is_control))
        {
            return refuse(&format!("{name} must have 1 to {limit} characters and no control characters"));
        }
    }
    let one_of = |value: &Option<String>, known: &[&str]| {
        value.as_ref().is_none_or(|value| known.contains(&value.as_str()))
    };
    if !one_of(&attachment.content_disposition, &["ATTACHMENT", "INLINE"]) {
        return refuse("ContentDisposition must be ATTACHMENT or INLINE");
    }
    let encodings = ["BASE64", "QUOTED_PRINTABLE", "SEVEN_BIT"];
    if !one_of(&attachment.content_transfer_encoding, &encodings) {
        return refuse("ContentTransferEncoding must be BASE64, QUOTED_PRINTABLE or SEVEN_BIT");
    }
    Ok(())
}
