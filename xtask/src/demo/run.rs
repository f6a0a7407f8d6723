//! What a producer does, and watching what becomes of it.

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use stack::ses::EventKind;

use super::progress::{Failure, PATIENCE, REMINDER, note, step, waiting};
use super::rabbitmq::RELAYED;
use super::samples::{End, SAMPLES, Sample, Through, UNANSWERED};
use super::stage::{SWEEP, Stage};

/// An email that has not ended by then will not.
const ENDS_WITHIN: Duration = Duration::from_mins(1);

/// How often the table is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// What SES tells of every email that it takes.
pub(super) const EVENTS: &[EventKind] = &[EventKind::Send, EventKind::Delivery];

/// The same, as the history has them, in alphabetical order.
pub(super) const EVENT_KINDS: &str = "delivery, send";

/// A doorbell that nobody can read.
pub(super) const UNREADABLE: &str = "ring ring";

/// How long the template keeps a message that was received from being received again, in seconds: five times that,
/// until an unreadable one is put aside, is a quarter of an hour.
const VISIBILITY_TIMEOUT_S: u32 = 180;

/// What was done, and how far it came.
pub(super) struct Run {
    pub(super) rows: Vec<Row>,
    /// Connections that the application had opened before the first doorbell.
    pub(super) connections_before: u64,
    /// Whether everything came to its end in time.
    pub(super) in_time: bool,
}

/// An email of the demonstration.
pub(super) struct Row {
    pub(super) id: u64,
    pub(super) sample: &'static Sample,
    /// When its first doorbell was about to be rung, in microseconds since 1970.
    rung_us: Option<i128>,
    pub(super) seen: Seen,
    is_told: bool,
}

/// A row as it was last seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) lane: String,
    pub(super) state: String,
    state_at_us: i128,
    pub(super) attempts: String,
    pub(super) ses_message_id: Option<String>,
    pub(super) error_kind: Option<String>,
    pub(super) error_detail: Option<String>,
    /// The kinds of its events.
    pub(super) events: Option<String>,
}

impl Row {
    /// Whether it has ended. SES's events end what is `unknown`.
    pub(super) fn is_over(&self) -> bool {
        !matches!(self.seen.state.as_str(), "" | "pending" | "sending" | "unknown")
    }

    /// Whether it has the events that it must have.
    pub(super) fn has_its_events(&self) -> bool {
        let expected = matches!(self.sample.end, End::Sent(_)).then_some(EVENT_KINDS);
        self.seen.events.as_deref() == expected
    }

    /// Whether it waits for the sweep.
    fn is_unheard(&self) -> bool {
        self.sample.rings == 0 && self.seen.state == "pending"
    }

    /// From ringing until it entered its state, in milliseconds.
    pub(super) fn took_ms(&self) -> Option<i128> {
        let rung_us = self.rung_us.filter(|_| self.is_over())?;
        Some((self.seen.state_at_us - rung_us) / 1000)
    }
}

impl Run {
    /// Writes the emails, rings for them, and waits until each has ended.
    pub(super) async fn play(stage: &Stage) -> Result<Self, Failure> {
        let mut run = Self {
            rows: Vec::new(),
            connections_before: stage.server.connections_made().await?,
            in_time: false,
        };
        stage.front.leave_unanswered(UNANSWERED);
        let first = SAMPLES.iter().filter(|sample| !sample.later);
        step("writing the emails, in plain SQL", run.write(stage, first)).await?;
        step("ringing the doorbells, in both lanes, through SQS and RabbitMQ", run.ring(stage)).await?;
        // Nobody waits a quarter of an hour to see where an unreadable one ends.
        let bulk = stage.queue("bulk")?;
        stage.cloud.set_visibility_timeout(bulk, 1).await?;
        stage.cloud.send_message(bulk, UNREADABLE).await?;
        stage.broker.publish(RELAYED, "urgent", UNREADABLE).await?;
        run.watch(stage).await?;
        stage.cloud.set_visibility_timeout(bulk, VISIBILITY_TIMEOUT_S).await?;
        Ok(run)
    }

    /// Each email in a transaction of its own, as producers do it. They connect as they like; what is counted later is
    /// the application's connections.
    async fn write(
        &mut self,
        stage: &Stage,
        samples: impl Iterator<Item = &'static Sample>,
    ) -> Result<(), Failure> {
        for sample in samples {
            let sql = format!(
                "START TRANSACTION; {} SET @email = COALESCE(@email, LAST_INSERT_ID()); COMMIT;
                 SELECT id, lane FROM email WHERE id = @email",
                sample.sql
            );
            let found = stage.database.admin().rows(&sql).await?;
            let Some([Some(id), Some(lane)]) = found.first().map(Vec::as_slice) else {
                return Err(format!("no row was written for: {}", sample.what).into());
            };
            let seen = Seen { lane: lane.clone(), ..Seen::default() };
            self.rows.push(Row { id: id.parse()?, sample, rung_us: None, seen, is_told: false });
        }
        Ok(())
    }

