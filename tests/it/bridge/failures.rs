//! Messages that fail, and a function that cannot be reached.

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use stack::gate::Gate;

use super::{Function, Rabbit, bridge, doorbell, function::Answer, rabbit::header, until};

#[tokio::test]
async fn a_message_that_fails_waits_longer_each_time_and_then_is_dead() {
    for kind in ["classic", "quorum"] {
        let rabbit = Rabbit::shared().await;
        let queue = rabbit.queue(kind).await;
        let function = Function::new(|_, _| Answer::Fails).await;
        let running = bridge(&rabbit, &queue, &function)
            .with("RETRY_QUEUE_TYPE", kind)
            .with("RETRY_DELAYS_S", "1,2")
            .with("MAX_TRIES", "4")
            .start();
        // Its producer did not ask for it to be kept; a quorum queue keeps it all the same, and so must what is beside.
        rabbit.publish_with(&queue, &[(doorbell(1), BasicProperties::default())]).await;
        let dead = format!("{queue}.dead");
        until("dead", async || rabbit.depth(&dead).await == Some(1)).await;
        assert_eq!(function.events().len(), 4);
        for beside in ["", ".retry.1s", ".retry.2s"] {
            assert_eq!(rabbit.depth(&format!("{queue}{beside}")).await, Some(0), "{beside}");
        }
        let letter = rabbit.take(&dead).await.remove(0);
        assert_eq!(letter.data, doorbell(1));
        assert_eq!(*letter.properties.delivery_mode(), Some(2), "a restart would lose it");
        let text = |text: &str| Some(AMQPValue::LongString(text.into()));
        assert_eq!(header(&letter.properties, "x-sendonce-reason"), text("Poison"));
        assert_eq!(header(&letter.properties, "x-sendonce-queue"), text(&queue));
        assert_eq!(header(&letter.properties, "x-sendonce-failed"), Some(AMQPValue::LongLongInt(4)));
        // RabbitMQ's own history: once in the first, twice in the second.
        let Some(AMQPValue::FieldArray(deaths)) = header(&letter.properties, "x-death") else {
            panic!("no x-death")
        };
        let mut waits: Vec<_> = deaths.as_slice().iter().map(of_death).collect();
        waits.sort();
        assert_eq!(waits, [(format!("{queue}.retry.1s"), 1), (format!("{queue}.retry.2s"), 2)]);
        assert!(running.log().contains("message.dead"));
        running.stop().await;
    }
}

/// A message that died in its own queue and was moved back by hand tells of it. Up to 3.13 RabbitMQ reads that back, and
/// drops what would go to such a queue out of a retry queue.
#[tokio::test]
async fn what_died_in_this_queue_before_is_tried_again_all_the_same() {
    for kind in ["classic", "quorum"] {
        let rabbit = Rabbit::shared().await;
        let queue = rabbit.queue(kind).await;
        let function =
            Function::new(|number, _| if number == 0 { Answer::Fails } else { Answer::Done }).await;
        let running = bridge(&rabbit, &queue, &function).with("RETRY_QUEUE_TYPE", kind).start();
        let text = |text: &str| AMQPValue::LongString(text.into());
        let mut death = FieldTable::default();
        death.insert("count".into(), AMQPValue::LongLongInt(1));
        death.insert("reason".into(), text("expired"));
        death.insert("queue".into(), text(&queue));
        death.insert("exchange".into(), text(""));
        death.insert("routing-keys".into(), AMQPValue::FieldArray(vec![text(&queue)].into()));
        death.insert("time".into(), AMQPValue::Timestamp(1_795_452_184));
        let mut headers = FieldTable::default();
        headers.insert("x-death".into(), AMQPValue::FieldArray(vec![AMQPValue::FieldTable(death)].into()));
        let properties = BasicProperties::default().with_headers(headers);
        rabbit.publish_with(&queue, &[(doorbell(1), properties)]).await;
        until("handled", async || running.health().await.1["acked"] == 1).await;
        assert_eq!(function.events().len(), 2);
        running.stop().await;
    }
}

