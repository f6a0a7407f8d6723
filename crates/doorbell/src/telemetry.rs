//! Log lines: JSON, one an event, without addresses, subjects, bodies or secrets. `docs/OBSERVABILITY.md` lists fields.
//!
//! Field names are dotted (`error.kind`), durations carry their unit (`duration_ms`). What identifies an email is its
//! `email_id` and `attempt_id`; what a person wrote is in the table.

mod line;

use std::{io, panic};

use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::{ConfigError, Variables, log_level};

/// Starts logging to the standard output at `LOG_LEVEL`, and keeps the messages of panics out of it.
///
/// # Errors
///
/// [`ConfigError`] when `LOG_LEVEL` is not a level; logging works at `info` all the same.
pub fn start(variables: &(impl Variables + ?Sized)) -> Result<(), ConfigError> {
    let level = log_level(variables);
    // Libraries may quote what they carry: from them only warnings, and not even those of sqlx.
    let targets = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("sqlx", LevelFilter::OFF)
        // The span around each invocation, with the ids of the invocation and of its X-Ray trace; no lines.
        .with_target("lambda_runtime::layers::trace", LevelFilter::INFO)
        // What it has to say is said by `bridge`, in words of its own and without a user's name.
        .with_target("lapin", LevelFilter::OFF)
        .with_target("aws_config", LevelFilter::OFF)
        .with_target("bridge", *level.as_ref().unwrap_or(&Level::INFO))
        .with_target("migrate", *level.as_ref().unwrap_or(&Level::INFO))
        .with_target("outbox", *level.as_ref().unwrap_or(&Level::INFO))
        .with_target("doorbell", *level.as_ref().unwrap_or(&Level::INFO));
    let lines = tracing_subscriber::fmt::layer().json().event_format(line::Flat).with_writer(io::stdout);
    // A second start (a test's) keeps the first one's subscriber.
    let _ = tracing_subscriber::registry().with(targets).with(lines).try_init();
    // The message of a panic may quote the text that it was about. Where it happened is enough to find the defect.
    panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(error.kind = "panic", location, "panicked");
    }));
    level.map(|_| ()).inspect_err(report)
}

/// Logs what is wrong with the configuration, a line a variable.
pub fn report(error: &ConfigError) {
    for problem in error.problems() {
        tracing::error!(error.kind = "configuration", problem, "configuration.invalid");
    }
}
