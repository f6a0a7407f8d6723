//! What stands in the way of a command, read without a lock.

use std::time::Instant;

use futures_util::TryStreamExt as _;

use super::{flag, number, state};
use crate::{
    state::State,
    store::{
        Database, Session, StoreError,
        column::get,
        connection::bounded,
        history::{ACCEPTED, UNRESOLVED},
        literal::Sql,
    },
};

/// An email as a command would find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `email.id`.
    pub id: u64,
    /// Where it stands.
    pub state: State,
    /// `email.lane`.
    pub lane: String,
    /// SES's events show that it was accepted.
    pub accepted: bool,
    /// An earlier attempt may have reached its recipients for all that anybody knows.
    pub unresolved: bool,
    /// `expires_at` is past.
    pub expired: bool,
}

impl Session {
    /// Emails that [`look_at`](Self::look_at) is asked for at once.
    pub const LOOK_BATCH: usize = 500;

    /// Looks at these emails, by primary key. Those that are not there are left out.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`].
    pub async fn look_at(&mut self, ids: &[u64], deadline: Instant) -> Result<Vec<Facts>, StoreError> {
        let mut sql = Sql::new(
            "SELECT CAST(e.id AS SIGNED) AS id, e.state, e.lane, \
             CAST(COALESCE(e.expires_at <= UTC_TIMESTAMP(6), 0) AS SIGNED) AS expired, CAST(",
        )
        .push(ACCEPTED)
        .push(" AS SIGNED) AS accepted, CAST(COALESCE(")
        .push(UNRESOLVED)
        // No id is 0.
        .push(", 0) AS SIGNED) AS unresolved FROM email AS e WHERE e.id IN (0");
        for id in ids {
            sql = sql.push(", ").integer(*id);
        }
        let sql = sql.push(") ORDER BY e.id");
        bounded(deadline, Database::STATEMENT_TIMEOUT, async {
            let mut rows = sqlx::raw_sql(sql).fetch(&mut self.connection);
            let mut found = Vec::with_capacity(ids.len());
            while let Some(row) = rows.try_next().await.map_err(StoreError::from_statement)? {
                found.push(Facts {
                    id: number(&row, "id")?,
                    state: state(&row)?,
                    lane: get(&row, "lane")?,
                    accepted: flag(&row, "accepted")?,
                    unresolved: flag(&row, "unresolved")?,
                    expired: flag(&row, "expired")?,
                });
            }
            Ok(found)
        })
        .await
    }
}
