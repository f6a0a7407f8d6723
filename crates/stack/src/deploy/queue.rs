//! What a producer and an onlooker do with queues.

use serde_json::{Value, json};

use super::{Cloud, DeployError};

/// What is known of a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that wait to be received.
    pub visible: u64,
    /// Messages that somebody received and has not deleted.
    pub in_flight: u64,
    /// Messages whose delay is not over.
    pub delayed: u64,
}

impl Depth {
    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl Cloud {
    /// Puts a message on a queue: rings a doorbell.
    ///
    /// # Errors
    ///
    /// [`DeployError::Unreachable`] or [`DeployError::Refused`].
    pub async fn send_message(&self, queue_url: &str, body: &str) -> Result<(), DeployError> {
        let message = json!({ "QueueUrl": queue_url, "MessageBody": body });
        self.json("AmazonSQS.SendMessage", &message).await.map(drop)
    }

    /// How many messages a queue holds.
    ///
    /// # Errors
    ///
    /// [`DeployError`]; [`DeployError::Answer`] when a count is missing.
    pub async fn depth(&self, queue_url: &str) -> Result<Depth, DeployError> {
        let question = json!({ "QueueUrl": queue_url, "AttributeNames": ["All"] });
        let answer = self.json("AmazonSQS.GetQueueAttributes", &question).await?;
        let found = answer.json()?;
        let count = |suffix: &str| {
            let name = format!("ApproximateNumberOfMessages{suffix}");
            let count = found["Attributes"][&name].as_str().and_then(|count| count.parse().ok());
            count.ok_or_else(|| answer.lacks(&name))
        };
        Ok(Depth { visible: count("")?, in_flight: count("NotVisible")?, delayed: count("Delayed")? })
    }

    /// Sets how long a message that was received stays invisible.
    ///
    /// # Errors
    ///
    /// [`DeployError::Unreachable`] or [`DeployError::Refused`].
    pub async fn set_visibility_timeout(&self, queue_url: &str, seconds: u32) -> Result<(), DeployError> {
        let change =
            json!({ "QueueUrl": queue_url, "Attributes": { "VisibilityTimeout": seconds.to_string() } });
        self.json("AmazonSQS.SetQueueAttributes", &change).await.map(drop)
    }

    /// The bodies of up to ten messages of a queue, which stay in it.
    ///
    /// # Errors
    ///
    /// [`DeployError`].
    pub async fn peek(&self, queue_url: &str) -> Result<Vec<String>, DeployError> {
        let question = json!({ "QueueUrl": queue_url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 0 });
        let found = self.json("AmazonSQS.ReceiveMessage", &question).await?.json()?;
        let bodies = found["Messages"].as_array().into_iter().flatten();
        Ok(bodies.filter_map(|message| message["Body"].as_str().map(str::to_owned)).collect())
    }

    /// Any action of SQS, `CreateQueue` for one, with its parameters, and the answer to it.
    ///
    /// # Errors
    ///
    /// [`DeployError::Unreachable`], [`DeployError::Refused`], or [`DeployError::Answer`] when it is not JSON.
    pub async fn sqs(&self, action: &str, parameters: &Value) -> Result<Value, DeployError> {
        self.json(&format!("AmazonSQS.{action}"), parameters).await?.json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ministack::{Ministack, Options};

    #[tokio::test]
    async fn a_message_is_counted_and_can_be_looked_at() {
        let ministack = Ministack::start(Options::default()).await.unwrap();
        let cloud = Cloud::of(&ministack);
        let created = cloud.json("AmazonSQS.CreateQueue", &json!({ "QueueName": "q" })).await.unwrap();
        let url = created.json().unwrap()["QueueUrl"].as_str().unwrap().to_owned();
        assert!(cloud.depth(&url).await.unwrap().is_empty());
        cloud.send_message(&url, "41 & <x>").await.unwrap();
        assert_eq!(cloud.peek(&url).await.unwrap(), ["41 & <x>"]);
        assert_eq!(cloud.depth(&url).await.unwrap(), Depth { visible: 1, ..Depth::default() });
        assert!(cloud.log("never-ran").await.unwrap().is_empty());
    }
}
