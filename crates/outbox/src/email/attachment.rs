//! Attachments and inline images.

use std::{collections::HashSet, fmt};

use lettre::message::header::ContentType;

use super::{
    AttachmentRow,
    invalid::{InvalidEmail, Quoted, find_control},
};

/// What SES documents for a file name.
const MAX_NAME_CHARS: usize = 255;
const MAX_CONTENT_TYPE_BYTES: usize = 255;
/// What SES documents for its field; a longer type goes Raw.
const MAX_SIMPLE_CONTENT_TYPE_BYTES: usize = 78;
/// What SES documents for a content id.
const MAX_CONTENT_ID_BYTES: usize = 78;

/// A file that travels with the email; an inline image when it has a content id.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    name: String,
    content_type: String,
    content_id: Option<String>,
    content: Vec<u8>,
}

impl Attachment {
    /// The file name, any UTF-8 but control characters and path separators.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The MIME type, with its parameters if there are any.
    #[must_use]
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The content id without angle brackets. Present exactly when the attachment is shown inline.
    #[must_use]
    pub fn content_id(&self) -> Option<&str> {
        self.content_id.as_deref()
    }

    /// The bytes.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// SES documents that its file name has an extension, and nothing about names outside ASCII or about parameters of
    /// the type: those go Raw, where their encoding is known.
    pub(super) fn fits_simple(&self) -> bool {
        let extension =
            self.name.rsplit_once('.').is_some_and(|(stem, end)| !stem.is_empty() && !end.is_empty());
        extension
            && self.name.is_ascii()
            && self.content_type.len() <= MAX_SIMPLE_CONTENT_TYPE_BYTES
            && !self.content_type.contains(';')
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment").field("bytes", &self.content.len()).finish_non_exhaustive()
    }
}

/// Checks the rows of `attachment`. An empty file is valid; a file extension that SES does not take is SES's to refuse.
pub(super) fn parse(rows: Vec<AttachmentRow>) -> Result<Vec<Attachment>, InvalidEmail> {
    let mut ids = HashSet::new();
    let mut attachments = Vec::with_capacity(rows.len());
    for (at, row) in rows.into_iter().enumerate() {
        let refuse = |problem: String| {
            InvalidEmail::new(
                "invalid_attachment",
                format!("attachment {}, {}: {problem}.", at + 1, Quoted(&row.name)),
            )
        };
        check_name(&row.name).map_err(refuse)?;
        let content_type = parse_content_type(&row.content_type).map_err(refuse)?;
        let content_id = row.content_id.clone().filter(|id| !id.is_empty());
        if let Some(id) = &content_id {
            check_content_id(id).map_err(refuse)?;
            if !ids.insert(id.clone()) {
                return Err(refuse(format!("content_id {} stands twice in this email", Quoted(id))));
            }
        }
        attachments.push(Attachment { name: row.name, content_type, content_id, content: row.content });
    }
    Ok(attachments)
}

fn check_name(name: &str) -> Result<(), String> {
    if let Some(control) = find_control(name) {
        return Err(format!("the name contains {control}"));
    }
    if name.trim().is_empty() {
        return Err("the name is empty; a file name such as invoice.pdf is needed".to_owned());
    }
    if name.chars().count() > MAX_NAME_CHARS {
        return Err(format!("the name is longer than {MAX_NAME_CHARS} characters"));
    }
    if name.contains("=?") {
        return Err("the name is already encoded (=?…?=); write it as plain UTF-8".to_owned());
    }
    if name.contains(['/', '\\']) {
        return Err(
            "the name contains a path separator; a bare file name such as invoice.pdf is needed".to_owned()
        );
    }
    Ok(())
}

fn parse_content_type(written: &str) -> Result<String, String> {
    let invalid = || {
        format!("content_type {} is not a MIME type such as application/pdf or image/png", Quoted(written))
    };
    let written = written.trim_matches(' ');
    let readable = written.len() <= MAX_CONTENT_TYPE_BYTES
        && !written.contains("=?")
        && written.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    if !readable {
        return Err(invalid());
    }
    let essence = written.split(';').next().unwrap_or_default().trim_end_matches(' ').to_ascii_lowercase();
    let token = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let (main, sub) = essence.split_once('/').ok_or_else(invalid)?;
    if !token(main) || !token(sub) || ContentType::parse(written).is_err() {
        return Err(invalid());
    }
    if matches!(main, "multipart" | "message") {
        return Err(format!(
            "content_type {} is for messages, not for files; use application/octet-stream",
            Quoted(written)
        ));
    }
    Ok(written.to_owned())
}

fn check_content_id(id: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.@".contains(&b);
    if id.len() <= MAX_CONTENT_ID_BYTES && id.bytes().all(allowed) {
        return Ok(());
    }
    Err(format!(
        "content_id {} must have at most {MAX_CONTENT_ID_BYTES} ASCII letters, digits and signs such as . _ - @, without \
         angle brackets and spaces; logo or logo@shop.example would do",
        Quoted(id)
    ))
}
