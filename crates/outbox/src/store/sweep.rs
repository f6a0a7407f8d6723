//! What the sweep reads and writes: rows whose time has come and that nobody else will move.
//!
//! Rows are found without locks, through the index on `(state, lane, due_at)`, so what it costs depends on the rows that
//! wait and not on the millions that are done. Each is then changed by its primary key in a statement that repeats every
//! condition and skips a row that somebody holds: two sweeps at once do no harm, and neither waits for anybody.

mod sql;

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use sqlx::{Either, Row as _, mysql::MySqlRow};

use super::{
    Database, Session, StoreError,
    column::{get, micros, unsigned},
    connection::bounded,
    literal::Sql,
};
use crate::state::State;

/// By what a row counts as overdue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepRules {
    /// Whether an email that says nothing itself is sent again when it stays `unknown` (`ON_UNKNOWN`).
    pub resend_by_default: bool,
    /// How long an `unknown` waits for SES's events before it is sent again (`UNKNOWN_WAIT_S`).
    pub unknown_wait: Duration,
    /// How often an email is sent again at most (`MAX_RESENDS`).
    pub max_resends: u32,
    /// How long past its time an email may wait (`MAX_AGE_S`).
    pub max_age: Duration,
    /// Whether `urgent` has a queue to ring.
    pub urgent_has_queue: bool,
    /// Whether `bulk` has a queue to ring.
    pub bulk_has_queue: bool,
}

impl SweepRules {
    /// What holds where nothing is configured, but for the queues: there are both.
    pub const DEFAULT: Self = Self {
        resend_by_default: false,
        unknown_wait: Duration::from_mins(10),
        max_resends: 1,
        max_age: Duration::from_hours(7 * 24),
        urgent_has_queue: true,
        bulk_has_queue: true,
    };
    /// How long a doorbell may be under way before the sweep rings another one.
    pub const GRACE: Duration = Duration::from_mins(2);
    /// The longest that a row waits for the next of its doorbells: their distance doubles up to here.
    pub const LONGEST_GRACE: Duration = Duration::from_hours(1);
    /// Emails due within this are rung for ahead, with a delay, so that they leave on the second: the sweep's own period.
    pub const AHEAD: Duration = Duration::from_mins(1);
    /// Waiting rows of one lane that one look goes through, oldest first.
    pub const EXAMINED: u32 = 10_000;
    /// Rows that are `unknown` whose history one look goes through.
    pub const REREAD: u32 = 10_000;
}

/// What one look is about. Each is a statement batch of its own, so that one which takes too long does not keep the sweep
/// from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Dead leases, and what is `unknown`.
    Attempts,
    /// What waits in `urgent`.
    Urgent,
    /// What waits in `bulk`.
    Bulk,
    /// What waits in neither: such a row can only fail, but it has to be told so.
    Others,
}

impl Part {
    /// All of them, what matters most first.
    pub const ALL: [Self; 4] = [Self::Attempts, Self::Urgent, Self::Bulk, Self::Others];
}

/// A row that is overdue, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// `email.id`.
    pub id: u64,
    /// `email.lane`, as the producer wrote it.
    pub lane: String,
    /// What is to be done about it.
    pub chore: Chore,
}

/// What is to be done about an overdue row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chore {
    /// `sending`, and its lease ran out: the process died, and nobody knows how far it came.
    EndLease {
        /// The attempt that died.
        attempt: String,
    },
    /// `unknown`, no event came in time, and its owner asked for it to be sent again.
    Resend {
        /// The attempt that is given up.
        attempt: String,
    },
    /// `unknown`, and the history says that SES took it: whoever wrote that down died before it moved the row.
    Settle,
    /// `pending`, and `expires_at` is past.
    Expire,
    /// `pending` for longer than anybody can have meant.
    Retire,
    /// `pending` and due, and nobody rings for it.
    Ring {
        /// `rung_at` as it was read.
        rung_at: Option<String>,
        /// How long until it is due.
        delay: Duration,
    },
}

