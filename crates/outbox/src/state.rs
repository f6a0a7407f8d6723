//! The states of an email and the transitions between them: pure, and the only place that says what is legal.

#[cfg(test)]
mod model;
pub mod transition;

use std::{fmt, str::FromStr};

use ulid::Ulid;

/// Where an email stands. Stored by name in `email.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Waits to be claimed. Where every row begins.
    Pending,
    /// Claimed by the attempt in `attempt_id`, until `lease_until`.
    Sending,
    /// SES took it.
    Sent,
    /// Nobody can know whether SES took it: waits for SES's own event, then for the email's policy.
    Unknown,
    /// Will never be sent; `error_kind` and `error_detail` say why.
    Failed,
    /// Every recipient is on the suppression list.
    Suppressed,
    /// Withdrawn by its owner before it was claimed.
    Cancelled,
    /// `expires_at` passed, or it was too old, before it could be sent.
    Expired,
}

impl State {
    /// All states, in the order of the schema's CHECK constraint.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Sending,
        Self::Sent,
        Self::Unknown,
        Self::Failed,
        Self::Suppressed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// The name as stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
            Self::Suppressed => "suppressed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// Whether nothing but an SES event or an operator's explicit command may move the email again.
    /// `unknown` is not terminal: it waits for one of them.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Sent | Self::Failed | Self::Suppressed | Self::Cancelled | Self::Expired)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == name).ok_or(UnknownState)
    }
}

/// The name is not that of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a state")]
pub struct UnknownState;

/// The token of one attempt: a ULID, so it sorts by time. It fences every write after the claim, and travels as an
/// SES tag so that SES's events can name the attempt they speak of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttemptId(String);

impl AttemptId {
    /// A token from the time in milliseconds since 1970 and 80 random bits.
    #[must_use]
    pub fn new(unix_ms: u64, random: u128) -> Self {
        Self(Ulid::from_parts(unix_ms, random).to_string())
    }

    /// The 26 characters, Crockford base 32.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
