//! Messages that go through.

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use serde_json::{Value, json};
use stack::{
    deploy::Cloud,
    lambda::Lambda,
    ministack::{Ministack, Options},
    runtime_api,
};

use super::{
    Function, Rabbit, bridge, doorbell,
    function::{Answer, messages},
    until,
};
use crate::world::function_binary;

/// Both types of queue, the real relay, real queues behind it.
#[tokio::test]
async fn doorbells_of_every_queue_reach_the_real_relay() {
    let (rabbit, lambda) = (Rabbit::shared().await, Lambda::start().await.expect("a port"));
    let ministack = Ministack::start(Options::default()).await.expect("ministack starts");
    let made = Cloud::of(&ministack).sqs("CreateQueue", &json!({"QueueName": "lane"})).await.expect("made");
    let url = made["QueueUrl"].as_str().expect("a URL");
    let relay = runtime_api::Function::new(function_binary("relay-rabbitmq"))
        .env("AWS_REGION", ministack.region())
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "aws-secret-marker")
        .env("AWS_ENDPOINT_URL_SQS", ministack.endpoint())
        .env("URGENT_QUEUE_URL", url)
        .env("BULK_QUEUE_URL", url);
    lambda.function("relay", relay, 8);
    let (classic, quorum) = (rabbit.queue("classic").await, rabbit.queue("quorum").await);
    let function = Function::good().await;
    let running = bridge(&rabbit, &format!("{classic},{quorum}"), &function)
        .with("AWS_ENDPOINT_URL_LAMBDA", lambda.endpoint())
        .start();
    running.is_well().await;
    for (queue, ids) in [(&classic, 1..=250), (&quorum, 251..=500)] {
        rabbit.publish(queue, &ids.map(doorbell).collect::<Vec<_>>()).await;
    }
    until("all in SQS", async || Cloud::of(&ministack).depth(url).await.expect("answers").visible == 500)
        .await;
    rabbit.has(&classic, 0).await;
    rabbit.has(&quorum, 0).await;
    let (_, health) = running.health().await;
    assert_eq!((&health["received"], &health["retried"]), (&json!(500), &json!(0)), "{health}");
    // Each batch is as large as what was there, and no event is empty.
    assert!(health["invocations"].as_u64().is_some_and(|count| count < 500), "{health}");
    running.stop().await;
    assert_eq!(lambda.counts("relay").failed, 0);
}

fn every_property() -> BasicProperties {
    let mut inner = FieldTable::default();
    inner.insert("deep".into(), AMQPValue::LongString("é".into()));
    let mut headers = FieldTable::default();
    headers.insert("lane".into(), AMQPValue::LongString("bulk".into()));
    headers.insert("x-table".into(), AMQPValue::FieldTable(inner));
    headers.insert("x-number".into(), AMQPValue::LongInt(-7));
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(2)
        .with_priority(3)
        .with_correlation_id("c-1".into())
        .with_reply_to("replies".into())
        .with_expiration("600000".into())
        .with_message_id("m-1".into())
        .with_timestamp(1_795_452_184)
        .with_type("email".into())
        .with_user_id(stack::rabbitmq::USER.into())
        .with_app_id("shop".into())
        .with_headers(headers)
}

/// The properties that an event shows, without what RabbitMQ and the bridge note in the headers.
fn shown(event: &Value) -> Value {
    let mut properties = messages(event)[0]["basicProperties"].clone();
    if let Some(headers) = properties["headers"].as_object_mut() {
        headers.retain(|name, _| {
            let noted = ["x-sendonce-", "x-death", "x-first-death-", "x-delivery-count"];
            !noted.iter().any(|start| name.starts_with(start))
        });
    }
    properties
}

