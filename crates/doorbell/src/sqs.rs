//! Doorbells in an SQS event.
//!
//! Bodies are read here, one by one, and never by a typed event: that would make one bad body fail the whole batch.

use std::sync::Arc;

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};

use crate::{
    body::{self, UnreadableBody},
    trace::{AWS_TRACE_HEADER, TRACEPARENT, TRACESTATE, Trace},
};

/// The message attribute that counts how often a doorbell was rung in vain.
pub const TRIES: &str = "tries";

/// One record of an SQS event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The receipt under which a failure is reported. Empty when SQS gave none, which it never does.
    pub message_id: String,
    /// The email it rings for.
    pub email_id: Result<u64, UnreadableBody>,
    /// The name of the queue that it came through.
    pub queue: String,
    /// How often it was rung in vain.
    pub tries: u32,
    /// The message group of a FIFO queue: records of one group keep their order.
    pub group: Option<String>,
    /// The trace that it belongs to.
    pub trace: Option<Arc<Trace>>,
}

/// The records of an event, in order.
#[must_use]
pub fn records(event: SqsEvent) -> Vec<Record> {
    event.records.into_iter().map(record).collect()
}

fn record(message: SqsMessage) -> Record {
    let attribute = |name| message.message_attributes.get(name)?.string_value.as_deref();
    let tries = attribute(TRIES).and_then(|count| count.parse().ok()).unwrap_or(0);
    let xray = message.attributes.get(AWS_TRACE_HEADER).map(String::as_str);
    let trace = Trace::read(attribute(TRACEPARENT), attribute(TRACESTATE), xray);
    let arn = message.event_source_arn.unwrap_or_default();
    let queue = arn.rsplit(':').next().unwrap_or_default().to_owned();
    let fifo = queue.ends_with(".fifo");
    Record {
        message_id: message.message_id.unwrap_or_default(),
        email_id: body::parse(message.body.unwrap_or_default().as_bytes()),
        queue,
        tries,
        // A standard queue has groups too (fair queues), but no order to keep.
        group: message.attributes.get("MessageGroupId").filter(|_| fifo).cloned(),
        trace,
    }
}
