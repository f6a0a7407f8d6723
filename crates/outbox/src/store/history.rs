//! What the history of an email (`email_event`) says about it, as fragments of SQL over the row `e`.
//!
//! The order in which events arrived plays no part: SES delivers them late, doubled and out of order.

/// Whether SES took an attempt of `e` and did not drop it afterwards.
pub(super) const ACCEPTED: &str = "EXISTS (SELECT 1 FROM email_event AS v WHERE v.email_id = e.id AND v.kind IN \
    ('accepted', 'send', 'delivery', 'bounce', 'complaint', 'delivery_delay') AND NOT EXISTS (SELECT 1 FROM email_event AS w \
    WHERE w.email_id = v.email_id AND w.kind IN ('reject', 'rendering_failure') AND w.attempt_id = v.attempt_id))";

/// Whether an earlier attempt of `e` may have reached its recipients for all that anybody knows: it was given up as
/// unresolved, and no event says that SES dropped it.
pub(super) const UNRESOLVED: &str = "e.resends > (SELECT COUNT(DISTINCT u.attempt_id) FROM email_event AS u \
    WHERE u.email_id = e.id AND u.kind IN ('reject', 'rendering_failure') AND u.attempt_id <> e.attempt_id)";
