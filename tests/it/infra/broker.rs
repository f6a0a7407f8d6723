//! What a broker is told to have, in a real one. That of Amazon MQ is told the same, through its own interface.

use std::time::{Duration, Instant};

use lapin::{
    Channel, Connection, ConnectionProperties,
    message::BasicGetMessage,
    options::{
        BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use serde_json::{Map, Value};
use stack::rabbitmq::{Options, Rabbitmq};

use super::file;

const QUEUE: &str = "mail.relay";
const DEAD: &str = "mail.relay.dead";
/// Of the policy: how often a message may come back.
const RETURNS: usize = 20;

async fn get(channel: &Channel, queue: &str) -> Option<BasicGetMessage> {
    channel.basic_get(queue.into(), BasicGetOptions::default()).await.expect("the queue is there")
}

/// A batch that Lambda cannot get through comes again as a whole, and would for ever.
#[tokio::test]
async fn what_came_back_too_often_is_put_aside() {
    let definitions: Map<String, Value> =
        serde_json::from_str(&file("infra/broker-definitions.json")).expect("definitions");
    let broker = Rabbitmq::start(Options::default().definitions(definitions)).await.expect("it starts");
    let connection = Connection::connect(&broker.uri(), ConnectionProperties::default()).await;
    let connection = connection.expect("it lets in");
    for queue in [QUEUE, DEAD] {
        let mut classic = FieldTable::default();
        classic.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
        let channel = connection.create_channel().await.expect("a channel");
        let other = channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), classic).await;
        let said = other.expect_err("it is a quorum queue").to_string();
        assert!(said.contains("PRECONDITION"), "{queue}: {said}");
    }

    let channel = connection.create_channel().await.expect("a channel");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sent = channel.basic_publish("".into(), QUEUE.into(), options, b"42", <_>::default()).await;
    let kept = sent.expect("published").await.expect("answered");
    assert!(kept.is_ack() && kept.take_message().is_none(), "nobody has it");

    let (mut came, begun) = (0, Instant::now());
    let dead = loop {
        assert!(came <= 1 + RETURNS && begun.elapsed() < Duration::from_secs(30), "it came {came} times");
        // It is nowhere for a moment on its way.
        if let Some(message) = get(&channel, QUEUE).await {
            came += 1;
            message
                .acker
                .nack(BasicNackOptions { requeue: true, multiple: false })
                .await
                .expect("given back");
        } else if let Some(message) = get(&channel, DEAD).await {
            break message;
        }
    };
    assert_eq!((came, dead.data.as_slice()), (1 + RETURNS, &b"42"[..]));
    connection.close(200, "done".into()).await.expect("closed");
}
