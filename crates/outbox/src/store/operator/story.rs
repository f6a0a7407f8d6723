//! All that is known of one email.

use std::time::{Instant, SystemTime};

use futures_util::TryStreamExt as _;
use sqlx::{Either, mysql::MySqlRow};

use super::{flag, nullable_time, number, state, time, unix_us};
use crate::{
    state::State,
    store::{
        Database, Session, StoreError,
        column::get,
        connection::bounded,
        history::{ACCEPTED, UNRESOLVED},
        lane::paused,
        literal::Sql,
    },
};

/// One email and its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// The row, but for the bodies.
    pub email: EmailFacts,
    /// What is attached, but for the content.
    pub attachments: Vec<AttachmentFacts>,
    /// The history, in the order of time; the newest [`Story::MOST_EVENTS`] of it.
    pub events: Vec<Event>,
    /// There are older events.
    pub has_older_events: bool,
}

impl Story {
    /// Events that are read. An open and a click each are one.
    pub const MOST_EVENTS: usize = 500;
}

/// A row of `email`. JSON columns are the text that the server gives for them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of `email`, as the README describes them, and bodies as sizes")]
pub struct EmailFacts {
    pub id: u64,
    pub sender: String,
    pub reply_to: Option<String>,
    pub to_addresses: String,
    pub cc_addresses: Option<String>,
    pub bcc_addresses: Option<String>,
    pub subject: String,
    pub text_body_bytes: Option<u64>,
    pub html_body_bytes: Option<u64>,
    pub headers: Option<String>,
    pub tags: Option<String>,
    pub lane: String,
    pub due_at: SystemTime,
    pub expires_at: Option<SystemTime>,
    pub idempotency_key: Option<String>,
    pub on_unknown: Option<String>,
    pub list_name: Option<String>,
    pub state: State,
    pub state_at: SystemTime,
    pub attempts: u64,
    pub resends: u64,
    pub first_attempt_at: Option<SystemTime>,
    pub attempt_id: Option<String>,
    pub lease_until: Option<SystemTime>,
    pub rung_at: Option<SystemTime>,
    pub ses_message_id: Option<String>,
    pub sent_at: Option<SystemTime>,
    pub error_kind: Option<String>,
    pub error_detail: Option<String>,
    pub created_at: SystemTime,
    /// The server's clock.
    pub now: SystemTime,
    /// SES's events show that it was accepted.
    pub accepted: bool,
    /// An earlier attempt may have reached its recipients for all that anybody knows.
    pub unresolved: bool,
    /// Nothing of its lane is claimed before.
    pub lane_rests_until: Option<SystemTime>,
    /// Its lane does not rest by itself: an operator paused it.
    pub lane_is_paused: bool,
}

/// A row of `attachment`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentFacts {
    /// The file's name.
    pub name: String,
    /// Its type.
    pub content_type: String,
    /// Set: an inline image.
    pub content_id: Option<String>,
    /// Its size, before any encoding.
    pub bytes: u64,
}

/// A row of `email_event`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When it happened, or when it was written.
    pub at: SystemTime,
    /// What it is.
    pub kind: String,
    /// The attempt that it speaks of.
    pub attempt_id: Option<String>,
    /// JSON.
    pub detail: Option<String>,
}

impl Session {
    /// Reads one email and its history; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`].
    pub async fn story(&mut self, id: u64, deadline: Instant) -> Result<Option<Story>, StoreError> {
        let sql = statements(id);
        bounded(deadline, Database::STATEMENT_TIMEOUT, async {
            let mut results = sqlx::raw_sql(sql).fetch_many(&mut self.connection);
            let mut statement = 0;
            let (mut email, mut attachments, mut events) = (None, Vec::new(), Vec::new());
            while let Some(result) = results.try_next().await.map_err(StoreError::from_statement)? {
                match (result, statement) {
                    (Either::Left(_), _) => statement += 1,
                    (Either::Right(row), 0) => email = Some(facts(&row)?),
                    (Either::Right(row), 1) => attachments.push(attachment(&row)?),
                    (Either::Right(row), _) => events.push(event(&row)?),
                }
            }
            let has_older_events = events.len() > Story::MOST_EVENTS;
            events.truncate(Story::MOST_EVENTS);
            // They came newest first; of two at the same time, the one written first comes first.
            events.reverse();
            events.sort_by_key(|event: &Event| event.at);
            Ok(email.map(|email| Story { email, attachments, events, has_older_events }))
        })
        .await
    }
}

