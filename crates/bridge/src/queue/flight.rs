//! One batch on its way: invoked, and its messages acknowledged, put aside or given back.

use std::time::{Duration, Instant};

use fastrand::Rng;
use lapin::options::BasicAckOptions;

use super::{Item, Worker, requeue, within_reason};
use crate::{
    broker::Letter,
    event,
    function::{Answer, TIMED_OUT},
    letter,
    status::Status,
    topology::{dead_queue, delay_after, retry_queue},
};

/// How long a message is kept at most while the function cannot be reached. RabbitMQ takes one back after half an hour,
/// and an invocation may take a quarter of an hour.
const HOLD: Duration = Duration::from_mins(10);

const GLANCE: Duration = Duration::from_secs(1);

/// A function may write a header of this many bytes at most into a dead letter.
const REASON_BYTES: usize = 120;

/// How a batch ended.
enum End {
    Done,
    Failed(String),
    /// Kept for as long as may be, and the function was never reached.
    Held,
    Stopping,
    /// The broker has taken all of it back.
    Lost,
}

/// Counts a batch for as long as it is under way, however it ends.
struct InFlight<'s>(&'s Status, u64);

impl<'s> InFlight<'s> {
    fn of(status: &'s Status, messages: usize) -> Self {
        let messages = u64::try_from(messages).unwrap_or(u64::MAX);
        status.count(|counts| counts.in_flight += messages);
        Self(status, messages)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.count(|counts| counts.in_flight -= self.1);
    }
}

