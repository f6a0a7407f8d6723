//! Waiting rows: one doorbell each, and the ends that need no attempt.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use sqlx::{Either, Row as _};

use super::{
    Database, Place, Session, StoreError,
    connection::bounded,
    history::{ACCEPTED, SETTLED, UNRESOLVED},
    literal::Sql,
};
use crate::{mailer::Reason, state::State};

/// When the doorbell of a waiting row shall sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Postpone {
    /// At a time of the row's own (`due_at`).
    Until(Duration),
    /// At the end of the lane's line: not before `earliest`, and `spacing` after whoever waits already. So the delay
    /// grows with the backlog, and a thousand waiting rows do not all ring in the same second.
    InLine {
        /// From now.
        earliest: Duration,
        /// Room for one email.
        spacing: Duration,
    },
    /// Not at all: nobody knows when. The sweep rings for it at its first run once the lane is no longer paused.
    LeftToSweep,
}

impl Postpone {
    /// SQS delays a message by 15 minutes at most; what lies beyond is the sweep's.
    pub const LONGEST: Duration = Duration::from_mins(15);
}

impl Session {
    /// Moves `rung_at` to the time at which a new doorbell shall sound, if nobody moved it since `place` was read.
    ///
    /// Returns how long to delay that doorbell, or `None` when another one will sound for the row (or it no longer
    /// waits): then nothing is to be rung. Like the claim, it never waits for a lock.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`].
    pub async fn postpone(
        &mut self,
        id: u64,
        place: &Place,
        postpone: Postpone,
        deadline: Instant,
    ) -> Result<Option<Duration>, StoreError> {
        let sql = postpone_statements(id, place, postpone);
        bounded(deadline, Database::STATEMENT_TIMEOUT, async {
            let mut results = sqlx::raw_sql(sql).fetch_many(&mut self.connection);
            let mut delay = None;
            while let Some(result) = results.try_next().await.map_err(StoreError::from_statement)? {
                if let Either::Right(row) = result {
                    let moved: i64 = row.try_get(0).map_err(StoreError::Protocol)?;
                    let micros: Option<i64> = row.try_get(1).map_err(StoreError::Protocol)?;
                    delay = micros.filter(|_| moved > 0 && postpone != Postpone::LeftToSweep);
                }
            }
            Ok(delay.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0))))
        })
        .await
    }

    /// Takes back the `rung_at` of rows whose doorbells could not be rung, so that the next ones are not taken for
    /// superfluous. A row that somebody holds is left: it is rung for when its time is over.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`].
    pub async fn unring(&mut self, ids: &[u64], deadline: Instant) -> Result<(), StoreError> {
        let mut sql = Sql::new("");
        for (at, id) in ids.iter().enumerate() {
            sql = unlocked(sql.push(if at > 0 { "; " } else { "" }).push("UPDATE email AS e"), *id)
                .push(" SET e.rung_at = NULL WHERE e.state = 'pending'");
        }
        self.write(sql, deadline).await.map(|_| ())
    }

    /// Ends a waiting row whose `expires_at` passed, and returns the state it is in afterwards.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`].
    pub async fn expire(
        &mut self,
        id: u64,
        reason: &Reason,
        deadline: Instant,
    ) -> Result<Option<State>, StoreError> {
        let sql = unlocked(Sql::new("UPDATE email AS e"), id)
            .push(" SET e.state_at = UTC_TIMESTAMP(6), e.state = IF(")
            .push(UNRESOLVED)
            .push(", 'unknown', 'expired'), e.error_kind = ")
            .text(reason.kind)
            .push(", e.error_detail = ")
            .text(&reason.detail)
            .push(" WHERE e.state = 'pending' AND e.expires_at <= UTC_TIMESTAMP(6) AND NOT ")
            .push(ACCEPTED)
            .push("; SELECT state FROM email WHERE id = ")
            .integer(id);
        Ok(self.write(sql, deadline).await?.1)
    }

    /// Ends a waiting row `sent` when SES's events show that an earlier attempt was accepted.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`].
    pub async fn settle(&mut self, id: u64, deadline: Instant) -> Result<Option<State>, StoreError> {
        let sql = unlocked(Sql::new("UPDATE email AS e"), id)
            .push(" SET ")
            .push(SETTLED)
            .push(" WHERE e.state = 'pending' AND ")
            .push(ACCEPTED)
            .push("; SELECT state FROM email WHERE id = ")
            .integer(id);
        Ok(self.write(sql, deadline).await?.1)
    }
}

/// Joins the row `e` only if nobody holds a lock on it.
pub(super) fn unlocked(sql: Sql, id: u64) -> Sql {
    sql.push(" JOIN (SELECT id FROM email WHERE id = ")
        .integer(id)
        .push(" LIMIT 1 FOR UPDATE SKIP LOCKED) AS free ON free.id = e.id")
}

fn postpone_statements(id: u64, place: &Place, postpone: Postpone) -> Sql {
    let longest = Postpone::LONGEST;
    let mut sql = Sql::new("");
    if let Postpone::InLine { earliest, spacing } = postpone {
        sql = sql
            .push("UPDATE lane SET ring_at = LEAST(UTC_TIMESTAMP(6) + INTERVAL ")
            .micros(longest)
            .push(" MICROSECOND, GREATEST(ring_at, UTC_TIMESTAMP(6) + INTERVAL ")
            .micros(earliest.min(longest))
            .push(" MICROSECOND) + INTERVAL ")
            .micros(spacing)
            .push(" MICROSECOND) WHERE name = ")
            .text(&place.lane)
            .push("; ");
    }
    sql = unlocked(sql.push("UPDATE email AS e"), id);
    sql = match postpone {
        Postpone::Until(wait) => sql
            .push(" SET e.rung_at = UTC_TIMESTAMP(6) + INTERVAL ")
            .micros(wait.min(longest))
            .push(" MICROSECOND"),
        Postpone::InLine { earliest, spacing } => sql
            .push(
                " LEFT JOIN lane AS l ON l.name = e.lane \
                 SET e.rung_at = COALESCE(l.ring_at, UTC_TIMESTAMP(6) + INTERVAL ",
            )
            .micros((earliest + spacing).min(longest))
            .push(" MICROSECOND)"),
        // Rung long ago, so that no distance between two doorbells holds the sweep up.
        Postpone::LeftToSweep => sql.push(" SET e.rung_at = '1970-01-01 00:00:00'"),
    };
    sql.push(" WHERE e.state = 'pending' AND e.rung_at <=> ")
        .nullable_text(place.rung_at.as_deref())
        .push(
            "; SELECT CAST(ROW_COUNT() AS SIGNED), TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), rung_at) \
             FROM email WHERE id = ",
        )
        .integer(id)
}