#[tokio::test]
async fn every_property_comes_through_at_the_first_try_and_at_the_third() {
    for kind in ["classic", "quorum"] {
        let rabbit = Rabbit::shared().await;
        let (queue, other) = (rabbit.queue(kind).await, rabbit.queue("classic").await);
        let function = Function::new(|number, _| if number < 2 { Answer::Fails } else { Answer::Done }).await;
        let running = bridge(&rabbit, &queue, &function).with("RETRY_QUEUE_TYPE", kind).start();
        let mut properties = every_property();
        let mut headers = properties.headers().clone().expect("headers");
        // Whoever publishes this again as it is sends a second copy.
        let copies = AMQPValue::FieldArray(vec![AMQPValue::LongString(other.as_str().into())].into());
        headers.insert("CC".into(), copies);
        properties = properties.with_headers(headers);
        rabbit.publish_with(&queue, &[(doorbell(1), properties)]).await;
        function.invoked(3).await;
        let events = function.events();
        assert_eq!(shown(&events[0])["expiration"], "600000");
        assert_eq!(shown(&events[0])["userId"], stack::rabbitmq::USER);
        assert_eq!(shown(&events[0])["headers"]["CC"][0]["bytes"][0], 98, "{}", events[0]);
        assert_eq!(shown(&events[0])["timestamp"], "Nov 23, 2026, 4:43:04 PM");
        assert_eq!(shown(&events[0]), shown(&events[1]));
        assert_eq!(shown(&events[0]), shown(&events[2]));
        assert_eq!(
            events[2]["rmqMessagesByQueue"][format!("{queue}::/")][0]["data"],
            messages(&events[0])[0]["data"]
        );
        rabbit.has(&queue, 0).await;
        assert_eq!(rabbit.depth(&other).await, Some(1), "the producer's copy, and no other");
        running.stop().await;
    }
}

#[tokio::test]
async fn odd_bodies_travel_as_they_are_and_a_large_one_is_put_aside() {
    let rabbit = Rabbit::shared().await;
    let (queue, function) = (rabbit.queue("classic").await, Function::good().await);
    let running = bridge(&rabbit, &queue, &function).start();
    let odd = [Vec::new(), vec![0xff, 0xfe, 0], b"not JSON".to_vec(), vec![b'7'; 256 * 1024]];
    rabbit.publish(&queue, &odd).await;
    rabbit.publish(&queue, &[vec![b'x'; 10_000_000], vec![b'y'; 256 * 1024 + 1], doorbell(5)]).await;
    function.has_seen(&odd).await;
    function.has_seen(&[doorbell(5)]).await;
    let dead = format!("{queue}.dead");
    rabbit.has(&dead, 2).await;
    rabbit.has(&queue, 0).await;
    let letters = rabbit.take(&dead).await;
    assert_eq!(
        letters.iter().map(|letter| letter.data.len()).collect::<Vec<_>>(),
        [10_000_000, 256 * 1024 + 1]
    );
    let reason = super::rabbit::header(&letters[0].properties, "x-sendonce-reason");
    assert_eq!(reason, Some(AMQPValue::LongString("body_too_large".into())));
    assert_eq!(function.times().len(), 5, "the large ones went nowhere else");
    running.stop().await;
}

#[tokio::test]
async fn many_bodies_of_the_largest_size_are_cut_into_events_that_lambda_takes() {
    let rabbit = Rabbit::shared().await;
    let (queue, function) = (rabbit.queue("classic").await, Function::good().await);
    let bodies: Vec<_> = (0..60_u8).map(|id| vec![id; 200_000]).collect();
    rabbit.publish(&queue, &bodies).await;
    let running = bridge(&rabbit, &queue, &function).start();
    function.has_seen(&bodies).await;
    for event in function.events() {
        assert!(event.to_string().len() < 6_000_000);
    }
    rabbit.has(&queue, 0).await;
    running.stop().await;
}

/// Nothing grows with the number of messages.
#[tokio::test]
async fn memory_does_not_grow_with_what_has_gone_through() {
    let rabbit = Rabbit::shared().await;
    let (queue, function) = (rabbit.queue("classic").await, Function::good().await);
    let running = bridge(&rabbit, &queue, &function).start();
    running.is_well().await;
    let mut resident = Vec::new();
    for turn in 0..3_usize {
        let bodies: Vec<_> = (0..10_000).map(|id| doorbell(turn * 10_000 + id + 1)).collect();
        rabbit.publish(&queue, &bodies).await;
        let all = (turn + 1) * 10_000;
        until("all handled", async || running.health().await.1["acked"] == all).await;
        resident.push(running.resident_kb());
    }
    println!("resident: {resident:?} KB");
    assert!(resident[2] < resident[0] + 4_000, "{resident:?} KB");
    running.stop().await;
}
