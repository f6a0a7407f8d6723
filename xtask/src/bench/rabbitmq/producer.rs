//! Who rings: publishes durable doorbells, and believes nothing but the broker's confirmation.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use tokio::time::timeout;

use super::Failure;

/// Messages that are on their way to the broker at once.
const GROUP: usize = 500;

/// Bound of one group's confirmations.
const CONFIRMED: Duration = Duration::from_secs(20);

/// Messages that may wait in the queues, so that neither side is done before the last restart.
const AHEAD: u64 = 5_000;

/// How often it is looked whether they are fewer.
const GLANCE: Duration = Duration::from_millis(2);

/// Between two attempts to reach a broker that is being restarted.
const PAUSE: Duration = Duration::from_millis(200);

/// One connection with one channel that confirms.
pub(super) struct Producer {
    connection: Connection,
    channel: Channel,
}

impl Producer {
    pub(super) async fn new(uri: &str) -> Result<Self, Failure> {
        let connection = Connection::connect(uri, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { connection, channel })
    }

    /// Declares a queue of this type.
    pub(super) async fn declare(&self, name: &str, kind: &str) -> Result<(), Failure> {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
        self.channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments).await?;
        Ok(())
    }

    /// How many messages wait in a queue.
    pub(super) async fn depth(&self, name: &str) -> Result<u32, Failure> {
        let passive = QueueDeclareOptions::default().passive();
        let queue = self.channel.queue_declare(name.into(), passive, FieldTable::default()).await?;
        Ok(queue.message_count())
    }

    /// Publishes the doorbells of these ids.
    pub(super) async fn publish(&self, queue: &str, ids: Range<u64>) -> Result<(), Failure> {
        let ids: Vec<u64> = ids.collect();
        for group in ids.chunks(GROUP) {
            let left = self.offer(&[queue], group).await;
            if !left.is_empty() {
                return Err(format!("{} messages for queue {queue} were not confirmed", left.len()).into());
            }
        }
        Ok(())
    }

    /// Offers a group once, each to one of the queues by its id; returns those that were not confirmed.
    async fn offer(&self, queues: &[&str], ids: &[u64]) -> Vec<u64> {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (mut confirms, mut left) = (Vec::new(), Vec::new());
        for id in ids {
            let queue = queues[usize::try_from(*id).unwrap_or(0) % queues.len()];
            let body = format!("{{\"email_id\":{id}}}");
            let properties = BasicProperties::default().with_delivery_mode(2);
            let sent =
                self.channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties);
            match sent.await {
                Ok(confirm) => confirms.push((*id, confirm)),
                Err(_) => left.push(*id),
            }
        }
        let end = tokio::time::Instant::now() + CONFIRMED;
        for (id, confirm) in confirms {
            let confirmed = tokio::time::timeout_at(end, confirm).await;
            let taken = confirmed.is_ok_and(|confirmation| {
                confirmation.is_ok_and(|taken| taken.is_ack() && taken.take_message().is_none())
            });
            if !taken {
                left.push(id);
            }
        }
        left
    }

    /// Says goodbye.
    pub(super) async fn close(self) -> Result<(), Failure> {
        Ok(self.connection.close(200, "done".into()).await?)
    }
}

/// Publishes the doorbells of all ids below `ids`, whatever happens to the broker meanwhile, and never far ahead of what
/// was `handled`; `confirmed` says how far it is. Returns those that were offered more than once, and may be in their
/// queue twice.
pub(super) async fn publish_through(
    uri: &str,
    queues: &[&str],
    ids: u64,
    confirmed: &AtomicU64,
    handled: impl Fn() -> u64,
) -> Result<Vec<u64>, Failure> {
    let mut producer = Producer::new(uri).await?;
    let mut twice = Vec::new();
    let all: Vec<u64> = (0..ids).collect();
    for group in all.chunks(GROUP) {
        while confirmed.load(Ordering::Relaxed) > handled() + AHEAD {
            tokio::time::sleep(GLANCE).await;
        }
        let mut left = producer.offer(queues, group).await;
        while !left.is_empty() {
            tokio::time::sleep(PAUSE).await;
            // A broker that is on its way up may take the connection and then say nothing for a while.
            if let Ok(Ok(again)) = timeout(CONFIRMED, Producer::new(uri)).await {
                producer = again;
                twice.extend(&left);
                left = producer.offer(queues, &left).await;
            }
        }
        confirmed.fetch_add(u64::try_from(group.len())?, Ordering::Relaxed);
    }
    // Nobody minds when it was a goodbye to nobody.
    let _ = producer.close().await;
    twice.sort_unstable();
    twice.dedup();
    Ok(twice)
}
