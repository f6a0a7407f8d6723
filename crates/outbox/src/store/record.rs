//! Writing down what happened: the one write after a send, fenced by the attempt.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use sqlx::{Either, Row as _};

use super::{
    Database, Session, StoreError,
    claim::STRIKES_TO_DISTRUST,
    connection::bounded,
    history::{ACCEPTED, DROPPED_CURRENT, SETTLED, UNRESOLVED},
    lane::PAUSED,
    literal::Sql,
    postpone::{Postpone, unlocked},
};
use crate::{
    mailer::Reason,
    state::{AttemptId, State},
};

/// What to write about one attempt.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// `email.id`.
    pub id: u64,
    /// The attempt that this is about: nothing of another attempt is changed.
    pub attempt: &'a AttemptId,
    /// What happened.
    pub verdict: Verdict<'a>,
    /// What it says about the lane, and the lane's name.
    pub lane: Option<(&'a str, LaneReport)>,
}

/// What happened to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// SES took it: `sent`.
    Accepted {
        /// SES's id of the message.
        message_id: &'a str,
    },
    /// Certainly not sent, and worth another attempt: `pending`.
    Retry {
        /// Not before this long from now.
        wait: Duration,
        /// Whether the attempt does not count.
        give_back: bool,
        /// Why it was not sent.
        reason: &'a Reason,
    },
    /// SES was certainly not called: `pending` as if it had not been claimed.
    Release {
        /// When the doorbell for it will sound.
        wait: Duration,
    },
    /// The same after a claim whose answer is not known: never waits for a lock, since it may be that claim itself which
    /// holds it.
    Withdraw {
        /// When the doorbell for it will sound.
        wait: Duration,
    },
    /// Certainly not sent and never will be: `failed`.
    Fail {
        /// Why.
        reason: &'a Reason,
    },
    /// No recipient may be written to: `suppressed`.
    Suppress,
    /// Nobody can know whether it was sent: `unknown`.
    Unknown {
        /// What was seen.
        reason: &'a Reason,
    },
}

/// What a send says about the lane it came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneReport {
    /// SES answered for the account: a struck lane is trusted again.
    Healthy,
    /// The email was the lane's probe, and SES was not called: the next one is.
    Unprobed,
    /// SES gave no readable answer: three in a row within a minute and the lane rests.
    Doubtful {
        /// The email was the lane's probe.
        probe: bool,
    },
    /// The account or the path is the cause: the lane rests at once.
    Rest {
        /// At least this long.
        at_least: Duration,
        /// The email was the lane's probe.
        probe: bool,
    },
}

impl LaneReport {
    /// First rest after doubtful answers; doubles.
    const FIRST_REST: Duration = Duration::from_secs(5);
    /// The longest rest that doubling leads to.
    const LONGEST_REST_MS: u32 = 300_000;
}

impl Session {
    /// Writes what happened, and returns the state that the email is in afterwards.
    ///
    /// It may differ from what the verdict says: SES's events may show that an attempt was accepted (`sent`), and an
    /// email with an unresolved earlier attempt never ends `failed` or `suppressed` but `unknown`. Writing the same twice
    /// does no harm. `None`: the row is gone.
    ///
    /// A verdict of an attempt that no longer holds the row changes nothing; an acceptance is kept in the history
    /// even then, and ends the row `sent` unless yet another attempt is sending.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`]; unless it is [`StoreError::Contended`], the write may have been made.
    pub async fn record(
        &mut self,
        record: Record<'_>,
        deadline: Instant,
    ) -> Result<Option<State>, StoreError> {
        if let Verdict::Accepted { message_id } = record.verdict {
            // SES's ids are some 60 ASCII characters; whatever else came must not keep the acceptance from being written.
            let message_id: String = message_id.chars().filter(char::is_ascii_graphic).take(255).collect();
            let message_id = message_id.as_str();
            let (matched, _) = self.write(accepted(&record, message_id), deadline).await?;
            if matched > 0 {
                return Ok(Some(State::Sent));
            }
            return Ok(self.write(accepted_late(&record, message_id), deadline).await?.1);
        }
        Ok(self.write(not_accepted(&record), deadline).await?.1)
    }

    /// Runs statements: rows matched by the first, and the state that the last one selected, if one did.
    pub(super) async fn write(
        &mut self,
        sql: Sql,
        deadline: Instant,
    ) -> Result<(u64, Option<State>), StoreError> {
        bounded(deadline, Database::STATEMENT_TIMEOUT, async {
            let mut results = sqlx::raw_sql(sql).fetch_many(&mut self.connection);
            let (mut matched, mut state) = (None, None);
            while let Some(result) = results.try_next().await.map_err(StoreError::from_statement)? {
                match result {
                    Either::Left(done) => matched = matched.or(Some(done.rows_affected())),
                    Either::Right(row) => {
                        let name: String = row.try_get(0).map_err(StoreError::Protocol)?;
                        state = name.parse().ok();
                    }
                }
            }
            Ok((matched.unwrap_or(0), state))
        })
        .await
    }
}

