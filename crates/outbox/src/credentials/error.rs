//! Why there is no login: told with the secret's name, and without its value.

use std::{error::Error, sync::Arc, time::Duration};

/// The secret gives no user and password. Whoever waited for the same answer gets the same error.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager refused: there is no such secret, the role may not read it, its key is disabled.
    #[error("Secrets Manager refused to tell the secret {arn} ({code}){hint}", hint = hint(.code))]
    Refused {
        /// Whose.
        arn: String,
        /// What Secrets Manager calls it.
        code: String,
        /// The HTTP status.
        status: u16,
    },
    /// Secrets Manager was not reached, or broke off.
    #[error("Secrets Manager cannot be reached for the secret {arn}")]
    Unreachable {
        /// Whose.
        arn: String,
        /// What the system said.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("Secrets Manager did not tell the secret {arn} within {} ms", .after.as_millis())]
    TimedOut {
        /// Whose.
        arn: String,
        /// How long it was given.
        after: Duration,
    },
    /// The answer was not one of Secrets Manager's. Its text is not kept: it may hold the value.
    #[error("the answer about the secret {arn} was not understood")]
    Unreadable {
        /// Whose.
        arn: String,
    },
    /// The secret is there, and is not what a login looks like. What it is instead is not said.
    #[error("the secret {arn} must be a JSON object with username and password: {problem}")]
    Unfit {
        /// Whose.
        arn: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// What to do about it, where the code does not say.
fn hint(code: &str) -> &'static str {
    match code {
        "ResourceNotFoundException" => ": check DATABASE_SECRET_ARN",
        "AccessDeniedException" => {
            ": the role needs secretsmanager:GetSecretValue on it, and kms:Decrypt on a key of your own; where there is no \
             such secret, it says the same (check DATABASE_SECRET_ARN)"
        }
        "InvalidRequestException" => ": is it about to be deleted?",
        "DecryptionFailure" => ": check the key of the secret",
        _ => "",
    }
}

/// No token could be made of the address, the user and the credentials.
#[derive(Debug, thiserror::Error)]
#[error("no token can be made for {host}")]
pub struct CannotSign {
    pub(super) host: String,
    #[source]
    pub(super) source: Box<dyn Error + Send + Sync>,
}