    /// Rings for every email that was not rung for.
    async fn ring(&mut self, stage: &Stage) -> Result<(), Failure> {
        for row in self.rows.iter_mut().filter(|row| row.rung_us.is_none() && row.sample.rings > 0) {
            let lane = &row.seen.lane;
            let doorbell = format!("{{\"email_id\": {}}}", row.id);
            row.rung_us = Some(now_us());
            for _ in 0..row.sample.rings {
                match row.sample.through {
                    Through::Sqs => stage.cloud.send_message(stage.queue(lane)?, &doorbell).await?,
                    Through::Rabbitmq(queue) => stage.broker.publish(queue, lane, &doorbell).await?,
                }
            }
        }
        Ok(())
    }

    /// Looks at the table until every row has ended and the queues are empty, and tells of each row when it has.
    async fn watch(&mut self, stage: &Stage) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut news = News::since(begun);
        let mut later = SAMPLES.iter().filter(|sample| sample.later);
        let mut is_swept = false;
        while begun.elapsed() < ENDS_WITHIN {
            self.look(stage).await?;
            for row in self.rows.iter_mut().filter(|row| row.is_over() && !row.is_told) {
                row.is_told = true;
                news.tell(&format!("email {:>2} is {:10} {}", row.id, row.seen.state, row.sample.what));
            }
            let waits = |row: &&Row| !row.is_over() || !row.has_its_events();
            let waiting: Vec<&Row> = self.rows.iter().filter(waits).collect();
            if let [first, rest @ ..] = waiting.as_slice() {
                let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
                let events = if first.is_over() { ", and SES's events are under way" } else { "" };
                if !is_swept && waiting.iter().all(|row| row.is_unheard()) {
                    is_swept = true;
                    news.tell(&format!(
                        "email {} is pending: its producer died and nobody rang for it",
                        first.id
                    ));
                    // By itself it would run within a minute.
                    step("running the sweep by hand, which its schedule runs every minute", async {
                        stage.cloud.invoke(SWEEP, &json!({})).await
                    })
                    .await?;
                } else {
                    news.wait(&format!(
                        "email {} is {} ({}){events}{more}",
                        first.id, first.seen.state, first.sample.what
                    ));
                }
            } else if let Some(sample) = later.next() {
                self.write(stage, [sample].into_iter()).await?;
                self.ring(stage).await?;
            } else if is_quiet(stage).await? {
                self.in_time = true;
                return Ok(());
            } else {
                news.wait("unreadable doorbells are on their way to be put aside; SQS brings one again and again first");
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn look(&mut self, stage: &Stage) -> Result<(), Failure> {
        let sql = "SELECT id, lane, state, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', state_at), attempts,
                          ses_message_id, error_kind, error_detail,
                          (SELECT GROUP_CONCAT(kind ORDER BY kind SEPARATOR ', ') FROM email_event
                           WHERE email_id = email.id)
                   FROM email";
        for values in stage.database.admin().rows(sql).await? {
            let [Some(id), Some(lane), Some(now), Some(at), Some(attempts), ses_id, kind, detail, events] =
                <[Option<String>; 9]>::try_from(values).map_err(|_| "the table has other columns")?
            else {
                return Err("the table has a NULL where none may be".into());
            };
            let id: u64 = id.parse()?;
            if let Some(row) = self.rows.iter_mut().find(|row| row.id == id) {
                row.seen = Seen {
                    lane,
                    state: now,
                    state_at_us: at.parse()?,
                    attempts,
                    ses_message_id: ses_id,
                    error_kind: kind,
                    error_detail: detail,
                    events,
                };
            }
        }
        Ok(())
    }
}

/// Whether every doorbell has been answered for good, and every event taken in.
async fn is_quiet(stage: &Stage) -> Result<bool, Failure> {
    for queue in ["UrgentQueueUrl", "BulkQueueUrl", "FeedbackQueueUrl"] {
        if !stage.cloud.depth(stage.output(queue)?).await?.is_empty() {
            return Ok(false);
        }
    }
    // A doorbell that the relay has in hand waits nowhere, but its email has not ended, either. The one that nobody
    // can read has none: it is over when it was put aside.
    let put_aside = stage.cloud.depth(stage.output("RabbitmqDeadLetterQueueUrl")?).await?;
    Ok(put_aside.visible > 0)
}

/// Tells what happens when it happens, and what is waited for when nothing does.
struct News {
    begun: Instant,
    quiet_since: Instant,
    waiting_for: String,
}

impl News {
    fn since(begun: Instant) -> Self {
        Self { begun, quiet_since: begun, waiting_for: String::new() }
    }

    fn tell(&mut self, what: &str) {
        note(self.begun, what);
        self.quiet_since = Instant::now();
    }

    fn wait(&mut self, what: &str) {
        let patience = if self.waiting_for == what { REMINDER } else { PATIENCE };
        if self.quiet_since.elapsed() > patience {
            self.quiet_since = Instant::now();
            what.clone_into(&mut self.waiting_for);
            waiting(what);
        }
    }
}

fn now_us() -> i128 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_micros()).unwrap_or(i128::MAX)
}
