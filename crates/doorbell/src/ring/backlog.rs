//! A queue of SQS that is gone through by hand.

use std::{error::Error, time::Duration};

use aws_sdk_sqs::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::Blob,
    types::{Message, MessageAttributeValue, MessageSystemAttributeName},
};

use super::{ENTRIES, SqsBell, system_attributes};
use crate::{
    backlog::{Attribute, Backlog, BacklogError, Taken, Value},
    trace::{TRACEPARENT, TRACESTATE, Trace},
};

/// SQS asks all of its servers only when it may wait; otherwise an empty answer says little.
const WAIT_S: i32 = 1;

/// A queue of SQS.
#[derive(Debug, Clone)]
pub struct SqsBacklog {
    client: Client,
    queue_url: String,
    hidden_s: i32,
}

impl SqsBell {
    /// The queue of this URL, reached as the bell's own are. What is taken from it is hidden for so long.
    #[must_use]
    pub fn backlog(&self, queue_url: String, hidden: Duration) -> SqsBacklog {
        let hidden_s = i32::try_from(hidden.as_secs()).unwrap_or(i32::MAX);
        SqsBacklog { client: self.client.clone(), queue_url, hidden_s }
    }
}

impl Backlog for SqsBacklog {
    async fn take(&self) -> Result<Vec<Taken>, BacklogError> {
        let call = self
            .client
            .receive_message()
            .queue_url(&self.queue_url)
            .max_number_of_messages(i32::try_from(ENTRIES).unwrap_or(1))
            .visibility_timeout(self.hidden_s)
            .wait_time_seconds(WAIT_S)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId)
            .message_system_attribute_names(MessageSystemAttributeName::AwsTraceHeader);
        let received = call.send().await.map_err(|error| failed("hand out messages", error))?;
        Ok(received.messages.unwrap_or_default().into_iter().map(taken).collect())
    }

    async fn remove(&self, taken: &Taken) -> Result<(), BacklogError> {
        let call = self.client.delete_message().queue_url(&self.queue_url).receipt_handle(&taken.receipt);
        call.send().await.map(drop).map_err(|error| failed("remove a message", error))
    }

    async fn give_back(&self, taken: &Taken) -> Result<(), BacklogError> {
        let call = self.client.change_message_visibility().queue_url(&self.queue_url);
        let call = call.receipt_handle(&taken.receipt).visibility_timeout(0);
        call.send().await.map(drop).map_err(|error| failed("show a message again", error))
    }

    async fn copy_to(&self, queue_url: &str, taken: &Taken) -> Result<(), BacklogError> {
        let attributes = taken.attributes.iter().filter_map(|attribute| {
            let value = MessageAttributeValue::builder().data_type(&attribute.kind);
            let value = match &attribute.value {
                Value::Text(text) => value.string_value(text),
                Value::Bytes(bytes) => value.binary_value(Blob::new(bytes.clone())),
            };
            // Building fails only without a data type.
            Some((attribute.name.clone(), value.build().ok()?))
        });
        let call = self
            .client
            .send_message()
            .queue_url(queue_url)
            .message_body(&taken.body)
            .set_message_group_id(taken.group.clone())
            .set_message_attributes(Some(attributes.collect()))
            .set_message_system_attributes(system_attributes(taken.trace.as_deref()));
        call.send().await.map(drop).map_err(|error| failed("take a message", error))
    }
}

fn taken(message: Message) -> Taken {
    let system = message.attributes.unwrap_or_default();
    let group = system.get(&MessageSystemAttributeName::MessageGroupId).cloned();
    let xray = system.get(&MessageSystemAttributeName::AwsTraceHeader).map(String::as_str);
    let attributes = message.message_attributes.unwrap_or_default();
    let text = |name| attributes.get(name).and_then(|value| value.string_value.as_deref());
    let trace = Trace::read(text(TRACEPARENT), text(TRACESTATE), xray);
    let attributes = attributes.into_iter().filter_map(|(name, value)| {
        let kind = value.data_type;
        let value = match (value.string_value, value.binary_value) {
            (Some(text), _) => Value::Text(text),
            (None, Some(bytes)) => Value::Bytes(bytes.into_inner()),
            (None, None) => return None,
        };
        Some(Attribute { name, kind, value })
    });
    Taken {
        id: message.message_id.unwrap_or_default(),
        receipt: message.receipt_handle.unwrap_or_default(),
        body: message.body.unwrap_or_default(),
        attributes: attributes.collect(),
        group,
        trace,
    }
}

/// What a service says of a refusal may quote the message, so only its code is told.
fn failed<E, R>(what: &'static str, error: SdkError<E, R>) -> BacklogError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let source = match error {
        SdkError::ServiceError(refusal) => refusal.err().code().unwrap_or("refused").to_owned().into(),
        error => error.into(),
    };
    BacklogError { what, source }
}
