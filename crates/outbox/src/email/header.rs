//! Extra headers: what a producer may add to a message, and what stays sendonce's and SES's.

use std::{collections::HashSet, fmt};

use serde_json::Value;

use super::{
    invalid::{InvalidEmail, Quoted, find_control},
    json,
};

/// SES takes at most this many extra headers as fields.
pub(super) const MAX_SIMPLE_HEADERS: usize = 15;
/// SES's documentation says 870 in one place and 995 in another; a longer value goes Raw, where neither holds.
const MAX_SIMPLE_VALUE_BYTES: usize = 870;
/// Ours: a header section beyond this is a mistake, and receivers refuse it.
const MAX_HEADERS: usize = 50;
const MAX_VALUE_CHARS: usize = 4000;
/// The MIME library's bound, which is tighter than SES's 126: one rule, whatever form the email takes.
const MAX_NAME_BYTES: usize = 76;
/// A line can be folded only at a space, and must not exceed 998 bytes with the name before it.
pub(super) const MAX_WORD_BYTES: usize = 870;

/// An extra header: a name that is not reserved and a value of one line.
#[derive(Clone, PartialEq, Eq)]
pub struct ExtraHeader {
    name: String,
    value: String,
}

impl ExtraHeader {
    /// The name as written: ASCII letters, digits, `-` and `_`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value: any UTF-8 but control characters, words one space apart.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    pub(super) fn fits_simple(&self) -> bool {
        self.value.len() <= MAX_SIMPLE_VALUE_BYTES && self.value.is_ascii()
    }
}

impl fmt::Debug for ExtraHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtraHeader").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Headers that have a column, that the sender's infrastructure writes, or that would steer SES past the deployment's
/// configuration set and tags. Lower case; a final `*` stands for any ending.
const RESERVED: &[(&str, &str)] = &[
    ("from", "it has its column, sender"),
    ("to", "it has its column, to_addresses"),
    ("cc", "it has its column, cc_addresses"),
    ("bcc", "it has its column, bcc_addresses"),
    ("subject", "it has its column"),
    ("reply-to", "it has its column, reply_to"),
    ("sender", "it would contradict the column sender"),
    ("apparently-to", "it would name recipients"),
    ("resent-*", "it would name recipients"),
    ("date", "Amazon SES writes it"),
    ("message-id", "Amazon SES writes it"),
    ("return-path", "Amazon SES writes it"),
    ("received", "mail servers write it"),
    ("received-spf", "mail servers write it"),
    ("authentication-results", "mail servers write it"),
    ("arc-*", "mail servers write it"),
    ("dkim-signature", "mail servers write it"),
    ("domainkey-signature", "mail servers write it"),
    ("mime-version", "it follows from the bodies and attachments"),
    ("content-*", "it follows from the bodies and attachments"),
    ("x-ses-*", "it would override what the deployment tells Amazon SES"),
];

/// Reads the column.
pub(super) fn parse(json: Option<&str>) -> Result<Vec<ExtraHeader>, InvalidEmail> {
    let members = json::members(json).map_err(|problem| invalid(format!("headers {problem}.")))?;
    if members.len() > MAX_HEADERS {
        return Err(invalid(format!("headers: {} headers; at most {MAX_HEADERS} work.", members.len())));
    }
    let mut seen = HashSet::new();
    let mut headers = Vec::with_capacity(members.len());
    for (name, value) in members {
        let refuse = |problem: String| invalid(format!("headers, {}: {problem}.", Quoted(&name)));
        check_name(&name).map_err(refuse)?;
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(refuse("the header stands twice; upper and lower case do not count".to_owned()));
        }
        let value = parse_value(&value).map_err(refuse)?;
        headers.push(ExtraHeader { name, value });
    }
    Ok(headers)
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(format!("a header's name has 1 to {MAX_NAME_BYTES} characters"));
    }
    // RFC 5322 allows more, but readers stumble over names such as "." or "(": no header in use has one.
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !letters || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(
            "a header's name begins with a letter and has only ASCII letters, digits, - and _".to_owned()
        );
    }
    let lower = name.to_ascii_lowercase();
    let reserved = RESERVED.iter().find(|(pattern, _)| match pattern.strip_suffix('*') {
        Some(prefix) => lower.starts_with(prefix),
        None => lower == *pattern,
    });
    reserved.map_or(Ok(()), |(_, why)| Err(format!("this header cannot be set here: {why}")))
}

fn parse_value(value: &Value) -> Result<String, String> {
    let Value::String(value) = value else {
        return Err(format!("the value must be a string, but is {}", json::name(value)));
    };
    if let Some(control) = find_control(value) {
        return Err(format!("the value contains {control}; a header's value is one line of text"));
    }
    if value.chars().count() > MAX_VALUE_CHARS {
        return Err(format!("the value is longer than {MAX_VALUE_CHARS} characters"));
    }
    // Runs of spaces mean nothing in a header and cannot be folded.
    let words: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return Err("the value is empty".to_owned());
    }
    if words.iter().any(|word| word.is_ascii() && word.len() > MAX_WORD_BYTES) {
        return Err(format!(
            "the value has more than {MAX_WORD_BYTES} characters without a space; such a line cannot be folded"
        ));
    }
    Ok(words.join(" "))
}

fn invalid(detail: String) -> InvalidEmail {
    InvalidEmail::new("invalid_header", detail)
}
