//! What a producer does: it declares its queues once, and rings.

use std::{
    ops::Deref,
    sync::atomic::{AtomicU32, Ordering},
};

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::FieldTable,
};
use serde_json::json;
use stack::rabbitmq::{Options, Rabbitmq};

/// A broker: the one that all share, or one that may be ill-treated.
pub(crate) enum Broker {
    Shared(&'static Rabbitmq),
    Own(Box<Rabbitmq>),
}

impl Broker {
    pub(crate) async fn shared() -> Self {
        Self::Shared(Rabbitmq::shared().await.expect("the broker starts"))
    }

    pub(crate) async fn own(options: Options) -> Self {
        Self::Own(Box::new(Rabbitmq::start(options).await.expect("the broker starts")))
    }

    /// Declares a durable queue, of a name that no other has.
    pub(crate) async fn queue(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("old-failures-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let (connection, channel) = self.open().await;
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(name.as_str().into(), durable, FieldTable::default()).await.expect("declared");
        close(connection).await;
        name
    }

    /// Puts a persistent doorbell for each of these emails into each of these queues, and sees that all are kept.
    pub(crate) async fn ring(&self, queues: &[&str], ids: &[u64]) {
        let (connection, channel) = self.open().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let mut confirms = Vec::new();
        for queue in queues {
            for id in ids {
                let body = json!({"email_id": id}).to_string();
                let properties = BasicProperties::default().with_delivery_mode(2);
                let sent =
                    channel.basic_publish("".into(), (*queue).into(), options, body.as_bytes(), properties);
                confirms.push(sent.await.expect("published"));
            }
        }
        for confirm in confirms {
            let confirmation = confirm.await.expect("confirmed");
            assert!(confirmation.is_ack() && confirmation.take_message().is_none(), "a doorbell was lost");
        }
        close(connection).await;
    }

    /// How many messages wait in a queue; `None` when there is no such queue.
    pub(crate) async fn depth(&self, queue: &str) -> Option<u32> {
        let (connection, channel) = self.open().await;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let seen = channel.queue_declare(queue.into(), passive, FieldTable::default()).await;
        close(connection).await;
        seen.ok().map(|queue| queue.message_count())
    }

    async fn open(&self) -> (Connection, Channel) {
        let opened = Connection::connect(&self.uri(), ConnectionProperties::default()).await;
        let connection = opened.expect("the broker answers");
        let channel = connection.create_channel().await.expect("a channel");
        (connection, channel)
    }
}

impl Deref for Broker {
    type Target = Rabbitmq;

    fn deref(&self) -> &Rabbitmq {
        match self {
            Self::Shared(broker) => broker,
            Self::Own(broker) => broker,
        }
    }
}

async fn close(connection: Connection) {
    connection.close(200, "done".into()).await.expect("closed");
}
