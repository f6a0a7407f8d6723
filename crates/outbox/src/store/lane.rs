//! A pause, as a row of `lane` tells it from a rest.
//!
//! A lane rests by itself after failures, for minutes: `rest_until` is `struck_at`, the latest failure, and some time; and
//! the reports of emails that were under way end that rest or move it. A pause is an operator's, and no report may touch
//! it. It needs no column of its own, because no rest ends with the failure that it began with: a pause is where both
//! columns say the same future time. Why: docs/decisions/0017-pause.md.

/// [`PAUSED`], for a `concat!`.
macro_rules! paused {
    () => {
        "(rest_until = struck_at AND rest_until > UTC_TIMESTAMP(6))"
    };
}
pub(super) use paused;

/// Whether an operator paused the lane. The columns are named as they are in `lane` alone.
pub(super) const PAUSED: &str = paused!();
