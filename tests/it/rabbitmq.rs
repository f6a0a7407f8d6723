//! The real binaries of `dispatch-rabbitmq` and `relay-rabbitmq`: `aws:rmq` events in, real queues behind them.

mod dispatch;
mod files;
mod relay;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use stack::{
    deploy::{Cloud, Depth},
    ministack::{Ministack, Options},
    runtime_api::{Environment, Function, Outcome, RuntimeApi},
};

use crate::world::{closed_address, function_binary};

/// A queue service with a queue for each lane and one for dead letters.
struct Queues {
    ministack: Ministack,
    urgent: String,
    bulk: String,
    dead: String,
}

impl Queues {
    async fn new() -> Self {
        let ministack = Ministack::start(Options::default()).await.expect("ministack starts");
        let cloud = Cloud::of(&ministack);
        let mut urls = Vec::new();
        for name in ["urgent", "bulk", "dead"] {
            let made = cloud.sqs("CreateQueue", &json!({"QueueName": name})).await.expect("made");
            urls.push(made["QueueUrl"].as_str().expect("a URL").to_owned());
        }
        let [urgent, bulk, dead] = urls.try_into().expect("three");
        Self { ministack, urgent, bulk, dead }
    }

    /// `relay-rabbitmq`, with all three. It has no database.
    fn relay(&self) -> Function {
        self.dead_letters(
            Function::new(function_binary("relay-rabbitmq"))
                .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
                .env("AWS_SECRET_ACCESS_KEY", "aws-secret-marker")
                .env("LOG_LEVEL", "debug")
                .env("URGENT_QUEUE_URL", &self.urgent)
                .env("BULK_QUEUE_URL", &self.bulk),
        )
    }

    /// A function that puts dead letters here.
    fn dead_letters(&self, function: Function) -> Function {
        function
            .env("AWS_REGION", self.ministack.region())
            .env("AWS_ENDPOINT_URL_SQS", self.ministack.endpoint())
            .env("DEAD_LETTER_QUEUE_URL", &self.dead)
    }

    async fn depth(&self, url: &str) -> Depth {
        Cloud::of(&self.ministack).depth(url).await.expect("the queue service answers")
    }

    /// Takes everything out of a queue.
    async fn take(&self, url: &str) -> Vec<Value> {
        let cloud = Cloud::of(&self.ministack);
        let mut taken = Vec::new();
        loop {
            let all = json!({"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]});
            let received = cloud.sqs("ReceiveMessage", &all).await.expect("the queue service answers");
            let messages = received["Messages"].as_array().cloned().unwrap_or_default();
            if messages.is_empty() {
                return taken;
            }
            for message in messages {
                let receipt = json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]});
                cloud.sqs("DeleteMessage", &receipt).await.expect("the queue service answers");
                taken.push(message);
            }
        }
    }

    /// Takes everything out of a lane's queue: the ids, in order.
    async fn take_ids(&self, url: &str) -> Vec<u64> {
        let bodies = self.take(url).await;
        let mut ids: Vec<u64> = bodies
            .iter()
            .map(|message| {
                let body: Value = message["Body"].as_str().and_then(|body| body.parse().ok()).expect("JSON");
                body["email_id"].as_u64().expect("an id")
            })
            .collect();
        ids.sort_unstable();
        ids
    }

    /// Takes everything out of the dead-letter queue: why each is there, in order.
    async fn take_reasons(&self) -> Vec<String> {
        let letters = self.take(&self.dead).await;
        let mut reasons: Vec<String> = letters.iter().map(|letter| attribute(letter, "reason")).collect();
        reasons.sort();
        reasons
    }
}

/// A message attribute; empty when there is none.
fn attribute(message: &Value, name: &str) -> String {
    message["MessageAttributes"][name]["StringValue"].as_str().unwrap_or_default().to_owned()
}

async fn start(function: Function) -> Environment {
    let environment = RuntimeApi::start().environment(function).await.expect("it starts");
    environment.ready().await.unwrap_or_else(|error| panic!("{error}: {}", environment.log_text()));
    environment
}

/// A message with this body, every property null.
fn message(body: impl AsRef<[u8]>) -> Value {
    let names = [
        "contentType",
        "contentEncoding",
        "headers",
        "deliveryMode",
        "priority",
        "correlationId",
        "replyTo",
        "expiration",
        "messageId",
        "timestamp",
        "type",
        "userId",
        "appId",
        "clusterId",
        "bodySize",
    ];
    let properties: Value = names.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
    json!({"basicProperties": properties, "redelivered": false, "data": STANDARD.encode(body)})
}

/// A body that names an email.
fn doorbell(id: u64) -> String {
    json!({"email_id": id}).to_string()
}

/// An event of one queue, or of several.
fn event(queues: &[(&str, Vec<Value>)]) -> Value {
    let messages: Value =
        queues.iter().map(|(name, messages)| ((*name).to_owned(), json!(messages))).collect();
    json!({
        "eventSource": "aws:rmq",
        "eventSourceArn": "arn:aws:mq:eu-west-1:111122223333:broker:mail:b-1",
        "rmqMessagesByQueue": messages
    })
}

/// An address where nobody answers.
fn nowhere() -> String {
    format!("http://{}", closed_address())
}

/// Asserts that the event has to come again.
async fn comes_again(environment: &Environment, event: &Value) {
    let outcome = environment.invoke(event).await.outcome;
    assert!(matches!(outcome, Outcome::Error { .. }), "{outcome:?}: {}", environment.log_text());
}

/// Asserts that all of the event is done with.
async fn is_done(environment: &Environment, event: &Value) {
    let outcome = environment.invoke(event).await.outcome;
    assert_eq!(outcome, Outcome::Response(Value::Null), "{}", environment.log_text());
}

/// Asserts that the log holds nothing that a person wrote, and no secret.
fn is_discreet(environment: &Environment) {
    let log = environment.log_text();
    for personal in ["marker", "Marker", "customer.example", "shop.example", "receipt", "Dear", "AKID"] {
        assert!(!log.contains(personal), "{personal} in {log}");
    }
}
