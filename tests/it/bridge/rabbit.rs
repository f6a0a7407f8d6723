//! What producers and operators do to a broker.

use std::sync::atomic::{AtomicU32, Ordering};

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    message::Delivery,
    options::{
        BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};
use stack::rabbitmq::{PASSWORD, Rabbitmq, USER};

use super::until;

/// One broker, seen from outside.
pub(super) struct Rabbit {
    uri: String,
}

impl Rabbit {
    /// The one that all tests share.
    pub(super) async fn shared() -> Self {
        Self::of(Rabbitmq::shared().await.expect("the broker starts"))
    }

    pub(super) fn of(broker: &Rabbitmq) -> Self {
        Self { uri: broker.uri_of(USER, PASSWORD, "/") }
    }

    pub(super) fn by(uri: String) -> Self {
        Self { uri }
    }

    pub(super) fn uri(&self) -> String {
        self.uri.clone()
    }

    /// A name that no other queue has.
    pub(super) fn name() -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        format!("bridge-{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Declares a queue of this type.
    pub(super) async fn queue(&self, kind: &str) -> String {
        let name = Self::name();
        self.declare(&name, kind).await;
        name
    }

    pub(super) async fn declare(&self, name: &str, kind: &str) {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
        let (connection, channel) = self.open().await;
        let durable = QueueDeclareOptions::durable();
        channel.queue_declare(name.into(), durable, arguments).await.expect("declared");
        close(connection).await;
    }

    pub(super) async fn delete(&self, name: &str) {
        let (connection, channel) = self.open().await;
        channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.expect("deleted");
        close(connection).await;
    }

    pub(super) async fn publish(&self, queue: &str, bodies: &[Vec<u8>]) {
        let properties = BasicProperties::default().with_delivery_mode(2);
        let messages: Vec<_> = bodies.iter().map(|body| (body.clone(), properties.clone())).collect();
        self.publish_with(queue, &messages).await;
    }

    pub(super) async fn publish_with(&self, queue: &str, messages: &[(Vec<u8>, BasicProperties)]) {
        let (connection, channel) = self.open().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let mut confirms = Vec::new();
        for (body, properties) in messages {
            let sent =
                channel.basic_publish("".into(), queue.into(), options, body, properties.clone()).await;
            confirms.push(sent.expect("published"));
        }
        for confirm in confirms {
            let confirmation = confirm.await.expect("confirmed");
            assert!(confirmation.is_ack() && confirmation.take_message().is_none(), "{queue} lost a message");
        }
        close(connection).await;
    }

    /// How many messages wait in a queue; nothing when it is not there.
    pub(super) async fn depth(&self, queue: &str) -> Option<u32> {
        let (connection, channel) = self.open().await;
        let passive = QueueDeclareOptions::default().passive();
        let answer = channel.queue_declare(queue.into(), passive, FieldTable::default()).await;
        let depth = answer.ok().map(|queue| queue.message_count());
        close(connection).await;
        depth
    }

    pub(super) async fn has(&self, queue: &str, messages: u32) {
        until(queue, async || self.depth(queue).await == Some(messages)).await;
    }

    /// Takes everything out.
    pub(super) async fn take(&self, queue: &str) -> Vec<Delivery> {
        let (connection, channel) = self.open().await;
        let mut taken = Vec::new();
        let at_once = BasicGetOptions { no_ack: true };
        while let Some(message) = channel.basic_get(queue.into(), at_once).await.expect("got") {
            taken.push(message.delivery);
        }
        close(connection).await;
        taken
    }

    async fn open(&self) -> (Connection, Channel) {
        let connection =
            Connection::connect(&self.uri, ConnectionProperties::default()).await.expect("connected");
        let channel = connection.create_channel().await.expect("a channel");
        (connection, channel)
    }
}

async fn close(connection: Connection) {
    connection.close(200, "done".into()).await.expect("closed");
}

/// What a header says.
pub(super) fn header(properties: &BasicProperties, name: &str) -> Option<AMQPValue> {
    properties.headers().as_ref()?.inner().get(name).cloned()
}
