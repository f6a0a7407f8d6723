//! SQS event in, emails out.
//!
//! The answer is a partial batch response: an item that is listed in it comes again and ends in the dead-letter queue,
//! everything else is deleted. `Err` would mean that **every** item comes again; it is never returned but for a record
//! that has no id to be reported under.

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use doorbell::{Bell, sqs};
use fastrand::Rng;
use lambda_runtime::{Error, LambdaEvent};
use outbox::{
    deadline,
    dispatch::{Answer, Dispatcher, Doorbell},
    mailer::Mailer,
};

/// Handles one event.
///
/// # Errors
///
/// When a record that must come again has no `messageId`: then the whole batch has to.
pub async fn handle<M, B>(
    dispatcher: &Dispatcher<M, B>,
    event: LambdaEvent<SqsEvent>,
) -> Result<SqsBatchResponse, Error>
where
    M: Mailer + Send + Sync + 'static,
    M::Prepared: Send + 'static,
    B: Bell,
{
    let deadline = deadline::of_invocation(event.context.deadline);
    let records = sqs::records(event.payload);
    let doorbells: Vec<Doorbell> = records
        .iter()
        .map(|record| Doorbell {
            email_id: record.email_id,
            lane: dispatcher.bell().lane_of_queue(&record.queue),
            tries: record.tries,
            group: record.group.clone(),
            trace: record.trace.clone(),
        })
        .collect();
    let answers = dispatcher.dispatch(&doorbells, deadline, &mut Rng::new()).await;
    let mut response = SqsBatchResponse::default();
    for (record, answer) in records.into_iter().zip(answers) {
        if answer == Answer::Again {
            if record.message_id.is_empty() {
                return Err("a record without messageId must come again".into());
            }
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = record.message_id;
            response.batch_item_failures.push(failure);
        }
    }
    Ok(response)
}
