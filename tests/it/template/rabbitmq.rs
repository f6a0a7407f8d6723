//! The functions for RabbitMQ as they are deployed. Nobody polls a broker here, so they are invoked as a mapping would.

use std::path::Path;

use serde_json::Value;

use super::{BINARIES, Deployed};

const BROKER: [(&str, &str); 4] = [
    ("RabbitmqBroker", super::wiring::BROKER),
    ("RabbitmqSecretArn", super::wiring::SECRET),
    ("RabbitmqRelayQueue", "mail.relay"),
    ("RabbitmqDispatchQueue", "mail.dispatch"),
];

fn event(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events").join(name);
    std::fs::read_to_string(path).expect("the file").parse().expect("JSON")
}

#[tokio::test]
async fn a_doorbell_of_rabbitmq_is_answered_through_either_function() {
    let binaries = [&BINARIES[..], &["relay-rabbitmq", "dispatch-rabbitmq"]].concat();
    let shop = Deployed::with(&binaries, &BROKER).await;
    let dead = &shop.outputs["RabbitmqDeadLetterQueueUrl"];

    // The same file for both: three doorbells in two lanes, and a letter to the customer among them. Each time the rows
    // of one function alone are there; to the other's doorbells nobody answers.
    for id in [516, 518, 519] {
        shop.insert(id, "pending").await;
    }
    let poison = event("rabbitmq_poison_in_the_middle.json");
    shop.cloud.invoke(&shop.outputs["DispatchRabbitmqFunctionArn"], &poison).await.expect("it answers");
    for id in [516, 518, 519] {
        assert_eq!((shop.state(id).await.as_str(), shop.ses.times_taken(id)), ("sent", 1));
    }
    let log = shop.cloud.log("shop-dispatch-sqs").await.expect("a log");
    assert!(log.is_empty(), "dispatch-rabbitmq sends by itself: {log:#?}");
    let letters = shop.cloud.peek(dead).await.expect("letters");
    assert_eq!(letters.len(), 1, "{letters:?}");

    // The relay sends nothing: what it hands on, dispatch-sqs sends.
    for id in [506, 507, 508, 509, 510, 511] {
        shop.insert(id, "pending").await;
    }
    let lanes = event("rabbitmq_lane_header.json");
    shop.cloud.invoke(&shop.outputs["RelayRabbitmqFunctionArn"], &lanes).await.expect("it answers");
    for id in [506, 507, 508, 509, 510, 511] {
        shop.becomes(id, "sent").await;
        assert_eq!(shop.ses.times_taken(id), 1);
    }
    shop.cloud.invoke("shop-relay-rabbitmq", &poison).await.expect("it answers");
    let letters = shop.cloud.peek(dead).await.expect("letters");
    assert_eq!(letters.len(), 2, "{letters:?}");

    // Only an invocation tells that a variable is right, and only a look that there is none too many.
    let relay = shop.cloud.variables("shop-relay-rabbitmq").await.expect("variables");
    let names: Vec<&str> = relay.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "BULK_QUEUE_URL",
            "CONFIGURATION",
            "DEAD_LETTER_QUEUE_URL",
            "LOG_LEVEL",
            "STACK_NAME",
            "URGENT_QUEUE_URL"
        ]
    );
    let mut dispatch = shop.cloud.variables("shop-dispatch-rabbitmq").await.expect("variables");
    for (variable, output) in [
        ("URGENT_QUEUE_URL", "UrgentQueueUrl"),
        ("BULK_QUEUE_URL", "BulkQueueUrl"),
        ("DEAD_LETTER_QUEUE_URL", "RabbitmqDeadLetterQueueUrl"),
    ] {
        assert_eq!(relay[variable], shop.outputs[output]);
        assert_eq!(dispatch[variable], shop.outputs[output]);
    }
    dispatch.remove("DEAD_LETTER_QUEUE_URL");
    let dispatch_sqs = shop.cloud.variables("shop-dispatch-sqs").await.expect("variables");
    assert_eq!(dispatch, dispatch_sqs, "and the same for both that send");
}
