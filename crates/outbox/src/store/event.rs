//! Taking in what SES says later: its event goes into the history once, and the row follows the history.

use std::time::Instant;

use futures_util::TryStreamExt as _;
use sqlx::{Either, Row as _};

use super::{
    Database, Session, StoreError,
    connection::bounded,
    history::{ACCEPTED, DROPPED_CURRENT, TOOK_CURRENT, UNRESOLVED},
    literal::Sql,
};
use crate::{
    mailer::Reason,
    state::{AttemptId, State},
};

/// One event of SES about an attempt.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// `email.id`.
    pub id: u64,
    /// The attempt that it speaks of.
    pub attempt: &'a AttemptId,
    /// `email_event.kind`.
    pub kind: &'static str,
    /// What it says about the attempt.
    pub meaning: Meaning<'a>,
    /// When it happened, as `2026-11-23 16:43:04.512000` in UTC; `None`: now.
    pub at: Option<&'a str>,
    /// When SES took the email, likewise.
    pub taken_at: Option<&'a str>,
    /// SES's id of the message.
    pub message_id: Option<&'a str>,
    /// The same for every delivery of this event, and for no other one.
    pub identity: &'a str,
    /// A JSON object.
    pub detail: &'a str,
}

/// What an event says about its attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning<'a> {
    /// SES took it.
    Taken,
    /// SES took it and dropped it: why.
    Dropped(&'a Reason),
    /// Nothing that its state depends on.
    Nothing,
}

/// Where an email is after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    /// Its state.
    pub state: State,
    /// Whether the event brought it there.
    pub has_moved: bool,
}

impl Session {
    /// Writes an event into the history, unless it stands there already, and lets the row follow the history; returns
    /// where the email is afterwards. One round trip.
    ///
    /// `None`: there is no such email, and nothing was written. A stray event may never mark an email that gets its id
    /// later. The same event again finishes what the first time was cut off, and otherwise changes nothing.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`]; it does no harm to repeat it.
    pub async fn take_event(
        &mut self,
        event: Event<'_>,
        deadline: Instant,
    ) -> Result<Option<Followed>, StoreError> {
        let sql = statements(&event);
        bounded(deadline, Database::STATEMENT_TIMEOUT, async {
            let mut results = sqlx::raw_sql(sql).fetch_many(&mut self.connection);
            let (mut read, mut written) = (None, Vec::new());
            while let Some(result) = results.try_next().await.map_err(StoreError::from_statement)? {
                match result {
                    Either::Left(done) => written.push(done.rows_affected() > 0),
                    Either::Right(row) => {
                        let fit: i64 = row.try_get(0).map_err(StoreError::Protocol)?;
                        let state: Option<String> = row.try_get(1).map_err(StoreError::Protocol)?;
                        read = Some((fit, state));
                    }
                }
            }
            match read {
                Some((1, state)) => {
                    // The first statement is the history's.
                    let has_moved = written.into_iter().skip(1).take(2).any(|written| written);
                    let state = state.and_then(|name| name.parse().ok());
                    Ok(state.map(|state| Followed { state, has_moved }))
                }
                _ => Err(StoreError::Unfit),
            }
        })
        .await
    }
}

/// Each statement commits by itself: none holds a lock while the next one waits for another.
fn statements(event: &Event<'_>) -> Sql {
    let sql = kept(Sql::new(""), event);
    let sql = if event.meaning == Meaning::Nothing {
        sql
    } else {
        // Both, whatever the event says: it may be the first to find that an earlier one could not move the row.
        dropped(sent(sql.push("; "), event).push("; "), event)
    };
    sql.push(
        "; SELECT CAST(@@autocommit AS SIGNED), e.state FROM (SELECT 1) AS one \
         LEFT JOIN email AS e ON e.id = ",
    )
    .integer(event.id)
}

/// Only where the email is: the row is looked at in the statement that writes, so that none can come in between.
fn kept(sql: Sql, event: &Event<'_>) -> Sql {
    sql.push(
        "INSERT INTO email_event (email_id, at, kind, attempt_id, detail, dedup_key) \
         SELECT e.id, COALESCE(",
    )
    .moment(event.at)
    .push(", UTC_TIMESTAMP(6)), ")
    .text(event.kind)
    .push(", ")
    .text(event.attempt.as_str())
    .push(", ")
    .text(event.detail)
    .push(", CONCAT(")
    .text(event.kind)
    .push(", ':', SHA2(")
    .text(event.identity)
    .push(", 256)) FROM email AS e WHERE ")
    .this_row(event)
    .push(" ON DUPLICATE KEY UPDATE email_event.id = email_event.id")
}

/// Whatever attempt it was that SES took, unless another one is sending: that one's own end will see the history.
fn sent(sql: Sql, event: &Event<'_>) -> Sql {
    sql.push(
        "UPDATE email AS e SET e.sent_at = COALESCE(e.sent_at, LEAST(UTC_TIMESTAMP(6), \
         GREATEST(e.created_at, COALESCE(",
    )
    // SES's clock is not the database's: never before the email was written, nor in the future.
    .moment(event.taken_at)
    .push(", UTC_TIMESTAMP(6))))), e.ses_message_id = IF(e.attempt_id = ")
    .text(event.attempt.as_str())
    .push(", COALESCE(")
    .nullable_text(event.message_id)
    .push(", e.ses_message_id), COALESCE(e.ses_message_id, ")
    .nullable_text(event.message_id)
    .push(
        ")), e.state_at = UTC_TIMESTAMP(6), e.lease_until = NULL, e.rung_at = NULL, e.error_kind = NULL, \
         e.error_detail = NULL, e.state = 'sent' WHERE ",
    )
    .this_row(event)
    .push(" AND ((e.state IN ('pending', 'unknown', 'failed') AND ")
    .push(ACCEPTED)
    .push(") OR (e.state = 'sending' AND ")
    .push(TOOK_CURRENT)
    .push(" AND NOT ")
    .push(DROPPED_CURRENT)
    .push("))")
}

/// The current attempt reached nobody; an earlier one may have, as far as anybody knows.
fn dropped(sql: Sql, event: &Event<'_>) -> Sql {
    let sql = sql
        .push("UPDATE email AS e SET e.state_at = IF(e.state = 'unknown' AND ")
        .push(UNRESOLVED)
        .push(", e.state_at, UTC_TIMESTAMP(6)), e.ses_message_id = COALESCE(e.ses_message_id, ")
        .nullable_text(event.message_id)
        .push("), e.sent_at = NULL, e.lease_until = NULL, e.rung_at = NULL, ");
    let sql = match event.meaning {
        Meaning::Dropped(reason) => sql.reason(reason),
        _ => sql.push(
            "e.error_kind = 'ses_rejected', e.error_detail = \
             'Amazon SES took this email and then dropped it; the history of its events says why.', ",
        ),
    };
    sql.push("e.state = IF(")
        .push(UNRESOLVED)
        .push(", 'unknown', 'failed') WHERE ")
        .this_row(event)
        .push(" AND e.state IN ('sent', 'sending', 'unknown') AND ")
        .push(DROPPED_CURRENT)
        .push(" AND NOT ")
        .push(ACCEPTED)
}

impl Sql {
    /// With autocommit off, which can be a server's default, COM_QUIT would take everything back: nothing is written
    /// then, and the answer says so.
    fn this_row(self, event: &Event<'_>) -> Self {
        self.push("@@autocommit = 1 AND e.id = ").integer(event.id)
    }

    fn moment(self, at: Option<&str>) -> Self {
        self.push("CAST(").nullable_text(at).push(" AS DATETIME(6))")
    }
}