fn of_death(death: &AMQPValue) -> (String, i64) {
    let AMQPValue::FieldTable(death) = death else { panic!("{death:?}") };
    let (Some(AMQPValue::LongString(queue)), Some(AMQPValue::LongLongInt(count))) =
        (death.inner().get("queue"), death.inner().get("count"))
    else {
        panic!("{death:?}")
    };
    (queue.to_string(), *count)
}

#[tokio::test]
async fn a_poisonous_message_is_soon_alone_and_costs_only_itself() {
    let rabbit = Rabbit::shared().await;
    let queue = rabbit.queue("quorum").await;
    let poison = doorbell(13);
    let function = Function::new({
        let poison = poison.clone();
        move |_, bodies| if bodies.contains(&poison) { Answer::Fails } else { Answer::Done }
    })
    .await;
    let bodies: Vec<_> = (1..=40).map(doorbell).collect();
    rabbit.publish(&queue, &bodies).await;
    // Fewer tries than it takes to halve sixteen down to one.
    let running = bridge(&rabbit, &queue, &function).with("BATCH_SIZE", "16").with("MAX_TRIES", "4").start();
    let dead = format!("{queue}.dead");
    until("dead", async || rabbit.depth(&dead).await == Some(1)).await;
    function.has_seen(&bodies).await;
    rabbit.has(&queue, 0).await;
    rabbit.has(&format!("{queue}.retry.1s"), 0).await;
    assert_eq!(rabbit.take(&dead).await[0].data, poison);
    let (times, events) = (function.times(), function.events());
    assert_eq!(times[&poison], 4);
    let mut with_it = events.iter().map(super::function::bodies).filter(|bodies| bodies.contains(&poison));
    assert_eq!(with_it.next_back(), Some(vec![poison.clone()]), "it was alone in its last try");
    running.stop().await;
}

#[tokio::test]
async fn a_function_that_is_throttled_or_away_costs_no_message_a_try() {
    let rabbit = Rabbit::shared().await;
    let queue = rabbit.queue("classic").await;
    let answers = [429, 503, 403, 404];
    let function = Function::new(move |number, _| {
        answers.get(number).map_or(Answer::Done, |status| Answer::Status(*status))
    })
    .await;
    let bodies: Vec<_> = (1..=20).map(doorbell).collect();
    rabbit.publish(&queue, &bodies).await;
    // One at a time, or two would be answered in the order in which they happen to arrive.
    let running = bridge(&rabbit, &queue, &function).with("INVOCATIONS", "1");
    let running = running.with("MAX_TRIES", "1").with("BATCH_SIZE", "10").start();
    running.says("function.away").await;
    let (good, health) = running.health().await;
    assert!(!good && health["function"] != "ok", "{health}");
    until("all handled", async || running.health().await.1["acked"] == 20).await;
    running.is_well().await;
    let (_, health) = running.health().await;
    assert_eq!((&health["retried"], &health["dead"], &health["failures"]), (&0.into(), &0.into(), &0.into()));
    assert_eq!(rabbit.depth(&format!("{queue}.dead")).await, Some(0));
    let log = running.log();
    for kind in ["throttled", "unavailable", "not_allowed", "not_found"] {
        assert_eq!(log.matches(&format!("\"error.kind\":\"{kind}\"")).count(), 1, "{kind}: {log}");
    }
    assert_eq!(log.matches("function.reached").count(), 1, "{log}");
    running.stop().await;
}

