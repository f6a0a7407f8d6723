//! The text of the claim's statement batch.

use std::time::Duration;

use super::{ClaimRequest, Pace};
use crate::{
    email::MAX_ENCODED_BYTES,
    store::{history::ACCEPTED, lane::PAUSED, literal::Sql},
};

/// More content than this cannot fit an email once it is base64, so it is not fetched.
const MAX_CONTENT_BYTES: u64 = MAX_ENCODED_BYTES / 4 * 3;

pub(super) fn statements(request: &ClaimRequest<'_>, patience: Duration) -> Sql {
    let lease_us = i128::try_from(request.lease.as_micros()).unwrap_or(i128::MAX);
    // The row, if nobody holds a lock on it. Without the LIMIT, MySQL would merge the derived table and wait.
    let mut sql = Sql::new("UPDATE email AS e JOIN (SELECT id FROM email WHERE id = ")
        .integer(request.id)
        .push(" LIMIT 1 FOR UPDATE SKIP LOCKED) AS free ON free.id = e.id");
    if request.pace.is_some() {
        sql = sql.push(" JOIN send_rate AS r ON r.id = 1");
    }
    sql = sql
        .push(
            " LEFT JOIN lane AS l ON l.name = e.lane \
             SET e.state = 'sending', e.state_at = UTC_TIMESTAMP(6), e.attempts = e.attempts + 1, \
             e.first_attempt_at = COALESCE(e.first_attempt_at, UTC_TIMESTAMP(6)), e.attempt_id = ",
        )
        .text(request.attempt.as_str())
        .push(", e.lease_until = UTC_TIMESTAMP(6) + INTERVAL ")
        .integer(lease_us)
        .push(" MICROSECOND");
    if let Some(pace) = request.pace {
        sql = occupied_until(sql.push(", r.tat = "), pace)
            .push(" + INTERVAL ")
            .push(RECIPIENTS)
            .push(" * ")
            .integer(pace.interval_us())
            .push(" MICROSECOND");
    }
    if request.probe {
        // One probe at a time: the next one may be taken when this one's lease is over, or when its result says so.
        sql =
            sql.push(", l.rest_until = UTC_TIMESTAMP(6) + INTERVAL ").integer(lease_us).push(" MICROSECOND");
    }
    sql = sql
        .push(
            " WHERE e.state = 'pending' AND e.due_at <= UTC_TIMESTAMP(6) \
             AND (e.expires_at IS NULL OR e.expires_at > UTC_TIMESTAMP(6)) AND (l.name IS NULL OR (l.strikes ",
        )
        .push(if request.probe { ">= " } else { "< " })
        .integer(STRIKES_TO_DISTRUST)
        .push(" AND l.rest_until <= UTC_TIMESTAMP(6))) AND ")
        .push(SERVER_IS_FIT)
        // A statement that had to wait (for the rate's row, or a schema change) longer than anybody waits for its answer
        // claims nothing: unlike NOW, SYSDATE is read when the row is looked at.
        .push(" AND SYSDATE(6) < NOW(6) + INTERVAL ")
        .micros(patience)
        .push(" MICROSECOND AND NOT ")
        .push(ACCEPTED);
    if let Some(pace) = request.pace {
        sql = slot(sql.push(" AND "), pace).push(" <= 0");
    }
    sql = read_email(sql.push("; "), request);
    read_attachments(sql.push("; "), request)
}

/// With autocommit off, COM_QUIT would roll the claim back; with another character set, text would arrive mutilated.
/// Both can be a server's default, and a `SET` would cost a round trip: such a server is refused instead.
const SERVER_IS_FIT: &str = "@@autocommit = 1 AND @@character_set_results = 'utf8mb4'";

/// Failures in a row after which a lane rests and is probed with one email at a time.
pub(in crate::store) const STRIKES_TO_DISTRUST: u16 = 3;

/// Recipients of `e`; at least one, so that an invalid row takes a slot like any other.
/// At most the 50 that an email can have, so that a row which will fail for its thousand takes no more than one that
/// is sent.
const RECIPIENTS: &str = "LEAST(50, GREATEST(1, JSON_LENGTH(e.to_addresses) \
    + COALESCE(JSON_LENGTH(e.cc_addresses), 0) + COALESCE(JSON_LENGTH(e.bcc_addresses), 0)))";

/// Bytes of content of `e`, before any encoding.
const CONTENT_BYTES: &str = "(OCTET_LENGTH(e.subject) + COALESCE(OCTET_LENGTH(e.text_body), 0) \
    + COALESCE(OCTET_LENGTH(e.html_body), 0) + COALESCE(OCTET_LENGTH(e.headers), 0) \
    + OCTET_LENGTH(e.sender) + OCTET_LENGTH(e.to_addresses) + COALESCE(OCTET_LENGTH(e.cc_addresses), 0) \
    + COALESCE(OCTET_LENGTH(e.bcc_addresses), 0) + COALESCE(OCTET_LENGTH(e.reply_to), 0) \
    + COALESCE(OCTET_LENGTH(e.tags), 0) \
    + (SELECT COALESCE(SUM(OCTET_LENGTH(size.content)), 0) FROM attachment AS size WHERE size.email_id = e.id))";

