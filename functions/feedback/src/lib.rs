//! SES's events in, by whatever route: states and history out.
//!
//! From a queue, the answer is a partial batch response: an item that is listed in it comes again and ends in the
//! dead-letter queue, everything else is deleted. Straight from EventBridge or SNS the answer is null; `Err` then means
//! that Lambda tries the event again, twice, and hands it to the function's failure destination. So a queue is the better
//! route: it keeps events for as long as the database may be away.

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse};
use fastrand::Rng;
use lambda_runtime::{Error, LambdaEvent};
use outbox::{
    deadline,
    feedback::{Answer, Feedback, envelope},
};
use serde_json::Value;

/// Handles one event. `None`: there is no queue to answer.
///
/// # Errors
///
/// When what did not come from a queue must come again, or a queue's record that must has no `messageId`: then all of
/// it has to, which does no harm.
pub async fn handle(
    feedback: &Feedback,
    event: LambdaEvent<Value>,
) -> Result<Option<SqsBatchResponse>, Error> {
    let deadline = deadline::of_invocation(event.context.deadline);
    let arrived = envelope::open(event.payload);
    let names: Vec<String> = arrived.deliveries.iter().map(|delivery| delivery.message_id.clone()).collect();
    let answers = feedback.take(arrived.deliveries, deadline, &mut Rng::new()).await;
    let mut response = SqsBatchResponse::default();
    for (name, _) in names.into_iter().zip(answers).filter(|(_, answer)| *answer == Answer::Again) {
        if name.is_empty() {
            return Err("what has no messageId must come again".into());
        }
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = name;
        response.batch_item_failures.push(failure);
    }
    Ok(arrived.through_queue.then_some(response))
}
