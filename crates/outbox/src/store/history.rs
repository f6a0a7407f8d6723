//! What the history of an email (`email_event`) says about it, as fragments of SQL over the row `e`.
//!
//! The order in which events arrived plays no part: SES delivers them late, doubled and out of order.

/// Kinds which say that SES took an attempt, in a list for `IN`.
macro_rules! taken {
    () => {
        "('accepted', 'send', 'delivery', 'bounce', 'complaint', 'delivery_delay')"
    };
}

/// Kinds which say that SES took an attempt and dropped it afterwards, for a list.
macro_rules! dropped {
    () => {
        "'reject', 'rendering_failure'"
    };
}

/// Whether SES took an attempt of `e` and did not drop it afterwards.
pub(super) const ACCEPTED: &str = concat!(
    "EXISTS (SELECT 1 FROM email_event AS v WHERE v.email_id = e.id AND v.kind IN ",
    taken!(),
    " AND NOT EXISTS (SELECT 1 FROM email_event AS w WHERE w.email_id = v.email_id AND w.kind IN (",
    dropped!(),
    ") AND w.attempt_id = v.attempt_id))"
);

/// Whether an attempt of `e` that was given up as unresolved may have reached its recipients for all that anybody knows: no
/// event says that SES dropped it, and its own worker has not said since that SES did not take it. Of one that `resends`
/// counts, and the history does not know, nobody can say so.
pub(super) const UNRESOLVED: &str = concat!(
    "(EXISTS (SELECT 1 FROM email_event AS g WHERE g.email_id = e.id AND g.kind = 'resent' \
     AND NOT EXISTS (SELECT 1 FROM email_event AS n WHERE n.email_id = g.email_id AND n.kind IN (",
    dropped!(),
    ", 'not_sent') AND n.attempt_id = g.attempt_id)) OR e.resends > \
     (SELECT COUNT(DISTINCT u.attempt_id) FROM email_event AS u WHERE u.email_id = e.id AND u.kind = 'resent'))"
);

/// Whether an event or an answer says that SES took the current attempt of `e`.
pub(super) const TOOK_CURRENT: &str = concat!(
    "EXISTS (SELECT 1 FROM email_event AS t WHERE t.email_id = e.id AND t.kind IN ",
    taken!(),
    " AND t.attempt_id = e.attempt_id)"
);

/// Whether SES took the current attempt of `e` and dropped it.
pub(super) const DROPPED_CURRENT: &str = concat!(
    "EXISTS (SELECT 1 FROM email_event AS d WHERE d.email_id = e.id AND d.kind IN (",
    dropped!(),
    ") AND d.attempt_id = e.attempt_id)"
);

/// What an UPDATE of `e` sets when the history shows that SES took it. SES's id of the message stays in the history.
pub(super) const SETTLED: &str = "e.sent_at = COALESCE(e.sent_at, UTC_TIMESTAMP(6)), e.state_at = UTC_TIMESTAMP(6), \
    e.lease_until = NULL, e.rung_at = NULL, e.error_kind = NULL, e.error_detail = NULL, e.state = 'sent'";
