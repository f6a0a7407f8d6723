//! Tags: what a producer finds again in SES's events.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    invalid::{InvalidEmail, Quoted},
    json,
};

/// SES takes 50 tags a message, and two are sendonce's own.
pub const MAX_TAGS: usize = 48;
const MAX_BYTES: usize = 256;

/// A tag: name and value of `[A-Za-z0-9_-]{1,256}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    name: String,
    value: String,
}

impl Tag {
    /// The name, never `email_id` or `attempt_id`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// Reads the column. A whole number counts as the string of its digits, because `JSON_OBJECT('order', NEW.id)` is what
/// SQL producers write.
pub(super) fn parse(json: Option<&str>) -> Result<Vec<Tag>, InvalidEmail> {
    let members = json::members(json).map_err(|problem| invalid(format!("tags {problem}.")))?;
    if members.len() > MAX_TAGS {
        return Err(invalid(format!("tags: {} tags; at most {MAX_TAGS} work.", members.len())));
    }
    let mut seen = HashSet::new();
    let mut tags = Vec::with_capacity(members.len());
    for (name, value) in members {
        let refuse = |problem: &str| invalid(format!("tags, {}: {problem}.", Quoted(&name)));
        let value = match value {
            Value::String(value) => value,
            Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
            other => {
                return Err(refuse(&format!("the value must be a string, but is {}", json::name(&other))));
            }
        };
        let lower = name.to_ascii_lowercase();
        if lower.starts_with("ses:") {
            return Err(refuse("names that begin with ses: are Amazon SES's own"));
        }
        if lower == "email_id" || lower == "attempt_id" {
            return Err(refuse("this tag is set on every email by sendonce itself; choose another name"));
        }
        if !is_word(&name) {
            return Err(refuse(
                "a tag's name has 1 to 256 letters, digits, underscores or dashes, all ASCII",
            ));
        }
        if !is_word(&value) {
            return Err(refuse(&format!(
                "the value {} must have 1 to 256 letters, digits, underscores or dashes, all ASCII",
                Quoted(&value)
            )));
        }
        if !seen.insert(name.clone()) {
            return Err(refuse("the tag stands twice"));
        }
        tags.push(Tag { name, value });
    }
    Ok(tags)
}

fn is_word(text: &str) -> bool {
    (1..=MAX_BYTES).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

fn invalid(detail: String) -> InvalidEmail {
    InvalidEmail::new("invalid_tag", detail)
}
