//! Ringing again through a real queue service.

use serde_json::{Value, json};
use stack::{
    deploy::Cloud,
    ministack::{Ministack, Options},
};

use super::{Site, all_done, ring};

async fn sqs(ministack: &Ministack, action: &str, body: Value) -> Value {
    Cloud::of(ministack).sqs(action, &body).await.expect("the queue service answers")
}

#[tokio::test]
async fn a_doorbell_that_came_too_early_is_rung_again_with_a_delay() {
    let site = Site::new().await;
    let ministack = Ministack::start(Options::default()).await.expect("ministack starts");
    let queue = sqs(&ministack, "CreateQueue", json!({"QueueName": "urgent"})).await;
    let url = queue["QueueUrl"].as_str().expect("a URL");
    let function = site
        .function()
        .env("AWS_REGION", ministack.region())
        .env("URGENT_QUEUE_URL", url)
        .env("AWS_ENDPOINT_URL_SQS", ministack.endpoint());
    let environment = site.start(function).await;
    let id = site.insert("ada@customer.example").await;
    let due = format!("UPDATE email SET due_at = UTC_TIMESTAMP(6) + INTERVAL 300 SECOND WHERE id = {id}");
    site.database.admin().execute(&due).await.expect("changed");
    for _ in 0..3 {
        assert_eq!(ring(&environment, id).await, all_done());
    }
    let attributes =
        sqs(&ministack, "GetQueueAttributes", json!({"QueueUrl": url, "AttributeNames": ["All"]})).await;
    let attributes = &attributes["Attributes"];
    assert_eq!(attributes["ApproximateNumberOfMessagesDelayed"], "1", "{attributes}");
    assert_eq!(attributes["ApproximateNumberOfMessages"], "0", "{attributes}");
    // A row that is not there yet: a second later, with its count.
    assert_eq!(ring(&environment, 4711).await, all_done());
    let message = loop {
        let wait = json!({"QueueUrl": url, "WaitTimeSeconds": 5, "MessageAttributeNames": ["All"]});
        let received = sqs(&ministack, "ReceiveMessage", wait).await;
        if let Some(message) = received["Messages"].as_array().and_then(|messages| messages.first()) {
            break message.clone();
        }
    };
    assert_eq!(message["Body"], r#"{"email_id":4711}"#);
    assert_eq!(message["MessageAttributes"]["tries"]["StringValue"], "1");
}

#[tokio::test]
async fn a_queue_that_is_away_makes_the_item_come_again() {
    let site = Site::new().await;
    let closed = crate::world::closed_address();
    let function = site
        .function()
        .env("URGENT_QUEUE_URL", format!("http://{closed}/000000000000/urgent"))
        .env("AWS_ENDPOINT_URL_SQS", format!("http://{closed}"));
    let environment = site.start(function).await;
    let response = ring(&environment, 4711).await;
    assert_eq!(response, json!({"batchItemFailures": [{"itemIdentifier": "message-0"}]}));
}
