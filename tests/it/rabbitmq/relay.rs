//! RabbitMQ's doorbells handed on to real queues.

use serde_json::json;
use stack::runtime_api::{NotReady, Outcome, RuntimeApi};

use super::{Queues, attribute, comes_again, doorbell, event, is_discreet, is_done, message, nowhere, start};

#[tokio::test]
async fn a_batch_goes_to_the_queues_of_its_lanes_and_poison_aside() {
    let queues = Queues::new().await;
    let environment = start(queues.relay()).await;
    let mut urgent: Vec<_> = (1..=47).map(|id| message(doorbell(id))).collect();
    let mut letter = message("Dear Ada, text-marker");
    letter["basicProperties"]["messageId"] = json!("letter-7");
    urgent.insert(20, letter);
    let bulk: Vec<_> = (101..=153).map(|id| message(id.to_string())).collect();
    is_done(&environment, &event(&[("mail::/", urgent), ("mail-bulk::shop", bulk)])).await;
    let urgent = queues.take_ids(&queues.urgent).await;
    assert_eq!(urgent, (1..=47).collect::<Vec<_>>());
    assert_eq!(queues.take_ids(&queues.bulk).await, (101..=153).collect::<Vec<_>>());
    let letters = queues.take(&queues.dead).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["Body"], "Dear Ada, text-marker");
    for (name, value) in [
        ("queue", "mail"),
        ("vhost", "/"),
        ("reason", "body_shape"),
        ("encoding", "text"),
        ("message_id", "letter-7"),
        ("body_bytes", "21"),
    ] {
        assert_eq!(attribute(&letters[0], name), value, "{name}");
    }
    let log = environment.log_text();
    assert!(
        log.contains("doorbell.dead_lettered") && log.contains("letter-7") && log.contains("\"position\":20"),
        "{log}"
    );
    is_discreet(&environment);
}

#[tokio::test]
async fn a_queue_service_that_is_away_makes_the_event_come_again() {
    let queues = Queues::new().await;
    let away = nowhere();
    let function =
        queues.relay().env("AWS_ENDPOINT_URL_SQS", away).timeout(std::time::Duration::from_secs(6));
    let environment = start(function).await;
    let batch =
        event(&[("mail::/", vec![message("poison-marker"), message(doorbell(1)), message(doorbell(2))])]);
    comes_again(&environment, &batch).await;
    let log = environment.log_text();
    assert!(log.contains("doorbells.given_back") && log.contains("queue_unreachable"), "{log}");
    // It comes again with the rest, so it may not be gone.
    assert!(!log.contains("doorbell.dropped") && !log.contains("doorbell.dead_lettered"), "{log}");
    is_discreet(&environment);
}

#[tokio::test]
async fn a_lane_whose_queue_does_not_exist_is_named_and_the_other_one_served() {
    let queues = Queues::new().await;
    let missing = queues.urgent.replace("/urgent", "/nobody");
    let environment = start(queues.relay().env("URGENT_QUEUE_URL", missing)).await;
    let both = event(&[
        ("mail::/", (1..=30).map(|id| message(doorbell(id))).collect()),
        ("mail.bulk::/", vec![message(doorbell(31))]),
    ]);
    comes_again(&environment, &both).await;
    assert_eq!(queues.take_ids(&queues.bulk).await, [31]);
    let log = environment.log_text();
    assert!(log.contains("\"lane\":\"urgent\"") && log.contains("does not exist"), "{log}");
}

