//! Why a row cannot be sent, in the producer's words.

use std::fmt;

use crate::{email::size::MAX_ENCODED_BYTES, mailer::Reason};

/// A row that cannot be sent as it is written. Permanent.
///
/// Displays the sentence, which may quote what the producer wrote: for `error_detail`, not for a log. `Debug` shows the
/// kind alone.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct InvalidEmail {
    kind: &'static str,
    detail: String,
}

impl InvalidEmail {
    pub(super) fn new(kind: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    pub(super) fn sender(written: &str, problem: &str) -> Self {
        Self::new("invalid_sender", format!("sender: {} {problem}.", Quoted(written)))
    }

    pub(super) fn too_large(size: u64) -> Self {
        Self::new(
            "email_too_large",
            format!(
                "The email is too large: bodies and attachments are {size} bytes once encoded as base64, and Amazon \
                 SES takes at most {MAX_ENCODED_BYTES}. Send a link to the largest attachment instead."
            ),
        )
    }

    /// The stable code, `snake_case`: one of `invalid_sender`, `invalid_reply_to`, `invalid_recipient`, `no_recipient`,
    /// `too_many_recipients`, `invalid_subject`, `no_body`, `invalid_body`, `invalid_header`, `invalid_tag`,
    /// `invalid_attachment`, `email_too_large`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// The sentence: which column, which position, what is wrong, what would be right.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Debug for InvalidEmail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvalidEmail").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl From<InvalidEmail> for Reason {
    fn from(invalid: InvalidEmail) -> Self {
        Self { kind: invalid.kind, detail: invalid.detail }
    }
}

/// What the producer wrote, quoted on one line, control characters escaped, cut where it would drown the sentence.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 80;
        f.write_str("“")?;
        for c in self.0.chars().take(SHOWN) {
            if is_control(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        f.write_str(if self.0.chars().nth(SHOWN).is_some() { "…”" } else { "”" })
    }
}

/// Whether a character could break a header line somewhere between here and the reader: the control characters of
/// ASCII and Latin-1, and Unicode's two line separators.
pub(super) fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Names the first control character in `text`, in words.
pub(super) fn find_control(text: &str) -> Option<String> {
    text.chars().find(|c| is_control(*c)).map(|c| match c {
        '\r' | '\n' | '\u{2028}' | '\u{2029}' => "a line break".to_owned(),
        '\t' => "a tab".to_owned(),
        c => format!("the control character U+{:04X}", u32::from(c)),
    })
}