fn statements(id: u64) -> Sql {
    let sql = Sql::new(concat!(
        "SELECT CAST(e.id AS SIGNED) AS id, e.sender, CAST(e.reply_to AS CHAR) AS reply_to, \
         CAST(e.to_addresses AS CHAR) AS to_addresses, CAST(e.cc_addresses AS CHAR) AS cc_addresses, \
         CAST(e.bcc_addresses AS CHAR) AS bcc_addresses, e.subject, \
         CAST(OCTET_LENGTH(e.text_body) AS SIGNED) AS text_body_bytes, \
         CAST(OCTET_LENGTH(e.html_body) AS SIGNED) AS html_body_bytes, CAST(e.headers AS CHAR) AS headers, \
         CAST(e.tags AS CHAR) AS tags, e.lane, e.idempotency_key, e.on_unknown, e.list_name, e.state, \
         CAST(e.attempts AS SIGNED) AS attempts, CAST(e.resends AS SIGNED) AS resends, e.attempt_id, \
         e.ses_message_id, e.error_kind, e.error_detail, ",
        unix_us!("e.due_at"),
        " AS due_at, ",
        unix_us!("e.expires_at"),
        " AS expires_at, ",
        unix_us!("e.state_at"),
        " AS state_at, ",
        unix_us!("e.first_attempt_at"),
        " AS first_attempt_at, ",
        unix_us!("e.lease_until"),
        " AS lease_until, ",
        unix_us!("e.rung_at"),
        " AS rung_at, ",
        unix_us!("e.sent_at"),
        " AS sent_at, ",
        unix_us!("e.created_at"),
        " AS created_at, ",
        unix_us!("UTC_TIMESTAMP(6)"),
        " AS now_at, ",
        unix_us!("l.rest_until"),
        " AS rest_until, CAST(COALESCE(",
        paused!(),
        ", 0) AS SIGNED) AS paused, CAST(",
    ));
    sql.push(ACCEPTED)
        .push(" AS SIGNED) AS accepted, CAST(COALESCE(")
        .push(UNRESOLVED)
        .push(
            ", 0) AS SIGNED) AS unresolved FROM email AS e LEFT JOIN lane AS l ON l.name = e.lane AND \
             l.rest_until > UTC_TIMESTAMP(6) WHERE e.id = ",
        )
        .integer(id)
        .push(
            "; SELECT name, content_type, content_id, CAST(OCTET_LENGTH(content) AS SIGNED) AS bytes \
             FROM attachment WHERE email_id = ",
        )
        .integer(id)
        .push(concat!(
            " ORDER BY id LIMIT 1000; SELECT ",
            unix_us!("at"),
            " AS at, kind, attempt_id, CAST(detail AS CHAR) AS detail FROM email_event WHERE email_id = ",
        ))
        .integer(id)
        .push(" ORDER BY id DESC LIMIT ")
        .integer(u32::try_from(Story::MOST_EVENTS + 1).unwrap_or(u32::MAX))
}

fn facts(row: &MySqlRow) -> Result<EmailFacts, StoreError> {
    let size = |column| {
        Ok::<_, StoreError>(get::<Option<i64>>(row, column)?.map(|size| u64::try_from(size).unwrap_or(0)))
    };
    Ok(EmailFacts {
        id: number(row, "id")?,
        sender: get(row, "sender")?,
        reply_to: get(row, "reply_to")?,
        to_addresses: get(row, "to_addresses")?,
        cc_addresses: get(row, "cc_addresses")?,
        bcc_addresses: get(row, "bcc_addresses")?,
        subject: get(row, "subject")?,
        text_body_bytes: size("text_body_bytes")?,
        html_body_bytes: size("html_body_bytes")?,
        headers: get(row, "headers")?,
        tags: get(row, "tags")?,
        lane: get(row, "lane")?,
        due_at: time(row, "due_at")?,
        expires_at: nullable_time(row, "expires_at")?,
        idempotency_key: get(row, "idempotency_key")?,
        on_unknown: get(row, "on_unknown")?,
        list_name: get(row, "list_name")?,
        state: state(row)?,
        state_at: time(row, "state_at")?,
        attempts: number(row, "attempts")?,
        resends: number(row, "resends")?,
        first_attempt_at: nullable_time(row, "first_attempt_at")?,
        attempt_id: get(row, "attempt_id")?,
        lease_until: nullable_time(row, "lease_until")?,
        rung_at: nullable_time(row, "rung_at")?,
        ses_message_id: get(row, "ses_message_id")?,
        sent_at: nullable_time(row, "sent_at")?,
        error_kind: get(row, "error_kind")?,
        error_detail: get(row, "error_detail")?,
        created_at: time(row, "created_at")?,
        now: time(row, "now_at")?,
        accepted: flag(row, "accepted")?,
        unresolved: flag(row, "unresolved")?,
        lane_rests_until: nullable_time(row, "rest_until")?,
        lane_is_paused: flag(row, "paused")?,
    })
}

fn attachment(row: &MySqlRow) -> Result<AttachmentFacts, StoreError> {
    Ok(AttachmentFacts {
        name: get(row, "name")?,
        content_type: get(row, "content_type")?,
        content_id: get(row, "content_id")?,
        bytes: number(row, "bytes")?,
    })
}

fn event(row: &MySqlRow) -> Result<Event, StoreError> {
    Ok(Event {
        at: time(row, "at")?,
        kind: get(row, "kind")?,
        attempt_id: get(row, "attempt_id")?,
        detail: get(row, "detail")?,
    })
}
