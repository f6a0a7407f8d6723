//! What can be wrong with a claimed row itself.

use crate::{
    email::{Email, Parsed},
    mailer::Reason,
    store::Claimed,
};

/// Everything about a row that can be wrong, as the sentence that its producer gets. `None`: nobody may be written to.
pub(super) fn checked(claimed: Claimed, lane_is_known: bool) -> Result<Option<Email>, Reason> {
    if !lane_is_known {
        return Err(Reason::new("lane_unknown", "lane must be urgent or bulk."));
    }
    if !matches!(claimed.on_unknown.as_deref(), None | Some("hold" | "resend")) {
        return Err(Reason::new("on_unknown_invalid", "on_unknown must be hold, resend or NULL."));
    }
    let Some(row) = claimed.row else {
        return Err(Reason::new(
            "too_large",
            "Bodies and attachments together are larger than the 40 MB that SES takes, after base64.",
        ));
    };
    match Email::parse(row) {
        Ok(Parsed::Sendable(email)) => Ok(Some(*email)),
        Ok(Parsed::AllSuppressed) => Ok(None),
        Err(invalid) => Err(invalid.into()),
    }
}

/// MySQL's and MariaDB's errors for a row that cannot be handed out as it is: the packet limit, and JSON functions on
/// content that they cannot digest.
pub(super) const fn is_content_error(code: u16) -> bool {
    matches!(code, 1153 | 1301 | 3140..=3158 | 3903..=3909 | 4035..=4044 | 4174..=4178)
}
