//! Pausing lanes, and letting them go on.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::TryStreamExt as _;
use sqlx::Either;

use super::{
    number,
    stats::{LANES, LaneStanding, lane},
    time, unexpected, unix_us,
};
use crate::store::{
    Database, Session, StoreError, claim::STRIKES_TO_DISTRUST, connection::bounded, lane::PAUSED,
    literal::Sql,
};

/// What an operator may do to a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneCommand {
    /// Nothing of it is claimed until somebody resumes it.
    Pause,
    /// Nothing of it is claimed for so long. A pause that is there already ends then, too.
    PauseFor(Duration),
    /// A pause ends now. A rest stays, and a lane that was not trusted before is tried with one email.
    Resume,
}

/// Lanes, before and after something was done to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanesDone {
    /// The server's clock.
    pub now: SystemTime,
    /// Those that are there, as they were.
    pub before: Vec<LaneStanding>,
    /// As they are now.
    pub after: Vec<LaneStanding>,
    /// Emails of theirs that are under way.
    pub sending: u64,
}

/// Whether a pause has no end of its own.
#[must_use]
pub fn is_until_resumed(rests_until: SystemTime) -> bool {
    // The end of time as the server knows it; no other pause comes near.
    const YEAR_9999: Duration = Duration::from_hours(70_380_768);
    rests_until.duration_since(UNIX_EPOCH).is_ok_and(|since| since >= YEAR_9999)
}

impl Session {
    /// Does `command` to these lanes, or with none only looks at them. A lane that is not in the table is left out.
    ///
    /// What had been claimed before goes on to its end, and so does a claim that was on its way to the server: after
    /// its time-out of some seconds there is no further one.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`]. It may have been done all the same; to do it again does no harm.
    pub async fn lanes(
        &mut self,
        command: Option<LaneCommand>,
        names: &[&str],
        deadline: Instant,
    ) -> Result<LanesDone, StoreError> {
        let sql = statements(command, names);
        bounded(deadline, Database::STATEMENT_TIMEOUT, async {
            let mut results = sqlx::raw_sql(sql).fetch_many(&mut self.connection);
            let last = if command.is_some() { 2 } else { 1 };
            let (mut statement, mut clock) = (0, None);
            let (mut before, mut after) = (Vec::new(), Vec::new());
            while let Some(result) = results.try_next().await.map_err(StoreError::from_statement)? {
                match result {
                    Either::Left(_) => statement += 1,
                    Either::Right(row) if statement == 0 => before.push(lane(&row)?),
                    Either::Right(row) if statement == last => after.push(lane(&row)?),
                    Either::Right(row) => clock = Some((time(&row, "now_at")?, number(&row, "sending")?)),
                }
            }
            let (now, sending) = clock.ok_or_else(unexpected)?;
            Ok(LanesDone { now, before, after, sending })
        })
        .await
    }
}

fn statements(command: Option<LaneCommand>, names: &[&str]) -> Sql {
    let look = |sql: Sql| {
        let sql = sql.push(LANES).integer(STRIKES_TO_DISTRUST).push(" AS SIGNED) AS probed FROM lane");
        among(sql.push(" WHERE "), "name", names).push(" ORDER BY name DESC; ")
    };
    let mut sql = look(Sql::new(""));
    if let Some(command) = command {
        sql = among(change(sql, command), "name", names).push("; ");
    }
    sql = look(sql).push(concat!(
        "SELECT ",
        unix_us!("UTC_TIMESTAMP(6)"),
        " AS now_at, CAST(COUNT(*) AS SIGNED) AS sending FROM (SELECT 1 FROM email \
         FORCE INDEX (email_state_lane_due_at) WHERE state = 'sending' AND "
    ));
    among(sql, "lane", names).push(" LIMIT 100000) AS w")
}

fn change(sql: Sql, command: LaneCommand) -> Sql {
    match command {
        LaneCommand::Pause => sql.push(
            "UPDATE lane SET rest_until = '9999-12-31 00:00:00', struck_at = '9999-12-31 00:00:00' WHERE ",
        ),
        LaneCommand::PauseFor(time) => sql
            .push("UPDATE lane SET rest_until = UTC_TIMESTAMP(6) + INTERVAL ")
            .micros(time)
            .push(" MICROSECOND, struck_at = UTC_TIMESTAMP(6) + INTERVAL ")
            .micros(time)
            .push(" MICROSECOND WHERE "),
        LaneCommand::Resume => sql
            .push("UPDATE lane SET rest_until = UTC_TIMESTAMP(6), struck_at = '1970-01-01 00:00:00' WHERE ")
            .push(PAUSED)
            .push(" AND "),
    }
}

fn among(mut sql: Sql, column: &'static str, names: &[&str]) -> Sql {
    // No lane has no name.
    sql = sql.push(column).push(" IN (''");
    for name in names {
        sql = sql.push(", ").text(name);
    }
    sql.push(")")
}