/// GCRA: the time until which the slots are taken. A stored time beyond the horizon is from a clock that was set back:
/// it counts for nothing. (Clamping it to the horizon instead would move along with the clock and never let go.)
fn occupied_until(sql: Sql, pace: Pace) -> Sql {
    sql.push("GREATEST(UTC_TIMESTAMP(6), IF(r.tat > UTC_TIMESTAMP(6) + INTERVAL ")
        .integer(pace.horizon_us())
        .push(" MICROSECOND, UTC_TIMESTAMP(6), r.tat))")
}

/// GCRA: microseconds until `e` may be sent; not above 0 when it may be now. An email with more recipients than the
/// burst holds needs the whole burst, and pays in full.
fn slot(sql: Sql, pace: Pace) -> Sql {
    let burst = "IF(e.lane = 'bulk', ";
    let sql = occupied_until(sql.push("(TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), "), pace)
        .push(") + LEAST(")
        .push(RECIPIENTS)
        .push(" * ")
        .integer(pace.interval_us());
    let limits =
        |sql: Sql| sql.push(burst).integer(Pace::BULK_BURST_US).push(", ").integer(Pace::BURST_US).push(")");
    limits(limits(sql.push(", ")).push(") - ")).push(")")
}

/// What the row says of itself, and its content if the claim succeeded. Always one row, unless there is none.
fn read_email(sql: Sql, request: &ClaimRequest<'_>) -> Sql {
    let mut sql = sql
        .push("SELECT CAST(")
        .push(SERVER_IS_FIT)
        .push(" AS SIGNED) AS fit, e.state, CAST(e.attempt_id <=> ")
        .text(request.attempt.as_str())
        .push(
            " AND e.state = 'sending' AS SIGNED) AS mine, CAST(e.attempts AS SIGNED) AS attempts, \
             CAST(e.resends AS SIGNED) AS resends, e.lane, e.on_unknown, CAST(e.rung_at AS CHAR) AS rung_at, \
             TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), e.rung_at) AS rung_in, \
             TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), e.due_at) AS due_in, \
             TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), e.expires_at) AS expires_in, \
             TIMESTAMPDIFF(MICROSECOND, e.first_attempt_at, UTC_TIMESTAMP(6)) AS trying_for, \
             COALESCE(TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), l.rest_until), -1) AS rest_in, \
             CAST(COALESCE(l.strikes, 0) AS SIGNED) AS strikes, CAST(COALESCE(",
        )
        .push(PAUSED)
        .push(", 0) AS SIGNED) AS paused, ");
    sql = match request.pace {
        Some(pace) => slot(sql.push("CAST("), pace).push(" AS SIGNED)"),
        None => sql.push("-1"),
    };
    sql.push(
        " AS slot_in, CAST(c.id AS SIGNED) AS content_id, c.sender, CAST(c.reply_to AS CHAR) AS reply_to, \
         CAST(c.to_addresses AS CHAR) AS to_addresses, CAST(c.cc_addresses AS CHAR) AS cc_addresses, \
         CAST(c.bcc_addresses AS CHAR) AS bcc_addresses, c.subject, c.text_body, c.html_body, \
         CAST(c.headers AS CHAR) AS headers, CAST(c.tags AS CHAR) AS tags, \
         (SELECT CAST(JSON_ARRAYAGG(s.address) AS CHAR) FROM JSON_TABLE(JSON_MERGE_PRESERVE(c.to_addresses, \
         COALESCE(c.cc_addresses, '[]'), COALESCE(c.bcc_addresses, '[]')), '$[*]' COLUMNS (mailbox VARCHAR(1400) \
         CHARACTER SET utf8mb4 PATH '$')) AS m STRAIGHT_JOIN suppression AS s ON s.address = \
         LOWER(SUBSTRING_INDEX(TRIM(TRAILING '>' FROM TRIM(m.mailbox)), '<', -1)) COLLATE utf8mb4_bin \
         AND s.list_name IN ('', COALESCE(c.list_name, ''))) AS suppressed \
         FROM email AS e LEFT JOIN lane AS l ON l.name = e.lane",
    )
    .push(if request.pace.is_some() { " JOIN send_rate AS r ON r.id = 1" } else { "" })
    .push(" LEFT JOIN email AS c ON c.id = e.id AND c.state = 'sending' AND c.attempt_id = ")
    .text(request.attempt.as_str())
    .push(" AND ")
    .push(CONTENT_BYTES)
    .push(" <= ")
    .integer(MAX_CONTENT_BYTES)
    .push(" WHERE e.id = ")
    .integer(request.id)
}

fn read_attachments(sql: Sql, request: &ClaimRequest<'_>) -> Sql {
    sql.push(
        "SELECT a.name, a.content_type, a.content_id, a.content FROM email AS e JOIN attachment AS a ON \
         a.email_id = e.id WHERE e.id = ",
    )
    .integer(request.id)
    .push(" AND e.state = 'sending' AND e.attempt_id = ")
    .text(request.attempt.as_str())
    .push(" AND ")
    .push(CONTENT_BYTES)
    .push(" <= ")
    .integer(MAX_CONTENT_BYTES)
    .push(" ORDER BY a.id")
}
