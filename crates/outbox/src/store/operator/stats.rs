//! The state of the whole table, in bounded time.
//!
//! Counting ten million `sent` emails would read ten million rows. The states that still need something are counted in
//! full, the others over the emails that were due in a window, and each count stops at a limit. The index on state,
//! lane and due time serves all of it; no row is read but those of `sending`.

use std::time::{Duration, Instant, SystemTime};

use futures_util::TryStreamExt as _;
use sqlx::{Either, mysql::MySqlRow};

use super::{When, flag, nullable_time, number, state, time, unexpected, unix_us};
use crate::{
    state::State,
    store::{
        Database, Session, StoreError, claim::STRIKES_TO_DISTRUST, column::get, connection::bounded,
        lane::paused, literal::Sql,
    },
};

/// Where the emails stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// The server's clock.
    pub now: SystemTime,
    /// One for each state and lane that has emails.
    pub counts: Vec<Count>,
    /// Emails of the state `sending` whose lease is over.
    pub dead_leases: u64,
    /// The lanes.
    pub lanes: Vec<LaneStanding>,
    /// Until when the slots of the sending rate are taken.
    pub slots_taken_until: SystemTime,
}

/// Emails of one state in one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// The state.
    pub state: State,
    /// `email.lane`.
    pub lane: String,
    /// How many: of a terminal state, those that were due within the window.
    pub emails: u64,
    /// Counting stopped there: there are more.
    pub stopped: bool,
    /// How many of them are due.
    pub due: u64,
    /// The earliest `due_at` of them.
    pub first_due_at: Option<SystemTime>,
}

/// A row of `lane`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStanding {
    /// Its name.
    pub name: String,
    /// Nothing is claimed before; `None` when it neither rests nor is paused.
    pub rests_until: Option<SystemTime>,
    /// It does not rest by itself: an operator paused it.
    pub is_paused: bool,
    /// Failures in a row that were not an email's own.
    pub strikes: u64,
    /// It is tried with one email at a time.
    pub probed: bool,
    /// When the last doorbell of the waiting line will sound, if there is a line.
    pub line_until: Option<SystemTime>,
}

impl Stats {
    /// A count that reaches this stops.
    pub const COUNT_LIMIT: u32 = 500_000;
    /// Pairs of state and lane that are counted.
    const MOST_PAIRS: u32 = 100;
}

impl Session {
    /// Counts; of a terminal state, the emails that were due within `window`.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`].
    pub async fn stats(&mut self, window: Duration, deadline: Instant) -> Result<Stats, StoreError> {
        let (mut stats, pairs) = self.standing(deadline).await?;
        for (state, lane) in pairs {
            let row = self.one_row(count(state, &lane, window), deadline).await?;
            let emails = number(&row, "emails")?;
            if emails > 0 {
                let stopped = emails >= u64::from(Stats::COUNT_LIMIT);
                let (due, first_due_at) = (number(&row, "due")?, nullable_time(&row, "first_due_at")?);
                stats.counts.push(Count { state, lane, emails, stopped, due, first_due_at });
            }
        }
        Ok(stats)
    }

    /// All but the counts, and what to count.
    async fn standing(&mut self, deadline: Instant) -> Result<(Stats, Vec<(State, String)>), StoreError> {
        let sql = standing();
        bounded(deadline, Database::STATEMENT_TIMEOUT, async {
            let mut results = sqlx::raw_sql(sql).fetch_many(&mut self.connection);
            let mut statement = 0;
            let (mut clock, mut dead_leases, mut lanes, mut pairs) = (None, 0, Vec::new(), Vec::new());
            while let Some(result) = results.try_next().await.map_err(StoreError::from_statement)? {
                match (result, statement) {
                    (Either::Left(_), _) => statement += 1,
                    (Either::Right(row), 0) => clock = Some((time(&row, "now_at")?, time(&row, "tat")?)),
                    (Either::Right(row), 1) => dead_leases = number(&row, "dead")?,
                    (Either::Right(row), 2) => lanes.push(lane(&row)?),
                    (Either::Right(row), _) => pairs.push((state(&row)?, get(&row, "lane")?)),
                }
            }
            let (now, slots_taken_until) = clock.ok_or_else(unexpected)?;
            Ok((Stats { now, counts: Vec::new(), dead_leases, lanes, slots_taken_until }, pairs))
        })
        .await
    }

    async fn one_row(&mut self, sql: Sql, deadline: Instant) -> Result<MySqlRow, StoreError> {
        bounded(deadline, Database::STATEMENT_TIMEOUT, async {
            let row = sqlx::raw_sql(sql).fetch_one(&mut self.connection).await;
            row.map_err(StoreError::from_statement)
        })
        .await
    }
}

/// The columns of a [`LaneStanding`], up to the strikes after which it is probed.
pub(super) const LANES: &str = concat!(
    "SELECT name, CAST(strikes AS SIGNED) AS strikes, CAST(",
    paused!(),
    " AS SIGNED) AS paused, IF(rest_until > UTC_TIMESTAMP(6), ",
    unix_us!("rest_until"),
    ", NULL) AS rest_until, IF(ring_at > UTC_TIMESTAMP(6), ",
    unix_us!("ring_at"),
    ", NULL) AS ring_at, CAST(strikes >= ",
);

fn standing() -> Sql {
    Sql::new(concat!(
        "SELECT ",
        unix_us!("UTC_TIMESTAMP(6)"),
        " AS now_at, ",
        unix_us!("tat"),
        " AS tat FROM send_rate WHERE id = 1; \
         SELECT CAST(COUNT(*) AS SIGNED) AS dead FROM (SELECT lease_until FROM email \
         FORCE INDEX (email_state_lane_due_at) WHERE state = 'sending' LIMIT 100000) AS w \
         WHERE w.lease_until <= UTC_TIMESTAMP(6); ",
    ))
    .push(LANES)
    .integer(STRIKES_TO_DISTRUST)
    // The last one hops in the index from one pair to the next.
    .push(
        " AS SIGNED) AS probed FROM lane ORDER BY name DESC LIMIT 100; \
         SELECT state, lane FROM email FORCE INDEX (email_state_lane_due_at) GROUP BY state, lane LIMIT ",
    )
    .integer(Stats::MOST_PAIRS)
}

fn count(state: State, lane: &str, window: Duration) -> Sql {
    let mut sql = Sql::new(concat!(
        "SELECT CAST(COUNT(*) AS SIGNED) AS emails, \
         CAST(COALESCE(SUM(w.due_at <= UTC_TIMESTAMP(6)), 0) AS SIGNED) AS due, ",
        unix_us!("MIN(w.due_at)"),
        " AS first_due_at FROM (SELECT due_at FROM email FORCE INDEX (email_state_lane_due_at) WHERE state = ",
    ))
    .text(state.as_str())
    .push(" AND lane = ")
    .text(lane);
    if state.is_terminal() {
        sql = sql.push(" AND due_at >= ").when(When::Ago(window));
    }
    sql.push(" ORDER BY due_at LIMIT ").integer(Stats::COUNT_LIMIT).push(") AS w")
}

pub(super) fn lane(row: &MySqlRow) -> Result<LaneStanding, StoreError> {
    Ok(LaneStanding {
        name: get(row, "name")?,
        rests_until: nullable_time(row, "rest_until")?,
        is_paused: flag(row, "paused")?,
        strikes: number(row, "strikes")?,
        probed: flag(row, "probed")?,
        line_until: nullable_time(row, "ring_at")?,
    })
}
