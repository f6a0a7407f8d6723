//! The environment, read once into typed structs that report every problem at once, by variable name.
//!
//! It stands here, below everything that ships, because what may not reach a database reads its variables in the same
//! way and complains in the same words. `outbox::config` adds what only it can read.

mod reader;
mod relay;

use std::fmt;

pub use self::{reader::Reader, relay::RelayConfig};

/// What is wrong with the environment: every variable, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} problem(s): {}", self.problems.len(), self.problems.join("; "))
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// One sentence a variable. Never quotes a value that may be secret.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

/// Where variables come from: the process's environment, or a test's table.
pub trait Variables {
    /// The value of a variable; `None` when it is not set.
    fn value(&self, name: &str) -> Option<String>;
}

/// The environment of the process.
#[derive(Debug, Clone, Copy)]
pub struct ProcessEnvironment;

impl Variables for ProcessEnvironment {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    fn value(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Variables for [(&str, &str)] {
    fn value(&self, name: &str) -> Option<String> {
        self.iter().find(|(candidate, _)| *candidate == name).map(|(_, value)| (*value).to_owned())
    }
}

/// The level named by `LOG_LEVEL`. Read apart from the rest, since the rest's problems are logged.
///
/// # Errors
///
/// [`ConfigError`] names the variable.
pub fn log_level(variables: &(impl Variables + ?Sized)) -> Result<tracing::Level, ConfigError> {
    let mut reader = Reader::of(variables);
    let level =
        reader.parse("LOG_LEVEL", "error, warn, info, debug or trace").unwrap_or(tracing::Level::INFO);
    reader.finish(level)
}