fn accepted(record: &Record<'_>, message_id: &str) -> Sql {
    Sql::new(
        "UPDATE email AS e SET e.sent_at = COALESCE(e.sent_at, UTC_TIMESTAMP(6)), \
         e.state_at = IF(e.state = 'sent', e.state_at, UTC_TIMESTAMP(6)), e.state = 'sent', e.ses_message_id = ",
    )
    .text(message_id)
    .push(
        ", e.lease_until = NULL, e.rung_at = NULL, e.error_kind = NULL, e.error_detail = NULL \
         WHERE (e.state IN ('sending', 'sent') OR (e.state IN ('unknown', 'pending') AND NOT ",
    )
    // Not when SES dropped it after all: its event may have been quicker than this.
    .push(DROPPED_CURRENT)
    .push("))")
    .fence(record)
    .append(lane(record))
}

/// The attempt had lost its row: what it knows goes into the history, and moves whatever may still be moved.
fn accepted_late(record: &Record<'_>, message_id: &str) -> Sql {
    Sql::new("INSERT INTO email_event (email_id, kind, attempt_id, detail, dedup_key) VALUES (")
        .integer(record.id)
        .push(", 'accepted', ")
        .text(record.attempt.as_str())
        .push(", JSON_OBJECT('ses_message_id', ")
        .text(message_id)
        .push("), CONCAT('accepted:', ")
        .text(record.attempt.as_str())
        .push(
            ")) ON DUPLICATE KEY UPDATE email_event.id = email_event.id; \
             UPDATE email AS e SET e.sent_at = COALESCE(e.sent_at, UTC_TIMESTAMP(6)), e.state_at = UTC_TIMESTAMP(6), \
             e.state = 'sent', e.ses_message_id = COALESCE(e.ses_message_id, ",
        )
        .text(message_id)
        .push(
            "), e.lease_until = NULL, e.rung_at = NULL, e.error_kind = NULL, e.error_detail = NULL \
             WHERE e.state IN ('pending', 'unknown', 'failed') AND e.id = ",
        )
        .integer(record.id)
        // Not when SES dropped it after all: its event may have been quicker than this.
        .push(" AND ")
        .push(ACCEPTED)
        .push("; SELECT state FROM email WHERE id = ")
        .integer(record.id)
}

/// The attempt may have been given up as unresolved meanwhile. That SES certainly did not take it is kept all the same: no
/// later end need be in doubt for its sake.
fn not_sent(record: &Record<'_>) -> Sql {
    Sql::new(
        "INSERT INTO email_event (email_id, kind, attempt_id, dedup_key) \
         SELECT g.email_id, 'not_sent', g.attempt_id, CONCAT('not_sent:', g.attempt_id) FROM email_event AS g \
         WHERE g.email_id = ",
    )
    .integer(record.id)
    .push(" AND g.kind = 'resent' AND g.attempt_id = ")
    .text(record.attempt.as_str())
    .push(" ON DUPLICATE KEY UPDATE email_event.id = email_event.id")
}

fn not_accepted(record: &Record<'_>) -> Sql {
    let sql = match record.verdict {
        Verdict::Unknown { .. } => Sql::new(""),
        _ => not_sent(record).push("; "),
    }
    .push("UPDATE email AS e");
    let sql = match record.verdict {
        Verdict::Withdraw { .. } => unlocked(sql, record.id),
        _ => sql,
    };
    let sql = sql.push(" SET e.state_at = UTC_TIMESTAMP(6), e.lease_until = NULL, ");
    let give_back = "e.attempts = GREATEST(e.attempts, 1) - 1, ";
    let sql = match record.verdict {
        Verdict::Accepted { .. } => unreachable!("written by `accepted`"),
        Verdict::Retry { wait, give_back: given, reason } => sql
            .push(if given { give_back } else { "" })
            .push("e.due_at = UTC_TIMESTAMP(6) + INTERVAL ")
            .micros(wait)
            .push(" MICROSECOND, ")
            // Beyond what the queue can wait for no doorbell will sound; so the sweep sees that none will.
            .push(if wait > Postpone::LONGEST { "e.rung_at = NULL, " } else { "e.rung_at = e.due_at, " })
            .reason(reason)
            .push("e.state = 'pending'"),
        Verdict::Release { wait } | Verdict::Withdraw { wait } => sql
            .push(give_back)
            .push("e.rung_at = UTC_TIMESTAMP(6) + INTERVAL ")
            .micros(wait)
            .push(" MICROSECOND, e.state = 'pending'"),
        // Honest ends: an earlier attempt that nobody could resolve may have reached its recipients.
        Verdict::Fail { reason } => {
            sql.reason(reason).push("e.state = IF(").push(UNRESOLVED).push(", 'unknown', 'failed')")
        }
        Verdict::Suppress => sql.push("e.state = IF(").push(UNRESOLVED).push(", 'unknown', 'suppressed')"),
        Verdict::Unknown { reason } => sql.reason(reason).push("e.state = 'unknown'"),
    };
    sql.push(" WHERE e.state IN ('sending', 'unknown') AND NOT ")
        .push(ACCEPTED)
        .fence(record)
        // What an event already knows is stronger than any verdict.
        .push("; UPDATE email AS e SET ")
        .push(SETTLED)
        .push(" WHERE e.state IN ('sending', 'unknown') AND ")
        .push(ACCEPTED)
        .fence(record)
        .append(lane(record))
        .push("; SELECT state FROM email WHERE id = ")
        .integer(record.id)
}