/// Nothing listens where the function should be, for a while.
#[tokio::test]
async fn while_there_is_no_way_to_lambda_the_messages_stay() {
    let rabbit = Rabbit::shared().await;
    let (queue, lambda) =
        (rabbit.queue("quorum").await, stack::lambda::Lambda::start().await.expect("a port"));
    let relay = stack::runtime_api::Function::new(crate::world::function_binary("relay-rabbitmq"));
    lambda.function("relay", relay, 1);
    lambda.refuse(true).await;
    let function = Function::good().await;
    let running =
        bridge(&rabbit, &queue, &function).with("AWS_ENDPOINT_URL_LAMBDA", lambda.endpoint()).start();
    rabbit.publish(&queue, &[doorbell(1)]).await;
    running.says("\"error.kind\":\"unreachable\"").await;
    assert_eq!(rabbit.depth(&format!("{queue}.retry.1s")).await, Some(0));
    // Told to stop, it waits no longer, and gives the message back.
    running.stop().await;
    rabbit.has(&queue, 1).await;
}

/// A queue beside it is deleted while the bridge runs: a message for it comes back unrouted, and is not acknowledged.
#[tokio::test]
async fn a_message_that_cannot_be_put_aside_is_not_lost() {
    let rabbit = Rabbit::shared().await;
    let queue = rabbit.queue("quorum").await;
    let function = Function::new(|number, _| if number < 2 { Answer::Fails } else { Answer::Done }).await;
    let running = bridge(&rabbit, &queue, &function).start();
    running.is_well().await;
    let retry = format!("{queue}.retry.1s");
    rabbit.delete(&retry).await;
    rabbit.publish(&queue, &[doorbell(1), doorbell(2)]).await;
    running.says(&format!("queue {retry} is not there")).await;
    until("all handled", async || running.health().await.1["acked"] == 2).await;
    rabbit.has(&queue, 0).await;
    assert_eq!(rabbit.depth(&retry).await, Some(0), "it was declared again");
    running.stop().await;
}

/// The function takes one at a time, and the bridge would do two: who is refused waits for the other, and says nothing.
#[tokio::test]
async fn a_function_at_its_concurrency_is_not_away() {
    let rabbit = Rabbit::shared().await;
    let queue = rabbit.queue("quorum").await;
    // Every second one is refused, but never before one was served.
    let throttled = |number: usize, _: &_| {
        if number.is_multiple_of(2) { Answer::Done } else { Answer::Status(429) }
    };
    let function = Function::new(throttled).await;
    let running = bridge(&rabbit, &queue, &function).with("BATCH_SIZE", "1").start();
    running.is_well().await;
    rabbit.publish(&queue, &[doorbell(1)]).await;
    function.has_seen(&[doorbell(1)]).await;
    let bodies: Vec<_> = (2..=8).map(doorbell).collect();
    rabbit.publish(&queue, &bodies).await;
    until("all handled", async || running.health().await.1["acked"] == 8).await;
    let log = running.log();
    assert!(!log.contains("function.away") && !log.contains("function.reached"), "{log}");
    running.stop().await;
}

/// The work of a message that takes too long is not begun anew for ever.
#[tokio::test]
async fn a_message_that_is_never_answered_for_is_dead_in_the_end() {
    let rabbit = Rabbit::shared().await;
    let queue = rabbit.queue("quorum").await;
    let slow = doorbell(13);
    let function = Function::new({
        let slow = slow.clone();
        move |_, bodies| if bodies.contains(&slow) { Answer::Waits(Gate::new()) } else { Answer::Done }
    })
    .await;
    let running = bridge(&rabbit, &queue, &function)
        .with("INVOKE_TIMEOUT_S", "3")
        .with("MAX_TRIES", "2")
        .with("BATCH_SIZE", "2")
        .start();
    rabbit.publish(&queue, &[doorbell(1), slow.clone()]).await;
    let dead = format!("{queue}.dead");
    until("dead", async || rabbit.depth(&dead).await == Some(1)).await;
    until("the other handled", async || running.health().await.1["acked"] == 1).await;
    let letter = rabbit.take(&dead).await.remove(0);
    let reason = Some(AMQPValue::LongString("timed_out".into()));
    assert_eq!((letter.data, header(&letter.properties, "x-sendonce-reason")), (slow, reason));
    running.stop().await;
}
