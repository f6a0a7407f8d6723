//! How large an email becomes.

use super::{Attachment, Email};

/// What SES takes: 40 MB for the whole message, after base64. (SES means binary megabytes: the limit of its first API,
/// documented as 10 MB, answers with 10,485,760.)
pub const MAX_ENCODED_BYTES: u64 = 40 * 1024 * 1024;

/// Header lines and boundary of one part.
const PART_OVERHEAD: u64 = 1024;
/// The headers that every message has, those that SES adds, the outer boundaries.
const MESSAGE_OVERHEAD: u64 = 16 * 1024;
/// Encoded words of single short words grow the most: sixteen bytes for a letter of two.
const HEADER_GROWTH: u64 = 10;

/// How many bytes `bytes` become as base64 in lines of 76 characters. Saturates instead of overflowing.
#[must_use]
pub const fn encoded_len(bytes: u64) -> u64 {
    let characters = bytes.div_ceil(3).saturating_mul(4);
    characters.saturating_add(characters.div_ceil(76).saturating_mul(2))
}

pub(super) fn of_headers(email: &Email) -> u64 {
    let mailboxes = email.recipients().chain(email.reply_to()).chain([email.sender()]);
    let headers = email.headers().iter().map(|header| of_header(header.name()) + of_header(header.value()));
    MESSAGE_OVERHEAD
        + of_header(email.subject())
        + mailboxes.map(|m| of_header(m.address()) + m.name().map_or(0, of_header)).sum::<u64>()
        + headers.sum::<u64>()
}

pub(super) fn of_text(body: &str) -> u64 {
    // Line feeds become CR LF.
    let breaks = body.bytes().filter(|b| *b == b'\n').count();
    PART_OVERHEAD + encoded_len((body.len() + breaks) as u64)
}

pub(super) fn of_attachment(attachment: &Attachment) -> u64 {
    let names = of_header(attachment.name()) + of_header(attachment.content_type());
    PART_OVERHEAD + names + encoded_len(attachment.content().len() as u64)
}

fn of_header(text: &str) -> u64 {
    text.len() as u64 * if text.is_ascii() { 2 } else { HEADER_GROWTH }
}
