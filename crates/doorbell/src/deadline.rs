//! When an invocation has to be over.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Lambda's deadline is a wall-clock time in milliseconds since 1970; from here on, only a monotonic clock counts.
#[must_use]
pub fn of_invocation(deadline_ms: u64) -> Instant {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant::now() + Duration::from_millis(deadline_ms).saturating_sub(now)
}
