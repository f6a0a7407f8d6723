//! Why a command ended early: a sentence, what to do about it, and an exit code.

use std::io;

use outbox::{config::ConfigError, store::StoreError};
use serde_json::{Value, json};

use crate::output::plain;

/// How a command ends, as its caller sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    NotAll = 1,
    Usage = 2,
    Configuration = 3,
    Unreachable = 4,
    Database = 5,
    Interrupted = 130,
}

/// What went wrong.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    kind: &'static str,
    sentence: String,
    hint: String,
}

impl Failure {
    pub(crate) fn usage(sentence: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, kind: "usage", sentence: sentence.into(), hint: hint.into() }
    }

    pub(crate) fn not_found(sentence: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::NotAll, kind: "not_found", sentence: sentence.into(), hint: hint.into() }
    }

    pub(crate) fn declined() -> Self {
        Self {
            exit: Exit::NotAll,
            kind: "declined",
            sentence: "nothing was changed: the answer was not yes".to_owned(),
            hint: "run it again when you are sure, or with --yes".to_owned(),
        }
    }

    pub(crate) fn interrupted() -> Self {
        Self {
            exit: Exit::Interrupted,
            kind: "interrupted",
            sentence: "interrupted".to_owned(),
            hint: "run the same command again, now: what is done is not done twice".to_owned(),
        }
    }

    /// While a question was open, which is before anything is done.
    pub(crate) fn interrupted_before() -> Self {
        Self {
            sentence: "interrupted: nothing was changed".to_owned(),
            hint: "run it again when you are sure".to_owned(),
            ..Self::interrupted()
        }
    }

    pub(crate) fn system(error: &io::Error) -> Self {
        Self {
            exit: Exit::NotAll,
            kind: "system",
            sentence: format!("the system refused: {error}"),
            hint: "try again".to_owned(),
        }
    }

    /// On the standard error.
    pub(crate) fn text(&self) -> String {
        format!("error: {}\nhint: {}\n", self.sentence, self.hint)
    }

    pub(crate) fn json(&self) -> Value {
        json!({"kind": self.kind, "message": self.sentence, "hint": self.hint})
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let problems = error.problems();
        let sentence = if let [only] = problems {
            format!("the configuration is wrong: {only}")
        } else {
            format!("the configuration has {} problems:\n  {}", problems.len(), problems.join("\n  "))
        };
        let hint = "sendonce reads the same variables as the functions: see sendonce --help".to_owned();
        Self { exit: Exit::Configuration, kind: "configuration", sentence, hint }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (exit, hint) = match &error {
            StoreError::Unreachable(_) => {
                (Exit::Unreachable, "check host and port in DATABASE_URL, and the way there")
            }
            StoreError::TooManyConnections { .. } => {
                (Exit::Unreachable, "wait for a connection to become free, and run it again")
            }
            StoreError::AccessDenied { .. } => {
                (Exit::Unreachable, "check DATABASE_URL: user, password, database name")
            }
            StoreError::NoLogin(_) => (
                Exit::Unreachable,
                "check DATABASE_SECRET_ARN and the variables with AWS's credentials: with DATABASE_AUTH=secret or iam they \
                 are needed",
            ),
            StoreError::Tls(_) => (
                Exit::Unreachable,
                "DATABASE_CA_FILE is the bundle that the server's certificate is verified against; with \
                 DATABASE_TLS=off, MySQL refuses even a wrong user or password like this",
            ),
            StoreError::TimedOut(_) => (
                Exit::Database,
                "what was asked may have been done: look with sendonce show, then run it again",
            ),
            StoreError::Refused { code: 1142 | 1143 | 1044 } => (
                Exit::Database,
                "the user of DATABASE_URL lacks a right: see the table of rights in docs/CLI.md",
            ),
            StoreError::Refused { code: 1054 | 1146 | 1176 } => (
                Exit::Database,
                "the tables are not those of this version: apply the migrations first, or DATABASE_URL names another \
                 database",
            ),
            StoreError::Contended { .. } => {
                (Exit::Database, "somebody else changes the same emails: run it again")
            }
            _ => (Exit::Database, "run it again: what is done is not done twice"),
        };
        let mut sentence = error.to_string();
        if let StoreError::Unreachable(cause) = &error {
            sentence.extend([format!(": {}", plain(&cause.to_string()))]);
        }
        Self { exit, kind: error.kind(), sentence, hint: hint.to_owned() }
    }
}

impl Failure {
    /// An error of connecting: nothing was done, whatever it was.
    pub(crate) fn connecting(error: StoreError) -> Self {
        let timed_out = matches!(error, StoreError::TimedOut(_));
        let mut failure = Self { exit: Exit::Unreachable, ..Self::from(error) };
        if timed_out {
            "nothing was done: check host and port in DATABASE_URL, and the way there"
                .clone_into(&mut failure.hint);
        }
        failure
    }
}
