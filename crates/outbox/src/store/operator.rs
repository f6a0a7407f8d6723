//! What operators ask of the table, and the few writes that are theirs alone.
//!
//! Each write is fenced as every other: it names the states that it may come from, goes by primary key, and leaves alone
//! what SES's events show as accepted (that becomes `sent`). With it, in one short transaction of one packet, goes the
//! row of `email_event` which says that an operator did it: neither is there without the other, whoever dies when. A row
//! that somebody holds a lock on is reported, not waited for.

mod facts;
mod list;
mod pause;
mod stats;
mod story;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::TryStreamExt as _;
use sqlx::{Either, mysql::MySqlRow};

pub use self::{
    facts::Facts,
    list::{Filter, Line, Page},
    pause::{LaneCommand, LanesDone, is_until_resumed},
    stats::{Count, LaneStanding, Stats},
    story::{AttachmentFacts, EmailFacts, Event, Story},
};
use super::{
    Database, Session, StoreError,
    column::{get, unsigned},
    connection::bounded,
    history::{ACCEPTED, SETTLED, UNRESOLVED},
    literal::Sql,
    postpone::unlocked,
};
use crate::state::State;

/// A time that an operator means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So long before the server's now.
    Ago(Duration),
    /// A moment.
    At(SystemTime),
}

/// What an operator may do to an email.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `unknown` → `sent`: somebody knows, or decides, that it arrived.
    AssumeSent,
    /// `unknown` → `pending`: it may reach its recipients a second time.
    Resend {
        /// Forget an `expires_at` that is past, and would end it again.
        drop_expiry: bool,
    },
    /// `failed`, `expired`, `cancelled`, `suppressed` → `pending`, as if it had not been tried.
    Retry {
        /// Forget an `expires_at` that is past, and would end it again.
        drop_expiry: bool,
    },
    /// `pending` → `cancelled`; `unknown` when an earlier attempt may have reached its recipients.
    Cancel,
}

impl Command {
    /// The states that it may come from.
    #[must_use]
    pub const fn from_states(self) -> &'static [State] {
        match self {
            Self::AssumeSent | Self::Resend { .. } => &[State::Unknown],
            Self::Retry { .. } => &[State::Failed, State::Expired, State::Cancelled, State::Suppressed],
            Self::Cancel => &[State::Pending],
        }
    }

    /// Whether an `expires_at` that is past stands in the way: the sweep would end the email at once.
    #[must_use]
    pub const fn minds_expiry(self) -> bool {
        matches!(self, Self::Resend { drop_expiry: false } | Self::Retry { drop_expiry: false })
    }

    /// The state that it leads to.
    #[must_use]
    pub const fn to_state(self, unresolved: bool) -> State {
        match self {
            Self::AssumeSent => State::Sent,
            Self::Resend { .. } | Self::Retry { .. } => State::Pending,
            Self::Cancel if unresolved => State::Unknown,
            Self::Cancel => State::Cancelled,
        }
    }

    const fn drops_expiry(self) -> bool {
        matches!(self, Self::Resend { drop_expiry: true } | Self::Retry { drop_expiry: true })
    }

    /// The kind of its row in `email_event`.
    const fn kind(self) -> &'static str {
        match self {
            Self::AssumeSent => "assumed_sent",
            Self::Resend { .. } => "resent",
            Self::Retry { .. } => "retried",
            Self::Cancel => "cancelled",
        }
    }
}

/// What became of a command on one email.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done; the email is in this state now.
    Done(State),
    /// SES's events show that it was accepted: it is `sent` now, whatever was asked.
    ShownSent,
    /// There is no such row, or its producer has not committed.
    Missing,
    /// Not a state that the command may come from.
    State(State),
    /// `expires_at` is past.
    ExpiryPassed(State),
    /// Somebody holds a lock on the row.
    Locked(State),
    /// The connection was lost on the way: it was done or it was not.
    NotKnown,
}

impl Outcome {
    /// Whether the email is as the operator wants it, or better.
    #[must_use]
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Done(_) | Self::ShownSent)
    }
}

impl Session {
    /// Emails that [`command`](Self::command) takes at once: their commits have to fit into one time-out.
    pub const COMMAND_BATCH: usize = 50;

    /// Does `command` to each of `ids`, one after the other, and appends what became of each to `outcomes`, which also
    /// says how far it came when it fails.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`]. Unless it is [`StoreError::Contended`] (then the next one was certainly not changed), the
    /// email after the last outcome, and those behind it, may have been changed.
    pub async fn command(
        &mut self,
        command: Command,
        ids: &[u64],
        outcomes: &mut Vec<(u64, Outcome)>,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let mut sql = Sql::new("");
        for id in ids {
            sql = statements(sql, command, *id);
        }
        let done = bounded(deadline, Database::STATEMENT_TIMEOUT, async {
            let mut results = sqlx::raw_sql(sql).fetch_many(&mut self.connection);
            let mut remaining = ids.iter();
            let (mut position, mut settled, mut acted, mut row) = (0, 0, 0, None);
            while let Some(result) = results.try_next().await.map_err(StoreError::from_statement)? {
                match result {
                    Either::Right(found) => row = Some(found),
                    Either::Left(done) => {
                        match position {
                            SETTLE => settled = done.rows_affected(),
                            ACT => acted = done.rows_affected(),
                            LOOK => {
                                let id = *remaining.next().ok_or_else(unexpected)?;
                                let outcome = outcome(command, settled, acted, row.take().as_ref())?;
                                outcomes.push((id, outcome));
                            }
                            _ => {}
                        }
                        position = (position + 1) % (LOOK + 1);
                    }
                }
            }
            Ok(())
        })
        .await;
        if let Err(StoreError::Contended { .. }) = done {
            // What was open is rolled back by the server in most of these cases; not in all.
            self.write(Sql::new("ROLLBACK"), deadline).await?;
        }
        done
    }
}

