//! The queue, and an event source mapping that can be stepped.
//!
//! SQS is real (ministack's). What AWS polls by itself is done here one message at a time, since a test must be able to
//! stop between the response and the deletion. Two things are not waited for. A message in flight comes back when the
//! test says that time has passed. And a message sent with a delay cannot be received before its time: when time has
//! passed it is purged and sent again without one, which the function cannot tell from the original but for its count
//! of tries.

use serde_json::{Value, json};
use stack::{deploy::Cloud, ministack::Ministack};

use crate::Failure;

/// Longer than any run: no message comes back by itself.
const VISIBILITY_S: u32 = 40_000;

/// One worker's queue.
#[derive(Debug)]
pub(crate) struct Queue {
    cloud: Cloud,
    pub(crate) url: String,
}

/// A message that was received and neither deleted nor given back.
#[derive(Debug)]
pub(crate) struct Message {
    receipt: String,
    record: Value,
}

impl Message {
    fn id(&self) -> &str {
        self.record["messageId"].as_str().unwrap_or_default()
    }

    /// Whether the response of an invocation lists it as failed.
    pub(crate) fn failed(&self, response: &Value) -> bool {
        let failures = response["batchItemFailures"].as_array();
        failures.is_some_and(|failures| failures.iter().any(|item| item["itemIdentifier"] == self.id()))
    }
}

/// The event with these messages.
pub(crate) fn event(messages: &[Message]) -> Value {
    let records: Vec<_> = messages.iter().map(|message| &message.record).collect();
    json!({ "Records": records })
}

impl Queue {
    pub(crate) async fn create(ministack: &Ministack, name: &str) -> Result<Self, Failure> {
        let cloud = Cloud::of(ministack);
        let made = cloud
            .sqs(
                "CreateQueue",
                &json!({ "QueueName": name, "Attributes": { "VisibilityTimeout": VISIBILITY_S.to_string() } }),
            )
            .await?;
        let url = made["QueueUrl"].as_str().ok_or("ministack made a queue without a URL")?.to_owned();
        Ok(Self { cloud, url })
    }

    /// Rings once for each id.
    pub(crate) async fn ring(&self, ids: &[u64]) -> Result<(), Failure> {
        for ten in ids.chunks(10) {
            let entries: Vec<_> = ten
                .iter()
                .enumerate()
                .map(|(at, id)| json!({ "Id": at.to_string(), "MessageBody": format!(r#"{{"email_id":{id}}}"#) }))
                .collect();
            self.ask("SendMessageBatch", json!({ "Entries": entries })).await?;
        }
        Ok(())
    }

    /// Up to so many of the messages that can be received now.
    pub(crate) async fn receive(&self, most: usize) -> Result<Vec<Message>, Failure> {
        let question = json!({
            "MaxNumberOfMessages": most, "WaitTimeSeconds": 0,
            "AttributeNames": ["All"], "MessageAttributeNames": ["All"],
        });
        let found = self.ask("ReceiveMessage", question).await?;
        let messages = found["Messages"].as_array().into_iter().flatten();
        Ok(messages.map(message).collect())
    }

    pub(crate) async fn delete(&self, message: &Message) -> Result<(), Failure> {
        self.ask("DeleteMessage", json!({ "ReceiptHandle": message.receipt })).await.map(drop)
    }

    /// Its time in flight is over.
    pub(crate) async fn give_back(&self, message: &Message) -> Result<(), Failure> {
        let question = json!({ "ReceiptHandle": message.receipt, "VisibilityTimeout": 0 });
        self.ask("ChangeMessageVisibility", question).await.map(drop)
    }

    pub(crate) async fn purge(&self) -> Result<(), Failure> {
        self.ask("PurgeQueue", json!({})).await.map(drop)
    }

    /// Messages that can be received now, and messages whose delay is not over.
    pub(crate) async fn depth(&self) -> Result<(usize, usize), Failure> {
        let depth = self.cloud.depth(&self.url).await?;
        Ok((usize::try_from(depth.visible)?, usize::try_from(depth.delayed)?))
    }

    async fn ask(&self, action: &str, mut question: Value) -> Result<Value, Failure> {
        question["QueueUrl"] = json!(self.url);
        Ok(self.cloud.sqs(action, &question).await?)
    }
}

/// A message in the form in which Lambda hands it over.
fn message(received: &Value) -> Message {
    let attributes = received["MessageAttributes"].as_object().into_iter().flatten();
    let attributes: serde_json::Map<_, _> = attributes
        .map(|(name, value)| {
            let value = json!({
                "stringValue": value["StringValue"], "dataType": value["DataType"],
                "stringListValues": [], "binaryListValues": [],
            });
            (name.clone(), value)
        })
        .collect();
    Message {
        receipt: received["ReceiptHandle"].as_str().unwrap_or_default().to_owned(),
        record: json!({
            "messageId": received["MessageId"],
            "receiptHandle": received["ReceiptHandle"],
            "body": received["Body"],
            "attributes": received["Attributes"],
            "messageAttributes": attributes,
            "md5OfBody": received["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-west-1:000000000000:urgent",
            "awsRegion": "eu-west-1",
        }),
    }
}
