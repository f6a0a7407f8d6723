//! Subject and bodies.

use super::invalid::{InvalidEmail, find_control};

/// RFC 5322's longest line, as a bound for what a subject may reasonably be.
const MAX_SUBJECT_CHARS: usize = 998;

/// The subject without white space around it, which no header keeps.
pub(super) fn parse_subject(written: &str) -> Result<String, InvalidEmail> {
    if let Some(control) = find_control(written) {
        return Err(InvalidEmail::new(
            "invalid_subject",
            format!("subject: contains {control}; a subject is one line of text."),
        ));
    }
    let length = written.chars().count();
    if length > MAX_SUBJECT_CHARS {
        return Err(InvalidEmail::new(
            "invalid_subject",
            format!("subject: {length} characters; at most {MAX_SUBJECT_CHARS} work."),
        ));
    }
    Ok(written.trim().to_owned())
}

/// The two bodies. An empty one counts as absent: MySQL's producers often write `''` where they mean NULL, and a
/// message with an empty HTML part shows as blank.
pub(super) fn parse_bodies(
    text: Option<String>,
    html: Option<String>,
) -> Result<(Option<String>, Option<String>), InvalidEmail> {
    let (text, html) = (text.filter(|body| !body.is_empty()), html.filter(|body| !body.is_empty()));
    if text.is_none() && html.is_none() {
        return Err(InvalidEmail::new("no_body", "There is no body: fill text_body, html_body or both."));
    }
    for (column, body) in [("text_body", &text), ("html_body", &html)] {
        if body.as_ref().is_some_and(|body| body.contains('\0')) {
            return Err(InvalidEmail::new(
                "invalid_body",
                format!("{column}: contains a NUL character; send binary data as an attachment."),
            ));
        }
    }
    Ok((text, html))
}