#[tokio::test]
async fn poison_never_blocks_even_where_it_cannot_be_put_aside() {
    let queues = Queues::new().await;
    let missing = queues.dead.replace("/dead", "/nobody");
    for (dead, kind) in [("", "no_dead_letter_queue"), (missing.as_str(), "dead_letter_refused")] {
        let environment = start(queues.relay().env("DEAD_LETTER_QUEUE_URL", dead)).await;
        let batch = event(&[("mail::/", vec![message("poison-marker"), message(doorbell(1))])]);
        is_done(&environment, &batch).await;
        assert_eq!(queues.take_ids(&queues.urgent).await, [1]);
        let log = environment.log_text();
        assert!(log.contains("doorbell.dropped") && log.contains(kind), "{log}");
        assert!(log.contains("\"queue\":\"mail\"") && log.contains("\"position\":0"), "{log}");
        is_discreet(&environment);
    }
}

#[tokio::test]
async fn a_body_of_ten_megabytes_is_one_of_many() {
    let queues = Queues::new().await;
    let environment = start(queues.relay()).await;
    let large = format!("{{\"email_id\":2,\"pad\":\"{}\"}}", "x".repeat(10_000_000));
    let poison = "poison-marker ".repeat(750_000);
    let batch = event(&[(
        "mail::/",
        vec![message(doorbell(1)), message(large), message(&poison), message(doorbell(3))],
    )]);
    is_done(&environment, &batch).await;
    assert_eq!(queues.take_ids(&queues.urgent).await, [1, 2, 3]);
    let letters = queues.take(&queues.dead).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (attribute(&letters[0], "cut"), attribute(&letters[0], "body_bytes")),
        ("true".into(), "10500000".into())
    );
    let kept = letters[0]["Body"].as_str().expect("a body");
    assert!(kept.len() > 200_000 && poison.starts_with(kept), "{}", kept.len());
    is_discreet(&environment);
}

/// A table in a header may be nested as deep as its producer likes, which is deeper than most readers of JSON go.
#[tokio::test]
async fn a_deep_table_in_a_header_is_no_poison() {
    let queues = Queues::new().await;
    let environment = start(queues.relay()).await;
    let mut deep = message(doorbell(2));
    deep["basicProperties"]["headers"] = json!({"x-deep": "here"});
    let batch = event(&[("mail::/", vec![message(doorbell(1)), deep, message(doorbell(3))])]);
    let table = format!("{}1{}", r#"{"x":["#.repeat(1000), "]}".repeat(1000));
    let outcome = environment.invoke_raw(batch.to_string().replace(r#""here""#, &table)).await.outcome;
    assert_eq!(outcome, Outcome::Response(json!(null)), "{}", environment.log_text());
    assert_eq!(queues.take_ids(&queues.urgent).await, [1, 2, 3]);
}

#[tokio::test]
async fn what_is_no_event_fails_and_is_not_quoted() {
    let queues = Queues::new().await;
    let environment = start(queues.relay()).await;
    for event in
        [json!("Dear Ada, text-marker"), json!({"rmqMessagesByQueue": {"mail::/": "text-marker"}}), json!({})]
    {
        comes_again(&environment, &event).await;
    }
    is_done(&environment, &event(&[("mail::/", vec![message(doorbell(1))])])).await;
    is_discreet(&environment);
}

#[tokio::test]
async fn a_wrong_configuration_is_named_at_start() {
    let queues = Queues::new().await;
    let function = queues
        .relay()
        .env("URGENT_QUEUE_URL", "")
        .env("BULK_QUEUE_URL", "bulk")
        .env("DEAD_LETTER_QUEUE_URL", "https://sqs.example/1/dead.fifo")
        .env("LOG_LEVEL", "info")
        .env("AWS_ACCESS_KEY_ID", "");
    let environment = RuntimeApi::start().environment(function).await.expect("it starts");
    let ended = environment.ready().await.expect_err("it cannot work");
    assert!(matches!(ended, NotReady::Died(_) | NotReady::InitError { .. }), "{ended:?}");
    environment.exited().await;
    let log = environment.log_text();
    for name in ["URGENT_QUEUE_URL", "BULK_QUEUE_URL", "DEAD_LETTER_QUEUE_URL", "AWS_ACCESS_KEY_ID"] {
        assert!(log.contains(name), "{name} in {log}");
    }
}