/// What the lane learns. A statement of its own, so that no lock on the lane is held together with one on an email.
fn lane(record: &Record<'_>) -> Option<Sql> {
    let (name, report) = record.lane?;
    let (probe, base, account) = match report {
        LaneReport::Healthy => {
            // A lane that an operator paused stays paused, whatever was under way meanwhile.
            return Some(
                Sql::new(
                    "; UPDATE lane SET strikes = 0, rest_ms = 0, rest_until = UTC_TIMESTAMP(6) \
                     WHERE strikes > 0 AND NOT ",
                )
                .push(PAUSED)
                .push(" AND name = ")
                .text(name),
            );
        }
        LaneReport::Unprobed => {
            return Some(
                Sql::new("; UPDATE lane SET rest_until = UTC_TIMESTAMP(6) WHERE strikes > 0 AND NOT ")
                    .push(PAUSED)
                    .push(" AND name = ")
                    .text(name),
            );
        }
        LaneReport::Doubtful { probe } => (probe, LaneReport::FIRST_REST, false),
        LaneReport::Rest { at_least, probe } => (probe, at_least, true),
    };
    let base_ms = u32::try_from(base.as_millis()).unwrap_or(LaneReport::LONGEST_REST_MS);
    let strikes = |sql: Sql| {
        if account {
            sql.push("GREATEST(LEAST(strikes, 1000) + 1, ").integer(STRIKES_TO_DISTRUST).push(")")
        } else {
            sql.push("IF(strikes >= ")
                .integer(STRIKES_TO_DISTRUST)
                .push(" OR struck_at > UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE, LEAST(strikes, 1000) + 1, 1)")
        }
    };
    let trips = |sql: Sql| strikes(sql.push("IF(")).push(" >= ").integer(STRIKES_TO_DISTRUST).push(", ");
    let length = |sql: Sql| {
        sql.push("IF(strikes >= ")
            .integer(STRIKES_TO_DISTRUST)
            .push(", LEAST(GREATEST(rest_ms * 2, ")
            .integer(base_ms)
            .push("), ")
            .integer(base_ms.max(LaneReport::LONGEST_REST_MS))
            .push("), ")
            .integer(base_ms)
            .push(")")
    };
    // Every expression uses the old values, whether a server assigns from left to right or all at once.
    let sql = trips(Sql::new("; UPDATE lane SET rest_until = ")).push("UTC_TIMESTAMP(6) + INTERVAL 1000 * ");
    let sql = trips(length(sql).push(" MICROSECOND, rest_until), rest_ms = "));
    let sql = strikes(length(sql).push(", rest_ms), strikes = "));
    Some(
        sql.push(", struck_at = UTC_TIMESTAMP(6) WHERE name = ")
            .text(name)
            // Ten failures at once are one: a lane that rests already is left alone. The probe set its own rest.
            .push(if probe { " AND NOT " } else { " AND rest_until <= UTC_TIMESTAMP(6) AND NOT " })
            .push(PAUSED),
    )
}

impl Sql {
    fn fence(self, record: &Record<'_>) -> Self {
        self.push(" AND e.attempt_id = ")
            .text(record.attempt.as_str())
            .push(" AND e.id = ")
            .integer(record.id)
    }

    pub(super) fn reason(self, reason: &Reason) -> Self {
        self.push("e.error_kind = ")
            .text(reason.kind)
            .push(", e.error_detail = ")
            .text(clip(&reason.detail))
            .push(", ")
    }

    pub(super) fn micros(self, duration: Duration) -> Self {
        self.integer(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
    }
}

/// `error_detail` is a TEXT and for people: what a provider may answer is not bounded.
fn clip(text: &str) -> &str {
    const LONGEST: usize = 2_000;
    &text[..text.floor_char_boundary(LONGEST)]
}
