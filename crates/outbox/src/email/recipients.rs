//! Who the email goes to.

use std::collections::HashSet;

use super::{
    invalid::{InvalidEmail, Quoted},
    json,
    mailbox::{Mailbox, ascii_domain},
};

/// SES takes at most this many recipients a message.
pub const MAX_RECIPIENTS: usize = 50;
/// Ours: SES documents no bound, and a header line of replies must stay readable.
pub const MAX_REPLY_TO: usize = 10;

/// The recipients of one email, none twice.
pub(super) struct Recipients {
    pub(super) to: Vec<Mailbox>,
    pub(super) cc: Vec<Mailbox>,
    pub(super) bcc: Vec<Mailbox>,
}

impl Recipients {
    /// Reads the three columns.
    ///
    /// An address that stands twice, in one column or in several, keeps its first place (to before cc before bcc): SES
    /// would count it twice and may deliver it twice. Any of the three may be empty, but not all.
    pub(super) fn parse(to: &str, cc: Option<&str>, bcc: Option<&str>) -> Result<Self, InvalidEmail> {
        let mut seen = HashSet::new();
        let mut column = |name, json| -> Result<Vec<Mailbox>, InvalidEmail> {
            let mut mailboxes = mailboxes("invalid_recipient", name, json)?;
            mailboxes.retain(|mailbox| seen.insert(mailbox.key()));
            Ok(mailboxes)
        };
        let recipients = Self {
            to: column("to_addresses", Some(to))?,
            cc: column("cc_addresses", cc)?,
            bcc: column("bcc_addresses", bcc)?,
        };
        match recipients.to.len() + recipients.cc.len() + recipients.bcc.len() {
            0 => Err(InvalidEmail::new(
                "no_recipient",
                "There is no recipient: to_addresses, cc_addresses and bcc_addresses are all empty. Put at least one \
                 mailbox into to_addresses, as a JSON array.",
            )),
            1..=MAX_RECIPIENTS => Ok(recipients),
            count => Err(InvalidEmail::new(
                "too_many_recipients",
                format!(
                    "There are {count} recipients in to_addresses, cc_addresses and bcc_addresses together; Amazon SES \
                     takes at most {MAX_RECIPIENTS} in one email. Write one row per recipient."
                ),
            )),
        }
    }

    /// Takes out whoever is suppressed. `suppressed` holds bare addresses; case and the form of the domain do not count.
    pub(super) fn remove_suppressed(&mut self, suppressed: &[String]) {
        if suppressed.is_empty() {
            return;
        }
        let suppressed: HashSet<String> = suppressed.iter().map(|address| key(address)).collect();
        for column in [&mut self.to, &mut self.cc, &mut self.bcc] {
            column.retain(|mailbox| !suppressed.contains(&mailbox.key()));
        }
    }
}

/// Reads `reply_to`, without repetitions.
pub(super) fn parse_reply_to(json: Option<&str>) -> Result<Vec<Mailbox>, InvalidEmail> {
    let mut seen = HashSet::new();
    let mut reply_to = mailboxes("invalid_reply_to", "reply_to", json)?;
    reply_to.retain(|mailbox| seen.insert(mailbox.key()));
    if reply_to.len() > MAX_REPLY_TO {
        return Err(InvalidEmail::new(
            "invalid_reply_to",
            format!("reply_to: {} mailboxes; at most {MAX_REPLY_TO} work.", reply_to.len()),
        ));
    }
    Ok(reply_to)
}

fn mailboxes(kind: &'static str, column: &str, json: Option<&str>) -> Result<Vec<Mailbox>, InvalidEmail> {
    let written =
        json::strings(json).map_err(|problem| InvalidEmail::new(kind, format!("{column} {problem}.")))?;
    let mut mailboxes = Vec::with_capacity(written.len().min(MAX_RECIPIENTS));
    for (at, written) in written.iter().enumerate() {
        let mailbox = Mailbox::parse(written).map_err(|problem| {
            InvalidEmail::new(kind, format!("{column}, item {}: {} {problem}.", at + 1, Quoted(written)))
        })?;
        mailboxes.push(mailbox);
    }
    Ok(mailboxes)
}

fn key(address: &str) -> String {
    let domain =
        address.rsplit_once('@').and_then(|(local, domain)| Some((local, ascii_domain(domain).ok()?)));
    match domain {
        Some((local, domain)) => format!("{local}@{domain}").to_ascii_lowercase(),
        None => address.to_ascii_lowercase(),
    }
}