/// What one look at a part of the table found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// The rows to do something about: dead leases first, then what to send again, or those that wait, oldest first.
    pub overdue: Vec<Overdue>,
    /// Whether a list was cut off at its limit: there may be more.
    pub is_cut_off: bool,
    /// For how long the oldest due email of the two lanes has been due.
    pub oldest_due: Option<Duration>,
    /// How many emails are `unknown`, as far as one look counts: up to [`SweepRules::REREAD`].
    pub unknown: u32,
}

/// What became of a chore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chored {
    /// The row is in another state now.
    Moved(State),
    /// Its doorbell is to be rung: `rung_at` says so already.
    Rung,
    /// Somebody else was quicker, or holds the row.
    Left,
}

impl Session {
    /// Reads what is overdue of one part, at most `most` rows of each kind. Changes nothing.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`].
    pub async fn survey(
        &mut self,
        part: Part,
        rules: &SweepRules,
        most: u32,
        deadline: Instant,
    ) -> Result<Survey, StoreError> {
        let text = sql::survey(part, rules, most);
        bounded(deadline, Database::STATEMENT_TIMEOUT, async {
            let mut results = sqlx::raw_sql(text).fetch_many(&mut self.connection);
            let mut survey = Survey::default();
            let mut of_this_kind = 0;
            while let Some(result) = results.try_next().await.map_err(StoreError::from_statement)? {
                match result {
                    Either::Left(_) => of_this_kind = 0,
                    // All others have a chore, an id and a lane.
                    Either::Right(row) if row.len() == 2 => {
                        let micros: Option<i64> = get(&row, "oldest_due")?;
                        survey.oldest_due =
                            micros.and_then(|micros| u64::try_from(micros).ok()).map(Duration::from_micros);
                        survey.unknown = u32::try_from(get::<i64>(&row, "unknown")?).unwrap_or(u32::MAX);
                    }
                    Either::Right(row) => {
                        of_this_kind += 1;
                        survey.is_cut_off |= of_this_kind >= most;
                        survey.overdue.push(overdue(&row)?);
                    }
                }
            }
            Ok(survey)
        })
        .await
    }

    /// Does these chores in one round trip; what became of each, in order.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`]; some of them may have been done all the same. The session has no transaction open.
    pub async fn chore(
        &mut self,
        chores: &[Overdue],
        rules: &SweepRules,
        deadline: Instant,
    ) -> Result<Vec<Chored>, StoreError> {
        let text = sql::chores(chores, rules);
        let done = bounded(deadline, Database::STATEMENT_TIMEOUT, async {
            let mut results = sqlx::raw_sql(text).fetch_many(&mut self.connection);
            let mut matched = Vec::new();
            while let Some(result) = results.try_next().await.map_err(StoreError::from_statement)? {
                if let Either::Left(done) = result {
                    matched.push(done.rows_affected() > 0);
                }
            }
            let mut matched = matched.into_iter();
            Ok(chores.iter().map(|overdue| sql::outcome(&overdue.chore, &mut matched)).collect())
        })
        .await;
        if let Err(error) = &done
            && !error.ends_session()
        {
            self.write(Sql::new("ROLLBACK"), deadline).await?;
        }
        done
    }
}

fn overdue(row: &MySqlRow) -> Result<Overdue, StoreError> {
    let attempt = || get::<String>(row, "attempt_id");
    let chore = match get::<String>(row, "chore")?.as_str() {
        "end_lease" => Chore::EndLease { attempt: attempt()? },
        "resend" => Chore::Resend { attempt: attempt()? },
        "settle" => Chore::Settle,
        "expire" => Chore::Expire,
        "retire" => Chore::Retire,
        _ => Chore::Ring {
            rung_at: get(row, "rung_at")?,
            // A zero date, which some servers take, is no time at all: whoever wrote it wants the email sent.
            delay: get::<Option<i64>>(row, "due_in")?.map_or(Duration::ZERO, micros),
        },
    };
    let id = unsigned(get(row, "id")?);
    Ok(Overdue { id, lane: get(row, "lane")?, chore })
}