impl Worker<'_> {
    /// Invokes the function with a batch, and does with its messages what follows.
    ///
    /// An error is one of the queue: something could not be put aside.
    pub(super) async fn fly(&self, batch: Vec<Item>, mut dice: Rng) -> Result<(), String> {
        let _in_flight = InFlight::of(self.status, batch.len());
        match self.invoke(&batch, &mut dice).await {
            End::Done => self.acknowledge(&batch).await,
            End::Failed(kind) => {
                self.status.count(|counts| counts.failures += 1);
                let tries = batch.iter().map(|item| item.tries).max();
                let (queue, messages) = (self.queue, batch.len());
                tracing::warn!(queue, messages, tries, error.kind = kind, "function.failed");
                self.try_again(&batch, &kind).await
            }
            End::Held => self.put_back(&batch).await,
            End::Stopping => {
                requeue(batch.iter().map(|item| &item.delivery)).await;
                Ok(())
            }
            End::Lost => Ok(()),
        }
    }

    async fn invoke(&self, batch: &[Item], dice: &mut Rng) -> End {
        let (broker, path) = (&self.config.broker, &self.status.path);
        let messages: Vec<&[u8]> = batch.iter().map(|item| &*item.json).collect();
        let event = event::envelope(&broker.host(), self.queue, &broker.uri.vhost, &messages);
        let oldest = batch.iter().map(|item| item.since).min().unwrap_or_else(Instant::now);
        let (mut alone_until, mut timeouts) = (None::<Instant>, 0);
        loop {
            if !batch.iter().any(Item::is_ours) {
                return End::Lost;
            }
            let now = Instant::now();
            let alone = alone_until.map(|until| until.saturating_duration_since(now));
            if let Some(rest) = path.rest(now).max(alone.filter(|rest| !rest.is_zero())) {
                if now + rest > oldest + HOLD {
                    return End::Held;
                }
                tokio::select! {
                    // Looked at now and then, since the broker may take the messages back.
                    () = tokio::time::sleep(rest.min(GLANCE)) => continue,
                    () = self.stop.said() => return End::Stopping,
                }
            }
            self.status.count(|counts| counts.invocations += 1);
            match self.function.invoke(event.clone()).await {
                Answer::Done => {
                    path.was_good(Instant::now());
                    return End::Done;
                }
                Answer::Failed(kind) => {
                    path.was_good(Instant::now());
                    return End::Failed(kind);
                }
                Answer::Away(trouble) => {
                    let kind = trouble.kind;
                    let now = Instant::now();
                    alone_until = path.was_bad(trouble, now, dice).map(|alone| now + alone);
                    // Once may be the network. Twice is as likely to be one of these messages, whose work would
                    // otherwise be begun anew for ever.
                    timeouts += u32::from(kind == TIMED_OUT);
                    if timeouts == 2 {
                        return End::Failed(kind.to_owned());
                    }
                }
            }
            if self.stop.was_said() {
                return End::Stopping;
            }
        }
    }

    /// What the broker does not hear of comes again.
    async fn acknowledge(&self, batch: &[Item]) -> Result<(), String> {
        within_reason(async {
            for item in batch {
                if matches!(item.delivery.acker.ack(BasicAckOptions::default()).await, Ok(true)) {
                    self.status.count(|counts| counts.acked += 1);
                }
            }
        })
        .await
    }

    /// Their try counts: each waits for its next one, or is dead.
    async fn try_again(&self, batch: &[Item], kind: &str) -> Result<(), String> {
        let (mut again, mut dead) = (0, 0);
        let reason = &kind[..kind.len().min(REASON_BYTES)];
        let letters = batch.iter().filter(|item| item.is_ours()).map(|item| {
            let (tries, properties) = (item.tries + 1, &item.delivery.properties);
            if tries >= self.config.limits.max_tries {
                dead += 1;
                tracing::error!(queue = self.queue, tries, error.kind = kind, "message.dead");
                let properties = letter::dead(properties, tries, self.queue, reason);
                return Letter { queue: dead_queue(self.queue), properties, body: &item.delivery.data };
            }
            again += 1;
            let queue = retry_queue(self.queue, delay_after(&self.config.retries.delays, tries));
            Letter {
                queue,
                properties: letter::again(properties, tries, self.queue),
                body: &item.delivery.data,
            }
        });
        let letters = letters.collect();
        self.put_aside(batch, letters).await?;
        self.status.count(|counts| {
            counts.retried += again;
            counts.dead += dead;
        });
        Ok(())
    }

    /// Nothing is counted: they wait where the wait is longest, since the broker lets nobody keep them for ever.
    async fn put_back(&self, batch: &[Item]) -> Result<(), String> {
        let queue = retry_queue(self.queue, delay_after(&self.config.retries.delays, u32::MAX));
        let letters = batch.iter().filter(|item| item.is_ours()).map(|item| Letter {
            queue: queue.clone(),
            properties: letter::again(&item.delivery.properties, item.tries, self.queue),
            body: &item.delivery.data,
        });
        let letters: Vec<_> = letters.collect();
        let returned = u64::try_from(letters.len()).unwrap_or(u64::MAX);
        self.put_aside(batch, letters).await?;
        self.status.count(|counts| counts.returned += returned);
        Ok(())
    }

    /// What fits into no event is not tried.
    pub(super) async fn bury_too_large(&self, item: Item) -> Result<(), String> {
        let body_bytes = item.delivery.data.len();
        tracing::error!(queue = self.queue, body_bytes, error.kind = "body_too_large", "message.dead");
        let properties = letter::dead(&item.delivery.properties, item.tries, self.queue, "body_too_large");
        let letters = vec![Letter { queue: dead_queue(self.queue), properties, body: &item.delivery.data }];
        self.put_aside(std::slice::from_ref(&item), letters).await?;
        self.status.count(|counts| counts.dead += 1);
        Ok(())
    }

    /// Only when the broker has confirmed them elsewhere are they acknowledged here: at no moment are they nowhere.
    async fn put_aside(&self, batch: &[Item], letters: Vec<Letter<'_>>) -> Result<(), String> {
        self.session.publisher.publish(letters).await?;
        within_reason(async {
            for item in batch {
                // Where the connection was lost meanwhile, the message is there twice.
                let _ = item.delivery.acker.ack(BasicAckOptions::default()).await;
            }
        })
        .await
    }
}
