//! Builds the message of an email whose [`Form`](super::Form) is Raw. Pure: the time and the boundary come from outside.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use email_encoding::headers::{rfc2047, writer::EmailWriter};
use lettre::{
    Address, Message,
    address::Envelope,
    message::{
        Attachment as Part, Body as Encoded, Mailbox as From, MultiPart, SinglePart,
        header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    },
};

use super::{Attachment, Email, ExtraHeader, Mailbox, header::MAX_WORD_BYTES};

/// The message could not be built. Never seen: everything that a message can refuse is refused by
/// [`Email::parse`](super::Email::parse).
#[derive(Debug, thiserror::Error)]
#[error("the MIME library refused the message: {0}")]
pub struct ComposeError(String);

/// The whole message, header lines and body, ready for SES.
///
/// `Bcc` recipients stand in no header: SES learns them from the request. There is no `Message-ID`, and SES replaces
/// `Date` by its own. `boundary` must be unguessable for the producer, or a body could contain it; it is followed by a
/// letter for each level.
///
/// # Errors
///
/// [`ComposeError`] when the MIME library refuses the message.
pub fn compose(email: &Email, date: SystemTime, boundary: &str) -> Result<Vec<u8>, ComposeError> {
    // The formatter of dates panics beyond the year 9999.
    let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let sender = From::new(email.sender().name().map(str::to_owned), address(email.sender())?);
    let to = email.recipients().map(address).collect::<Result<Vec<_>, _>>()?;
    let mut message = Message::builder()
        .envelope(Envelope::new(None, to).map_err(refused)?)
        .from(sender)
        .date(date.clamp(SystemTime::UNIX_EPOCH, latest))
        .raw_header(subject(email.subject())?);
    for (name, mailboxes) in [("To", email.to()), ("Cc", email.cc()), ("Reply-To", email.reply_to())] {
        if !mailboxes.is_empty() {
            message = message.raw_header(mailbox_list(name, mailboxes)?);
        }
    }
    for header in email.headers() {
        message = message.raw_header(extra(header)?);
    }
    let message = match body(email, boundary)? {
        Body::Single(part) => message.singlepart(part),
        Body::Multi(parts) => message.multipart(parts),
    };
    Ok(message.map_err(refused)?.formatted())
}

enum Body {
    Single(SinglePart),
    Multi(MultiPart),
}

impl Body {
    fn into(self, parent: MultiPart) -> MultiPart {
        match self {
            Self::Single(part) => parent.singlepart(part),
            Self::Multi(parts) => parent.multipart(parts),
        }
    }
}

/// `mixed( alternative( text, related( html, inline… ) ), attachment… )`, without the levels that hold one part only.
fn body(email: &Email, boundary: &str) -> Result<Body, ComposeError> {
    let (mut inline, mut attached): (Vec<&Attachment>, Vec<&Attachment>) =
        email.attachments().iter().partition(|attachment| attachment.content_id().is_some());
    let html = email.html_body().map(|html| SinglePart::html(lines(html)));
    if html.is_none() {
        // Nothing can refer to them.
        attached.append(&mut inline);
    }
    let html = match html {
        Some(html) if inline.is_empty() => Some(Body::Single(html)),
        Some(html) => {
            let related = MultiPart::related().boundary(format!("{boundary}R")).singlepart(html);
            Some(Body::Multi(add(related, &inline)?))
        }
        None => None,
    };
    let text = email.text_body().map(|text| Body::Single(SinglePart::plain(lines(text))));
    let content = match (text, html) {
        (Some(text), Some(html)) => {
            let alternative = MultiPart::alternative().boundary(format!("{boundary}A")).build();
            Body::Multi(html.into(text.into(alternative)))
        }
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return Err(ComposeError("no body".to_owned())),
    };
    if attached.is_empty() {
        return Ok(content);
    }
    let mixed = MultiPart::mixed().boundary(format!("{boundary}M")).build();
    Ok(Body::Multi(add(content.into(mixed), &attached)?))
}

