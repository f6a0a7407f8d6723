//! The claim: one statement batch that reserves a sending slot, takes the row and reads everything a send needs.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use sqlx::{Either, Row as _, mysql::MySqlRow};

use super::{Database, Session, StoreError, connection::bounded, literal::Sql};
use crate::{
    email::{AttachmentRow, EmailRow, MAX_ENCODED_BYTES},
    state::{AttemptId, State},
};

/// More content than this cannot fit an email once it is base64, so it is not fetched.
const MAX_CONTENT_BYTES: u64 = MAX_ENCODED_BYTES / 4 * 3;

/// The sending rate, shared by every invocation through one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    recipients_per_second: u32,
}

impl Pace {
    /// The burst: one second's worth of recipients.
    const BURST_US: u64 = 1_000_000;
    /// `bulk` is admitted below four fifths of the burst, so that `urgent` always finds room.
    const BULK_BURST_US: u64 = 800_000;
    /// Recipients an email can have at most.
    const MAX_RECIPIENTS: u64 = 50;

    /// A pace of so many recipients a second; `None` for 0, which means not paced.
    #[must_use]
    pub const fn new(recipients_per_second: u32) -> Option<Self> {
        if recipients_per_second == 0 { None } else { Some(Self { recipients_per_second }) }
    }

    /// The time one recipient takes.
    #[must_use]
    pub fn interval(self) -> Duration {
        Duration::from_micros(self.interval_us())
    }

    /// Microseconds a recipient takes, rounded up so that the rate is never exceeded.
    fn interval_us(self) -> u64 {
        1_000_000_u64.div_ceil(u64::from(self.recipients_per_second))
    }

    /// How far ahead of now the stored time may legitimately be: the burst, or one largest email where that is more.
    /// What lies beyond comes from a clock that was set back, and would freeze sending.
    fn horizon_us(self) -> u64 {
        Self::BURST_US.max(self.interval_us() * Self::MAX_RECIPIENTS)
    }
}

/// What to claim, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct ClaimRequest<'a> {
    /// `email.id`.
    pub id: u64,
    /// The token of the attempt that begins.
    pub attempt: &'a AttemptId,
    /// How long the claim holds.
    pub lease: Duration,
    /// The sending rate; `None`: not paced.
    pub pace: Option<Pace>,
    /// Claim from a lane whose rest is over but which is not trusted yet: takes the lane's one probe, too.
    pub probe: bool,
}

/// What became of a claim.
#[derive(Debug)]
pub enum Claim {
    /// The row is ours until the lease runs out.
    Claimed(Box<Claimed>),
    /// It is not; nothing was changed.
    NotClaimed(NotClaimed),
}

/// A claimed row: everything the send and the record need.
#[derive(Debug)]
pub struct Claimed {
    /// The content; `None` when it is larger than SES can take, and was not fetched for that reason.
    pub row: Option<EmailRow>,
    /// `email.lane`, as the producer wrote it.
    pub lane: String,
    /// `email.on_unknown`, as the producer wrote it.
    pub on_unknown: Option<String>,
    /// Attempts, this one included.
    pub attempts: u64,
    /// Earlier attempts that nobody could resolve.
    pub resends: u64,
    /// Time since the first attempt began.
    pub trying_for: Duration,
    /// Time until `expires_at`.
    pub expires_in: Option<Duration>,
    /// The lane is not trusted: tell it how this went.
    pub lane_is_struck: bool,
}

/// Where a waiting row stands, as the claim saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub(super) lane: String,
    pub(super) rung_at: Option<String>,
}

impl Place {
    /// `email.lane`, as the producer wrote it.
    #[must_use]
    pub fn lane(&self) -> &str {
        &self.lane
    }
}

/// Why a row was not claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotClaimed {
    /// There is no such row: never was, or its producer has not committed.
    Missing,
    /// Its story is over.
    Terminal(State),
    /// Another attempt holds it, or its fate is not known.
    Busy(State),
    /// SES's events show that an earlier attempt was accepted.
    AcceptedEarlier,
    /// `expires_at` passed.
    Expired {
        /// Earlier attempts that nobody could resolve.
        resends: u64,
    },
    /// Another doorbell will sound for it.
    RungLater,
    /// `due_at` is not reached.
    NotDue {
        /// Time until it is.
        due_in: Duration,
        /// For [`Session::postpone`].
        place: Place,
    },
    /// The lane rests.
    Resting {
        /// Time until it does not.
        rest_in: Duration,
        /// For [`Session::postpone`].
        place: Place,
    },
    /// The lane's rest is over and it wants one email as a probe: claim again with `probe`.
    WantsProbe {
        /// For [`Session::postpone`].
        place: Place,
    },
    /// No sending slot is free.
    NoSlot {
        /// Time until one is.
        free_in: Duration,
        /// For [`Session::postpone`].
        place: Place,
    },
    /// Somebody holds a lock on the row.
    Locked,
}