/// Positions of the statements that are done for one email.
const SETTLE: usize = 1;
const ACT: usize = 2;
const LOOK: usize = 5;

fn statements(sql: Sql, command: Command, id: u64) -> Sql {
    let sql = sql.push("START TRANSACTION; UPDATE email AS e");
    let sql = unlocked(sql, id).push(" SET ").push(SETTLED).push(" WHERE e.state IN (");
    let sql = from_states(sql, command).push(") AND ").push(ACCEPTED).push("; UPDATE email AS e");
    let sql = changes(unlocked(sql, id), command).push(" WHERE e.state IN (");
    let sql = from_states(sql, command).push(") AND NOT ").push(ACCEPTED);
    let sql = sql.push(if command.minds_expiry() {
        " AND (e.expires_at IS NULL OR e.expires_at > UTC_TIMESTAMP(6))"
    } else {
        ""
    });
    // Not read with a plain SELECT: within an INSERT it would wait for whoever holds the row.
    sql.push("; INSERT INTO email_event (email_id, kind, attempt_id, detail) SELECT mine.id, ")
        .text(command.kind())
        .push(", mine.attempt_id, JSON_OBJECT('by', 'operator', 'state', mine.state) FROM \
             (SELECT id, attempt_id, state FROM email WHERE id = ")
        .integer(id)
        .push(
            " LIMIT 1 FOR UPDATE SKIP LOCKED) AS mine WHERE ROW_COUNT() > 0; COMMIT; SELECT e.state, \
             CAST(COALESCE(e.expires_at <= UTC_TIMESTAMP(6), 0) AS SIGNED) AS expired FROM email AS e WHERE e.id = ",
        )
        .integer(id)
        .push("; ")
}

fn from_states(mut sql: Sql, command: Command) -> Sql {
    for (serial, state) in command.from_states().iter().enumerate() {
        sql = sql.push(if serial == 0 { "" } else { ", " }).text(state.as_str());
    }
    sql
}

fn changes(sql: Sql, command: Command) -> Sql {
    let sql = match command {
        Command::AssumeSent => return sql.push(" SET ").push(SETTLED),
        Command::Cancel => {
            return sql
                .push(" SET e.state_at = UTC_TIMESTAMP(6), e.rung_at = NULL, e.state = IF(")
                .push(UNRESOLVED)
                .push(", 'unknown', 'cancelled')");
        }
        Command::Resend { .. } => sql.push(" SET e.resends = e.resends + 1"),
        Command::Retry { .. } => sql.push(" SET e.attempts = 0, e.first_attempt_at = NULL"),
    };
    // Rung long ago: the sweep finds it at its next run.
    let sql = sql.push(
        ", e.state_at = UTC_TIMESTAMP(6), e.lease_until = NULL, e.error_kind = NULL, e.error_detail = NULL, \
         e.due_at = UTC_TIMESTAMP(6), e.rung_at = '1970-01-01 00:00:00', e.state = 'pending'",
    );
    sql.push(if command.drops_expiry() {
        ", e.expires_at = IF(e.expires_at <= UTC_TIMESTAMP(6), NULL, e.expires_at)"
    } else {
        ""
    })
}

fn outcome(
    command: Command,
    settled: u64,
    acted: u64,
    row: Option<&MySqlRow>,
) -> Result<Outcome, StoreError> {
    let Some(row) = row else { return Ok(Outcome::Missing) };
    let state = state(row)?;
    if settled > 0 {
        return Ok(Outcome::ShownSent);
    }
    if acted > 0 {
        return Ok(Outcome::Done(state));
    }
    Ok(if !command.from_states().contains(&state) {
        Outcome::State(state)
    } else if command.minds_expiry() && flag(row, "expired")? {
        Outcome::ExpiryPassed(state)
    } else {
        Outcome::Locked(state)
    })
}

/// A time as microseconds since 1970, which is how it leaves the server.
macro_rules! unix_us {
    ($time:literal) => {
        concat!("TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', ", $time, ")")
    };
}
use unix_us;

impl Sql {
    fn when(self, when: When) -> Self {
        match when {
            When::Ago(duration) => {
                self.push("UTC_TIMESTAMP(6) - INTERVAL ").micros(duration).push(" MICROSECOND")
            }
            When::At(time) => {
                let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                self.push("TIMESTAMP'1970-01-01 00:00:00' + INTERVAL ").micros(since).push(" MICROSECOND")
            }
        }
    }
}

fn number(row: &MySqlRow, column: &str) -> Result<u64, StoreError> {
    Ok(unsigned(get(row, column)?))
}

fn flag(row: &MySqlRow, column: &str) -> Result<bool, StoreError> {
    Ok(get::<Option<i64>>(row, column)? == Some(1))
}

fn state(row: &MySqlRow) -> Result<State, StoreError> {
    get::<String>(row, "state")?.parse().map_err(|_| unexpected())
}

fn time(row: &MySqlRow, column: &str) -> Result<SystemTime, StoreError> {
    nullable_time(row, column)?.ok_or_else(unexpected)
}

fn nullable_time(row: &MySqlRow, column: &str) -> Result<Option<SystemTime>, StoreError> {
    Ok(get::<Option<i64>>(row, column)?.map(moment))
}

fn moment(unix_us: i64) -> SystemTime {
    let distance = Duration::from_micros(unix_us.unsigned_abs());
    if unix_us < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}

/// An answer of another shape than was asked for.
fn unexpected() -> StoreError {
    StoreError::Protocol(sqlx::Error::RowNotFound)
}
