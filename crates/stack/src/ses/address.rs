//! Mailboxes as SES takes them: ASCII, the display name quoted or encoded after RFC 2047, the domain in Punycode.

use base64::{Engine, prelude::BASE64_STANDARD};

/// The bare address of a mailbox, or why it is none.
pub(super) fn bare(mailbox: &str) -> Result<&str, String> {
    if mailbox.chars().any(char::is_control) {
        return Err("Local address contains control or whitespace".into());
    }
    if !mailbox.is_ascii() {
        return Err("Address contains non-ASCII characters".into());
    }
    let address = match mailbox.strip_suffix('>') {
        Some(rest) => {
            let (name, address) = rest.rsplit_once('<').ok_or("Missing '<'")?;
            check_name(name.trim())?;
            address
        }
        None => mailbox,
    };
    check_address(address)?;
    Ok(address)
}

fn check_address(address: &str) -> Result<(), String> {
    let (local, domain) = address.rsplit_once('@').ok_or("Missing final '@domain'")?;
    if local.is_empty() || local.len() > 64 {
        return Err("Local address is empty or longer than 64".into());
    }
    let is_quoted = local.len() > 2 && local.starts_with('"') && is_quoted_string(local);
    if !is_quoted && !local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atom_byte)) {
        return Err("Local address contains illegal character".into());
    }
    let labels: Vec<&str> = domain.split('.').collect();
    if domain.len() > 253 || labels.len() < 2 {
        return Err("Domain has no dot or is longer than 253".into());
    }
    let is_label = |label: &&str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if labels.iter().all(is_label) { Ok(()) } else { Err("Domain contains illegal character".into()) }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || (name.starts_with('"') && is_quoted_string(name)) {
        return Ok(());
    }
    for word in name.split_ascii_whitespace() {
        if word.starts_with("=?") {
            check_encoded_word(word)?;
        } else if !word.bytes().all(|byte| is_atom_byte(byte) || byte == b'.') {
            return Err(format!("Display name must be quoted or encoded: '{word}'"));
        }
    }
    Ok(())
}

/// `=?charset?B?…?=` or `=?charset?Q?…?=`, at most 75 long.
fn check_encoded_word(word: &str) -> Result<(), String> {
    let wrong = || format!("Malformed encoded word '{word}'");
    let inside = word.strip_prefix("=?").and_then(|rest| rest.strip_suffix("?=")).ok_or_else(wrong)?;
    let parts: Vec<&str> = inside.split('?').collect();
    let [charset, encoding, text] = parts[..] else { return Err(wrong()) };
    let is_known =
        ["utf-8", "us-ascii", "iso-8859-1"].iter().any(|known| charset.eq_ignore_ascii_case(known));
    let bytes = match encoding {
        "B" | "b" => BASE64_STANDARD.decode(text).ok(),
        "Q" | "q" => decode_q(text),
        _ => None,
    };
    let is_text =
        |bytes: Vec<u8>| !charset.eq_ignore_ascii_case("utf-8") || std::str::from_utf8(&bytes).is_ok();
    if word.len() > 75 || !is_known || !bytes.is_some_and(is_text) { Err(wrong()) } else { Ok(()) }
}

fn decode_q(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'=' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            b'_' => b' ',
            other => other,
        });
    }
    Some(out)
}

fn is_quoted_string(text: &str) -> bool {
    let Some(inside) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return false };
    let mut escaped = false;
    for byte in inside.bytes() {
        match (escaped, byte) {
            (false, b'\\') => escaped = true,
            (false, b'"') => return false,
            _ => escaped = false,
        }
    }
    !escaped && text.len() > 1
}

fn is_atom_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn takes_what_ses_takes() {
        for (mailbox, address) in [
            ("ada@customer.example", "ada@customer.example"),
            ("<ada@customer.example>", "ada@customer.example"),
            ("Shop <o.r+x@mail.shop.example>", "o.r+x@mail.shop.example"),
            (r#""Ada, \"the\" first" <ada@customer.example>"#, "ada@customer.example"),
            ("=?utf-8?B?w4lsb2RpZQ==?= <e@xn--exmple-cua.example>", "e@xn--exmple-cua.example"),
            ("=?UTF-8?Q?=C3=89lodie_B?= M. <e@a.example>", "e@a.example"),
            (r#""odd one"@a.example"#, r#""odd one"@a.example"#),
        ] {
            assert_eq!(bare(mailbox), Ok(address));
        }
    }

    #[test]
    fn refuses_what_ses_refuses() {
        for mailbox in [
            "",
            "ada",
            "@a.example",
            "ada@",
            "ada@localhost",
            "ada@-a.example",
            "ada@a..example",
            "a b@a.example",
            "ada@a.example ",
            "ada@a.example\r\nBcc: eve@b.example",
            "Élodie <e@a.example>",
            "Ada, first <ada@a.example>",
            "\"Ada <ada@a.example>",
            "é@a.example",
            "ada@exämple.example",
            "=?utf-8?B?w4?= <e@a.example>",
            "=?utf-8?B?/w==?= <e@a.example>",
            "ada@a.example, bob@b.example",
        ] {
            assert!(bare(mailbox).is_err(), "{mailbox:?} was taken");
        }
    }
}
