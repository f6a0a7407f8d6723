//! The queues beside a queue Q: `Q.retry.1s` and its like, where a message waits for its next try, and `Q.dead`.
//!
//! Q itself is its owner's: the bridge asks whether it is there, and never declares it, or a typo would make a queue.
//! What waits in `Q.retry.…` is dead-lettered back to Q by the broker, when its time there is over.

use std::{str::FromStr, time::Duration};

use lapin::{
    Channel,
    options::QueueDeclareOptions,
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::config::RetryConfig;

/// The type of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Replicated, and always on disk.
    Quorum,
    /// As RabbitMQ always had them.
    Classic,
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "quorum" => Ok(Self::Quorum),
            "classic" => Ok(Self::Classic),
            _ => Err(()),
        }
    }
}

/// Where a message of `queue` waits for this long.
#[must_use]
pub fn retry_queue(queue: &str, delay: Duration) -> String {
    let (seconds, name) = (delay.as_secs(), format!("{queue}.retry."));
    match seconds {
        _ if seconds.is_multiple_of(3_600) => format!("{name}{}h", seconds / 3_600),
        _ if seconds.is_multiple_of(60) => format!("{name}{}m", seconds / 60),
        _ => format!("{name}{seconds}s"),
    }
}

/// Where a message of `queue` ends that is tried no more.
#[must_use]
pub fn dead_queue(queue: &str) -> String {
    format!("{queue}.dead")
}

/// Which wait follows the try with this number, from 1.
#[must_use]
pub fn delay_after(delays: &[Duration], tries: u32) -> Duration {
    let step = usize::try_from(tries).unwrap_or(usize::MAX).saturating_sub(1);
    delays.get(step).or(delays.last()).copied().unwrap_or(Duration::from_secs(1))
}

/// A queue is not as it must be.
#[derive(Debug)]
pub struct NotThere {
    /// Its name.
    pub queue: String,
    /// What the broker said.
    pub error: lapin::Error,
}

/// Looks for the queue, and declares those beside it, or looks for them.
///
/// # Errors
///
/// [`NotThere`] names the first one that is missing or differs. The channel is closed then.
pub async fn prepare(channel: &Channel, queue: &str, retries: &RetryConfig) -> Result<(), NotThere> {
    look_for(channel, queue).await?;
    for delay in &retries.delays {
        let name = retry_queue(queue, *delay);
        declare(channel, name, retries, arguments(queue, *delay, retries.kind)).await?;
    }
    declare(channel, dead_queue(queue), retries, typed(retries.kind)).await
}

/// Whether a queue is there.
///
/// # Errors
///
/// [`NotThere`], also when nobody may look. The channel is closed then.
pub async fn look_for(channel: &Channel, queue: &str) -> Result<(), NotThere> {
    let passive = QueueDeclareOptions::default().passive();
    let answer = channel.queue_declare(queue.into(), passive, FieldTable::default()).await;
    answer.map(drop).map_err(|error| NotThere { queue: queue.to_owned(), error })
}

async fn declare(
    channel: &Channel,
    name: String,
    retries: &RetryConfig,
    arguments: FieldTable,
) -> Result<(), NotThere> {
    if !retries.declare {
        return look_for(channel, &name).await;
    }
    let durable = QueueDeclareOptions::durable();
    let answer = channel.queue_declare(ShortString::from(name.as_str()), durable, arguments).await;
    answer.map(drop).map_err(|error| NotThere { queue: name, error })
}

fn typed(kind: Kind) -> FieldTable {
    let name = if kind == Kind::Quorum { "quorum" } else { "classic" };
    table(&[("x-queue-type", text(name))])
}

fn arguments(queue: &str, delay: Duration, kind: Kind) -> FieldTable {
    let ttl = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
    let mut arguments = typed(kind);
    let mut insert = |name: &str, value| {
        arguments.insert(name.into(), value);
    };
    insert("x-message-ttl", AMQPValue::LongLongInt(ttl));
    insert("x-dead-letter-exchange", text(""));
    insert("x-dead-letter-routing-key", text(queue));
    if kind == Kind::Quorum {
        // Or a message could be lost between the two queues, when the broker dies. It asks for the other one.
        insert("x-dead-letter-strategy", text("at-least-once"));
        insert("x-overflow", text("reject-publish"));
    }
    arguments
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_how_long() {
        let names =
            [1, 5, 30, 90, 120, 600, 3_600].map(|seconds| retry_queue("mail", Duration::from_secs(seconds)));
        assert_eq!(
            names.map(|name| name.replace("mail.retry.", "")),
            ["1s", "5s", "30s", "90s", "2m", "10m", "1h"]
        );
        assert_eq!(dead_queue("mail"), "mail.dead");
    }

    #[test]
    fn delays_grow_and_the_last_one_stays() {
        let delays = [1, 5, 30].map(Duration::from_secs);
        let seconds = [1, 2, 3, 4, u32::MAX].map(|tries| delay_after(&delays, tries).as_secs());
        assert_eq!(seconds, [1, 5, 30, 30, 30]);
    }
}