fn add(mut parent: MultiPart, attachments: &[&Attachment]) -> Result<MultiPart, ComposeError> {
    for attachment in attachments {
        let content_type = ContentType::parse(attachment.content_type()).map_err(refused)?;
        let name = attachment.name().to_owned();
        let part = match attachment.content_id() {
            Some(id) => Part::new_inline_with_name(id.to_owned(), name),
            None => Part::new(name),
        };
        // Always base64: left to choose, the library sends bytes that happen to be ASCII as they are, bare line feeds
        // included, and mail servers would change them on the way.
        let content =
            Encoded::new_with_encoding(attachment.content().to_vec(), ContentTransferEncoding::Base64)
                .map_err(|_| ComposeError("an attachment was not taken as base64".to_owned()))?;
        parent = parent.singlepart(part.body(content, content_type));
    }
    Ok(parent)
}

/// Line ends as mail has them. The library turns LF into CR LF, but lets a lone CR pass.
fn lines(body: &str) -> String {
    body.replace("\r\n", "\n").replace('\r', "\n")
}

fn subject(text: &str) -> Result<HeaderValue, ComposeError> {
    let name = name("Subject")?;
    // As it stands only where folding and decoding give back exactly this.
    let plain = text.is_ascii()
        && !text.contains("=?")
        && !text.contains("  ")
        && text.split(' ').all(|word| word.len() <= MAX_WORD_BYTES);
    if plain { Ok(HeaderValue::new(name, text.to_owned())) } else { encoded_words(name, text) }
}

fn extra(header: &ExtraHeader) -> Result<HeaderValue, ComposeError> {
    let (name, value) = (name(header.name())?, header.value());
    // A value that is ASCII stands as the producer wrote it, encoded words of its own included. Otherwise only the words
    // outside ASCII are encoded, so that addresses beside them can still be read by machines.
    if value.is_ascii() || !value.contains("=?") {
        Ok(HeaderValue::new(name, value.to_owned()))
    } else {
        encoded_words(name, value)
    }
}

fn encoded_words(name: HeaderName, text: &str) -> Result<HeaderValue, ComposeError> {
    let mut encoded = String::new();
    {
        let mut w = EmailWriter::new(&mut encoded, name.len() + ": ".len(), 0, false);
        rfc2047::encode(text, &mut w).map_err(refused)?;
    }
    Ok(HeaderValue::dangerous_new_pre_encoded(name, text.to_owned(), encoded))
}

/// Mailboxes separated by commas, folded between them. (The library folds inside names only, so fifty bare addresses
/// would make one line of more than 998 characters.)
fn mailbox_list(name_: &'static str, mailboxes: &[Mailbox]) -> Result<HeaderValue, ComposeError> {
    const FOLD_AT: usize = 76;

    let name = name(name_)?;
    let mut encoded = String::new();
    {
        use fmt::Write as _;

        let mut w = EmailWriter::new(&mut encoded, name.len() + ": ".len(), 0, false);
        let last = mailboxes.len() - 1;
        for (at, mailbox) in mailboxes.iter().enumerate() {
            if at > 0 {
                if w.line_len() + mailbox.encoded().len() > FOLD_AT {
                    w.new_line().map_err(refused)?;
                }
                w.space();
            }
            mailbox.encode(&mut w).map_err(refused)?;
            if at < last {
                w.write_char(',').map_err(refused)?;
            }
        }
    }
    Ok(HeaderValue::dangerous_new_pre_encoded(name, String::new(), encoded))
}

fn name(name: &str) -> Result<HeaderName, ComposeError> {
    HeaderName::new_from_ascii(name.to_owned()).map_err(refused)
}

fn address(mailbox: &Mailbox) -> Result<Address, ComposeError> {
    mailbox.address().parse().map_err(refused)
}

fn refused(error: impl fmt::Display) -> ComposeError {
    ComposeError(error.to_string())
}
