//! The body of a doorbell: `{"email_id": 42}`, or the bare decimal id.

use serde::Deserialize;

/// A body that names no email.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableBody {
    /// There is nothing in it.
    #[error("the body is empty")]
    Empty,
    /// Its bytes are not text.
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// It is neither a number nor a JSON object with the key `email_id`.
    #[error("the body is neither a decimal id nor a JSON object with the key email_id")]
    Shape,
    /// The id is 0, negative, fractional or above 18446744073709551615.
    #[error("the id is not a whole number from 1 to 18446744073709551615")]
    Id,
}

impl UnreadableBody {
    /// A short stable code for logs.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Empty => "body_empty",
            Self::NotUtf8 => "body_not_utf8",
            Self::Shape => "body_shape",
            Self::Id => "body_id",
        }
    }
}

#[derive(Deserialize)]
struct Object {
    email_id: serde_json::Value,
}

/// Reads the id out of a body: a bare decimal number, or a JSON object whose `email_id` is a number or a string of
/// digits (many languages write a 64-bit integer as a string). Other keys are the producer's own and ignored.
///
/// # Errors
///
/// [`UnreadableBody`]; it never quotes the body.
pub fn parse(body: &[u8]) -> Result<u64, UnreadableBody> {
    let text = std::str::from_utf8(body).map_err(|_| UnreadableBody::NotUtf8)?.trim();
    if text.is_empty() {
        return Err(UnreadableBody::Empty);
    }
    if text.starts_with('{') {
        let object: Object = serde_json::from_str(text).map_err(|_| UnreadableBody::Shape)?;
        return match object.email_id {
            serde_json::Value::Number(number) => {
                number.as_u64().filter(|id| *id > 0).ok_or(UnreadableBody::Id)
            }
            serde_json::Value::String(digits) => id(&digits),
            _ => Err(UnreadableBody::Id),
        };
    }
    id(text)
}

fn id(digits: &str) -> Result<u64, UnreadableBody> {
    if !digits.trim_start_matches(['-', '+']).starts_with(|first: char| first.is_ascii_digit()) {
        return Err(UnreadableBody::Shape);
    }
    // `u64::from_str` accepts a leading `+`, which no producer writes for an id.
    match digits.parse::<u64>() {
        Ok(id) if id > 0 && !digits.starts_with('+') => Ok(id),
        _ => Err(UnreadableBody::Id),
    }
}

/// The body that names an email.
#[must_use]
pub fn write(email_id: u64) -> String {
    format!(r#"{{"email_id":{email_id}}}"#)
}

#[cfg(test)]
mod tests {
    use super::{UnreadableBody, parse, write};

    #[test]
    fn ids_in_every_accepted_shape() {
        for body in [
            "42",
            " 42\n",
            r#"{"email_id":42}"#,
            r#"{"email_id":"42"}"#,
            r#"{"tenant":"blue","email_id": 42}"#,
        ] {
            assert_eq!(parse(body.as_bytes()), Ok(42), "{body}");
        }
        assert_eq!(parse(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(parse(write(u64::MAX).as_bytes()), Ok(u64::MAX));
    }

    #[test]
    fn bodies_that_name_no_email() {
        let cases: [(&[u8], UnreadableBody); 18] = [
            (b"", UnreadableBody::Empty),
            (b" \n", UnreadableBody::Empty),
            (b"\xff\xfe", UnreadableBody::NotUtf8),
            (b"0", UnreadableBody::Id),
            (b"-1", UnreadableBody::Id),
            (b"+1", UnreadableBody::Id),
            (b"1.5", UnreadableBody::Id),
            (b"99999999999999999999", UnreadableBody::Id),
            (b"42abc", UnreadableBody::Id),
            (b"hello", UnreadableBody::Shape),
            (b"[42]", UnreadableBody::Shape),
            (b"null", UnreadableBody::Shape),
            (b"{}", UnreadableBody::Shape),
            (b"{\"email_id\":", UnreadableBody::Shape),
            (br#"{"email_id":0}"#, UnreadableBody::Id),
            (br#"{"email_id":-3}"#, UnreadableBody::Id),
            (br#"{"email_id":null}"#, UnreadableBody::Id),
            (br#"{"email_id":99999999999999999999}"#, UnreadableBody::Id),
        ];
        for (body, expected) in cases {
            assert_eq!(parse(body), Err(expected), "{}", String::from_utf8_lossy(body));
        }
    }
}