impl Session {
    /// Claims one email, reading its row, attachments and matching suppressions in the same round trip.
    ///
    /// Returns at once whatever locks others hold on the row.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`]. Unless it is [`StoreError::Contended`], the claim may have been made all the same: give it
    /// back with [`Session::release`](Session::record).
    pub async fn claim(&mut self, request: ClaimRequest<'_>, deadline: Instant) -> Result<Claim, StoreError> {
        let sql = statements(&request);
        bounded(deadline, Database::STATEMENT_TIMEOUT, async {
            let mut results = sqlx::raw_sql(sql).fetch_many(&mut self.connection);
            // 0: the UPDATE, 1: the email, 2: its attachments.
            let mut statement = 0;
            let mut email = None;
            let mut attachments = Vec::new();
            while let Some(result) = results.try_next().await.map_err(StoreError::from_statement)? {
                match (result, statement) {
                    (Either::Left(_), _) => statement += 1,
                    (Either::Right(row), 1) => email = Some(row),
                    (Either::Right(row), _) => attachments.push(attachment(&row)?),
                }
            }
            match email {
                Some(email) => classify(&email, attachments, request),
                None => Ok(Claim::NotClaimed(NotClaimed::Missing)),
            }
        })
        .await
    }
}

fn statements(request: &ClaimRequest<'_>) -> Sql {
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
        .push(" AND l.rest_until <= UTC_TIMESTAMP(6))) AND NOT ")
        .push(ACCEPTED);
    if let Some(pace) = request.pace {
        sql = slot(sql.push(" AND "), pace).push(" <= 0");
    }
    sql = read_email(sql.push("; "), request);
    read_attachments(sql.push("; "), request)
}

/// Failures in a row after which a lane rests and is probed with one email at a time.
pub(super) const STRIKES_TO_DISTRUST: u16 = 3;

/// Whether SES is known to have taken an attempt of `e`.
pub(super) const ACCEPTED: &str = "EXISTS (SELECT 1 FROM email_event AS v WHERE v.email_id = e.id AND v.kind IN \
    ('accepted', 'send', 'delivery', 'bounce', 'complaint', 'delivery_delay'))";

/// Recipients of `e`; at least one, so that an invalid row takes a slot like any other.
const RECIPIENTS: &str = "GREATEST(1, JSON_LENGTH(e.to_addresses) + COALESCE(JSON_LENGTH(e.cc_addresses), 0) \
    + COALESCE(JSON_LENGTH(e.bcc_addresses), 0))";

/// Bytes of content of `e`, before any encoding.
const CONTENT_BYTES: &str = "(OCTET_LENGTH(e.subject) + COALESCE(OCTET_LENGTH(e.text_body), 0) \
    + COALESCE(OCTET_LENGTH(e.html_body), 0) + COALESCE(OCTET_LENGTH(e.headers), 0) \
    + (SELECT COALESCE(SUM(OCTET_LENGTH(size.content)), 0) FROM attachment AS size WHERE size.email_id = e.id))";

