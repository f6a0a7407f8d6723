//! Telling whoever waits what for.

use std::error::Error;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval_at};

/// Why a step failed: everything that led to it, in one sentence, and which step it was.
pub(super) type Failure = Box<dyn Error + Send + Sync>;

/// A step that takes longer than this says that it goes on.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// After the first time it repeats itself only now and then.
pub(super) const REMINDER: Duration = Duration::from_secs(15);

/// Does something, and says what and how long it took; when that is more than a second, also meanwhile.
///
/// # Errors
///
/// Those of `work`, with the name of the step.
pub(super) async fn step<T, E>(what: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, Failure>
where
    E: Into<Failure>,
{
    step_since(Instant::now(), what, work).await
}

/// The same, but what it says is how long after `begun` it was done.
///
/// # Errors
///
/// Those of `work`, with the name of the step.
pub(super) async fn step_since<T, E>(
    begun: Instant,
    what: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure>
where
    E: Into<Failure>,
{
    let mut reminder = interval_at(tokio::time::Instant::now() + PATIENCE, REMINDER);
    reminder.set_missed_tick_behavior(MissedTickBehavior::Skip);
    tokio::pin!(work);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = reminder.tick() => waiting(what),
        }
    };
    match done {
        Ok(value) => {
            note(begun, what);
            Ok(value)
        }
        Err(error) => Err(format!("{what}: {}", crate::chain(&*error.into())).into()),
    }
}

/// Says that something is done, and how long after `begun`.
pub(super) fn note(begun: Instant, what: &str) {
    eprintln!("  {:>5.1} s   {what}", begun.elapsed().as_secs_f64());
}

/// Says what is under way.
pub(super) fn waiting(for_what: &str) {
    eprintln!("        …   {for_what}");
}
