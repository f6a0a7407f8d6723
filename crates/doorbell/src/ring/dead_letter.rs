//! The queue for what nobody can read.

use aws_sdk_sqs::{
    Client,
    error::{ProvideErrorMetadata as _, SdkError},
    types::MessageAttributeValue,
};

use super::SqsBell;
use crate::rabbitmq::poison::{DeadLetter, DeadLetters, NotBuried};

/// An SQS queue, or none.
#[derive(Debug, Clone)]
pub struct DeadLetterQueue {
    client: Client,
    queue_url: Option<String>,
}

impl SqsBell {
    /// The queue of this URL, reached as the bell's own are.
    #[must_use]
    pub fn dead_letters(&self, queue_url: Option<String>) -> DeadLetterQueue {
        DeadLetterQueue { client: self.client.clone(), queue_url }
    }
}

impl DeadLetters for DeadLetterQueue {
    async fn put(&self, letter: DeadLetter) -> Result<(), NotBuried> {
        let Some(url) = &self.queue_url else { return Err(NotBuried::NoQueue) };
        let attributes = letter.attributes.into_iter().filter_map(|(name, value)| {
            // Building fails only without a data type.
            let value =
                MessageAttributeValue::builder().data_type("String").string_value(value).build().ok()?;
            Some((name.to_owned(), value))
        });
        let message = self
            .client
            .send_message()
            .queue_url(url)
            .message_body(letter.body)
            .set_message_attributes(Some(attributes.collect()));
        match message.send().await {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(refusal)) => {
                Err(NotBuried::Refused(refusal.err().code().unwrap_or("unknown").to_owned()))
            }
            Err(error) => Err(NotBuried::Unreachable(error.into())),
        }
    }
}