/// GCRA: the time until which the slots are taken.
fn occupied_until(sql: Sql, pace: Pace) -> Sql {
    sql.push("GREATEST(UTC_TIMESTAMP(6), LEAST(r.tat, UTC_TIMESTAMP(6) + INTERVAL ")
        .integer(pace.horizon_us())
        .push(" MICROSECOND))")
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
        .push("SELECT e.state, CAST(e.attempt_id <=> ")
        .text(request.attempt.as_str())
        .push(
            " AND e.state = 'sending' AS SIGNED) AS mine, CAST(e.attempts AS SIGNED) AS attempts, \
             CAST(e.resends AS SIGNED) AS resends, e.lane, e.on_unknown, CAST(e.rung_at AS CHAR) AS rung_at, \
             TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), e.rung_at) AS rung_in, \
             TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), e.due_at) AS due_in, \
             TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), e.expires_at) AS expires_in, \
             TIMESTAMPDIFF(MICROSECOND, e.first_attempt_at, UTC_TIMESTAMP(6)) AS trying_for, \
             COALESCE(TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), l.rest_until), -1) AS rest_in, \
             CAST(COALESCE(l.strikes, 0) AS SIGNED) AS strikes, CAST(",
        )
        .push(ACCEPTED)
        .push(" AS SIGNED) AS accepted, ");
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

fn classify(
    row: &MySqlRow,
    attachments: Vec<AttachmentRow>,
    request: ClaimRequest<'_>,
) -> Result<Claim, StoreError> {
    let state: State = get::<String>(row, "state")?.parse().map_err(|_| unreadable("state"))?;
    let strikes = get::<i64>(row, "strikes")?;
    let resends = unsigned(get(row, "resends")?);
    if get::<i64>(row, "mine")? == 1 {
        return Ok(Claim::Claimed(Box::new(Claimed {
            row: content(row, attachments, request.id)?,
            lane: get(row, "lane")?,
            on_unknown: get(row, "on_unknown")?,
            attempts: unsigned(get(row, "attempts")?),
            resends,
            trying_for: micros(get::<Option<i64>>(row, "trying_for")?.unwrap_or(0)),
            expires_in: get::<Option<i64>>(row, "expires_in")?.map(micros),
            lane_is_struck: strikes > 0,
        })));
    }
    let place = Place { lane: get(row, "lane")?, rung_at: get(row, "rung_at")? };
    let rung_in = micros(get::<Option<i64>>(row, "rung_in")?.unwrap_or(0));
    let due_in = get::<i64>(row, "due_in")?;
    let rest_in = get::<i64>(row, "rest_in")?;
    let slot_in = get::<i64>(row, "slot_in")?;
    Ok(Claim::NotClaimed(match state {
        State::Sending | State::Unknown => NotClaimed::Busy(state),
        state if state.is_terminal() => NotClaimed::Terminal(state),
        _ if get::<i64>(row, "accepted")? == 1 => NotClaimed::AcceptedEarlier,
        _ if get::<Option<i64>>(row, "expires_in")?.is_some_and(|left| left <= 0) => {
            NotClaimed::Expired { resends }
        }
        // The doorbell for which `rung_at` was set may come a moment early.
        _ if rung_in > EARLY_DOORBELL => NotClaimed::RungLater,
        _ if due_in > 0 => NotClaimed::NotDue { due_in: micros(due_in), place },
        _ if rest_in > 0 => NotClaimed::Resting { rest_in: micros(rest_in), place },
        _ if strikes >= i64::from(STRIKES_TO_DISTRUST) && !request.probe => NotClaimed::WantsProbe { place },
        _ if slot_in > 0 => NotClaimed::NoSlot { free_in: micros(slot_in), place },
        _ => NotClaimed::Locked,
    }))
}

/// How much too early the doorbell that a row waits for may sound: SQS counts its delay in whole seconds.
const EARLY_DOORBELL: Duration = Duration::from_secs(1);

fn content(row: &MySqlRow, attachments: Vec<AttachmentRow>, id: u64) -> Result<Option<EmailRow>, StoreError> {
    if get::<Option<i64>>(row, "content_id")?.is_none() {
        return Ok(None);
    }
    let suppressed = match get::<Option<String>>(row, "suppressed")? {
        Some(json) => serde_json::from_str(&json).map_err(|_| unreadable("suppressed"))?,
        None => Vec::new(),
    };
    Ok(Some(EmailRow {
        id,
        sender: get(row, "sender")?,
        reply_to: get(row, "reply_to")?,
        to_addresses: get(row, "to_addresses")?,
        cc_addresses: get(row, "cc_addresses")?,
        bcc_addresses: get(row, "bcc_addresses")?,
        subject: get(row, "subject")?,
        text_body: get(row, "text_body")?,
        html_body: get(row, "html_body")?,
        headers: get(row, "headers")?,
        tags: get(row, "tags")?,
        attachments,
        suppressed,
    }))
}

fn attachment(row: &MySqlRow) -> Result<AttachmentRow, StoreError> {
    Ok(AttachmentRow {
        name: get(row, "name")?,
        content_type: get(row, "content_type")?,
        content_id: get(row, "content_id")?,
        content: get(row, "content")?,
    })
}

fn get<'r, T>(row: &'r MySqlRow, column: &str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::MySql> + sqlx::Type<sqlx::MySql>,
{
    row.try_get(column).map_err(StoreError::Protocol)
}

fn unreadable(column: &str) -> StoreError {
    StoreError::Protocol(sqlx::Error::ColumnNotFound(column.to_owned()))
}

fn micros(signed: i64) -> Duration {
    Duration::from_micros(unsigned(signed))
}

fn unsigned(signed: i64) -> u64 {
    u64::try_from(signed).unwrap_or(0)
}
