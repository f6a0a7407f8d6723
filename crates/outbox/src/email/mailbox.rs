//! One mailbox: an optional display name and an address that SES can deliver to.

use std::fmt;

use email_encoding::headers::{quoted_string, writer::EmailWriter};
use lettre::message::Mailbox as Grammar;

use super::invalid::find_control;

/// RFC 5321 allows 64 bytes before the `@`.
const MAX_LOCAL_BYTES: usize = 64;
/// 64 for the local part, the `@`, 255 for the domain: what SES documents for an address.
const MAX_ADDRESS_BYTES: usize = 320;
/// Encoded words of this many characters still fit what receivers accept as a header; no real name comes near.
const MAX_NAME_CHARS: usize = 200;
/// More than any mailbox within the limits above needs. Suppressed addresses are looked up by as many characters
/// (`store::claim`): a longer mailbox would slip through.
const MAX_WRITTEN_CHARS: usize = 1_400;

/// A mailbox that can be put into a header as it is: no control character anywhere, an ASCII address.
#[derive(Clone, PartialEq, Eq)]
pub struct Mailbox {
    name: Option<String>,
    address: String,
}

impl Mailbox {
    /// Reads exactly one mailbox: `ada@customer.example`, `Ada <ada@customer.example>` or
    /// `"Lovelace, Ada" <ada@customer.example>`. Groups, routes, comments and quoted local parts are refused.
    ///
    /// # Errors
    ///
    /// The end of a sentence that begins with what was written.
    pub(super) fn parse(written: &str) -> Result<Self, String> {
        if let Some(control) = find_control(written) {
            return Err(format!("contains {control}, which no mailbox may"));
        }
        // Spaces around count, as they do where suppressed addresses are looked up.
        let chars = written.chars().count();
        if chars > MAX_WRITTEN_CHARS {
            return Err(format!("has {chars} characters; at most {MAX_WRITTEN_CHARS} work"));
        }
        // Nothing else is taken away there either: an address of which more is trimmed here would not be found.
        let written = written.trim_matches(' ');
        if written.is_empty() {
            return Err("is empty; a mailbox such as Ada <ada@customer.example> is needed".to_owned());
        }
        if let Some(space) = unusual_space(written) {
            return Err(format!(
                "has a white-space character U+{:04X} around it or in its address; write an ordinary space, or none",
                u32::from(space)
            ));
        }
        let parsed: Grammar = written.parse().map_err(|_| {
            "is not one mailbox; write ada@customer.example or Ada <ada@customer.example>, with the name in double \
             quotes if it contains anything but letters, digits, spaces and dots"
                .to_owned()
        })?;
        let (local, domain) = (parsed.email.user(), parsed.email.domain());
        // The grammar skips white space inside an address. What is mailed must be what was written, letter by letter.
        if inside(written) != format!("{local}@{domain}") {
            return Err("has white space or quotes inside the address".to_owned());
        }
        let address = format!("{}@{}", local_part(local)?, ascii_domain(domain)?);
        if address.len() > MAX_ADDRESS_BYTES {
            return Err(format!(
                "has an address of {} characters; at most {MAX_ADDRESS_BYTES} work",
                address.len()
            ));
        }
        let name = parsed.name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        if let Some(name) = &name {
            if name.chars().count() > MAX_NAME_CHARS {
                return Err(format!("has a display name of more than {MAX_NAME_CHARS} characters"));
            }
            if name.contains("=?") && name.contains("?=") {
                return Err(
                    "has a display name that is already encoded (=?…?=); write it as plain UTF-8".to_owned()
                );
            }
        }
        Ok(Self { name, address })
    }

    /// The display name, any UTF-8 but control characters.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The bare address: ASCII, the domain in lower case and punycode, the local part as written.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The address as a key: SES and every large receiver ignore the case of the local part too.
    #[must_use]
    pub fn key(&self) -> String {
        self.address.to_ascii_lowercase()
    }

    /// One line of ASCII, as SES wants its address fields: the name as a quoted string or encoded words (RFC 2047).
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "writing to a String cannot fail")]
    pub fn encoded(&self) -> String {
        let mut line = String::new();
        self.encode(&mut EmailWriter::new(&mut line, 0, 0, false)).expect("writing to a String cannot fail");
        // Unfolded: what follows each break is the space that belongs there.
        line.replace("\r\n", "")
    }

    pub(super) fn encode(&self, w: &mut EmailWriter<'_>) -> fmt::Result {
        use fmt::Write as _;

        let Some(name) = &self.name else { return w.write_str(&self.address) };
        quoted_string::encode(name, w)?;
        w.space();
        write!(w.folding(), "<{}>", self.address)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox(…)")
    }
}

/// What stands between the angle brackets, or everything where there are none.
fn inside(written: &str) -> &str {
    written.strip_suffix('>').map_or(written, |rest| rest.rsplit('<').next().unwrap_or(rest))
}

/// White space of Unicode's that looks like a space and is none, anywhere but inside a display name.
fn unusual_space(written: &str) -> Option<char> {
    let unusual = |c: &char| c.is_whitespace() && *c != ' ';
    let ends = [written.chars().next(), written.chars().next_back()];
    ends.into_iter().flatten().find(unusual).or_else(|| inside(written).chars().find(unusual))
}

fn local_part(local: &str) -> Result<&str, String> {
    if !local.is_ascii() {
        return Err(
            "has letters outside ASCII before the @; Amazon SES cannot deliver to such an address (it has no SMTPUTF8)"
                .to_owned(),
        );
    }
    let atext = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    if !local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(atext)) {
        return Err("has characters before the @ that an address cannot have there".to_owned());
    }
    if local.len() > MAX_LOCAL_BYTES {
        return Err(format!("has {} characters before the @; at most {MAX_LOCAL_BYTES} work", local.len()));
    }
    Ok(local)
}

/// The domain as DNS knows it. `pub(super)` because suppressed addresses are normalised the same way.
pub(super) fn ascii_domain(domain: &str) -> Result<String, String> {
    let invalid = || "has a domain after the @ that is not a valid host name".to_owned();
    let ascii = idna::domain_to_ascii_strict(domain).map_err(|_| invalid())?;
    // A spelling that only normalisation makes a domain (an invisible character, an ideographic full stop) would pass by
    // the suppression list, which the database compares as written.
    let lower = domain.to_lowercase();
    if lower != ascii && lower != idna::domain_to_unicode(&ascii).0 {
        return Err(invalid());
    }
    let label = |label: &str| !label.is_empty() && label.len() <= 63;
    if ascii.is_empty() || ascii.len() > 253 || !ascii.split('.').all(label) {
        return Err(invalid());
    }
    if !ascii.contains('.') {
        return Err("has a domain without a dot after the @; nothing outside your network can be reached so"
            .to_owned());
    }
    if ascii.rsplit('.').next().is_some_and(|top| top.bytes().all(|b| b.is_ascii_digit())) {
        return Err(
            "has a number where the domain after the @ should end in a name; an IP address is not one"
                .to_owned(),
        );
    }
    Ok(ascii)
}
