//! The claim: one statement batch that reserves a sending slot, takes the row and reads everything a send needs.

mod sql;

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use sqlx::{Either, mysql::MySqlRow};

pub(super) use self::sql::STRIKES_TO_DISTRUST;
use super::{
    Database, Session, StoreError,
    column::{get, micros, unsigned},
    connection::bounded,
};
use crate::{
    email::{AttachmentRow, EmailRow},
    state::{AttemptId, State},
};

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
    /// An operator paused the lane.
    Paused {
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
    /// Nothing that the row itself says speaks against it: somebody holds a lock on the row, or SES's events show that an
    /// earlier attempt was accepted. [`Session::settle`] tells; to ask here would cost every claim a twelfth of its time.
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
        let patience =
            Database::STATEMENT_TIMEOUT.min(deadline.saturating_duration_since(Instant::now())).mul_f32(0.8);
        let sql = sql::statements(&request, patience);
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

fn classify(
    row: &MySqlRow,
    attachments: Vec<AttachmentRow>,
    request: ClaimRequest<'_>,
) -> Result<Claim, StoreError> {
    if get::<Option<i64>>(row, "fit")? != Some(1) {
        return Err(StoreError::Unfit);
    }
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
        _ if get::<Option<i64>>(row, "expires_in")?.is_some_and(|left| left <= 0) => {
            NotClaimed::Expired { resends }
        }
        // The doorbell for which `rung_at` was set may come a moment early.
        _ if rung_in > EARLY_DOORBELL => NotClaimed::RungLater,
        _ if due_in > 0 => NotClaimed::NotDue { due_in: micros(due_in), place },
        _ if get::<i64>(row, "paused")? == 1 => NotClaimed::Paused { place },
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

fn unreadable(column: &str) -> StoreError {
    StoreError::Protocol(sqlx::Error::ColumnNotFound(column.to_owned()))
}
