//! Small pieces of text.

use serde_json::Value;

/// What a producer, or SES, wrote, safe for a terminal: no control character reaches it.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let escaped = steers(character).then(|| character.escape_default());
            let kept = (!steers(character)).then_some(character);
            escaped.into_iter().flatten().chain(kept)
        })
        .collect()
}

/// Moves the cursor, changes the colours, breaks the line, or turns the direction of reading.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// A JSON document with what JSON itself lets through escaped too: some terminals obey U+009B as they obey ESC.
pub(crate) fn harmless(document: &str) -> String {
    let mut text = String::with_capacity(document.len());
    for character in document.chars() {
        if character != '\n' && steers(character) {
            // All of them have four digits at most, and stand within a string.
            text.extend([format!("\\u{:04x}", u32::from(character))]);
        } else {
            text.push(character);
        }
    }
    text
}

/// As [`plain`], but not longer than this.
pub(crate) fn clipped(text: &str, most: usize) -> String {
    let text = plain(text);
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A JSON array of mailboxes as people write them; whatever else stands there, as it is.
pub(crate) fn mailboxes(json: &str) -> String {
    match serde_json::from_str(json) {
        Ok(Value::Array(mailboxes)) => {
            let mailboxes = mailboxes.iter().map(|mailbox| match mailbox {
                Value::String(text) => plain(text),
                other => plain(&other.to_string()),
            });
            mailboxes.collect::<Vec<_>>().join(", ")
        }
        Ok(Value::String(text)) => plain(&text),
        _ => plain(json),
    }
}

/// `1 email`, `1,000 emails`.
pub(crate) fn emails(count: usize) -> String {
    let number = thousands(u64::try_from(count).unwrap_or(u64::MAX));
    format!("{number} email{}", if count == 1 { "" } else { "s" })
}

/// `1,234,567`
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{clipped, emails, harmless, mailboxes, plain, thousands};

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{202e}é"), "a\\u{1b}[2Jb\\nc\\u{202e}é");
        assert_eq!(clipped("abcdef", 4), "abc…");
        assert_eq!(clipped("abcd", 4), "abcd");
    }

    #[test]
    fn a_document_steers_no_terminal_and_says_the_same() {
        let value = serde_json::json!({"a": "x\u{9b}2J\u{1b}[m\u{7f}\u{202e}é\n"});
        let text = harmless(&format!("{value:#}\n"));
        assert!(!text.chars().any(|character| character != '\n' && super::steers(character)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).ok(), Some(value));
    }

    #[test]
    fn mailboxes_read_as_they_are_written() {
        assert_eq!(mailboxes(r#"["Ada <a@b.example>", "c@d.example"]"#), "Ada <a@b.example>, c@d.example");
        assert_eq!(mailboxes(r#"{"to": 1}"#), r#"{"to": 1}"#);
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!((emails(1).as_str(), emails(1_000).as_str()), ("1 email", "1,000 emails"));
    }
}
