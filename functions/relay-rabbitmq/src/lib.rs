//! RabbitMQ event in, SQS doorbells out.
//!
//! Lambda runs one environment a RabbitMQ mapping, and repeats a failed event as a whole; SQS scales, retries each
//! message by itself and has a dead-letter queue. So this hands every doorbell on to the queue of its lane, and
//! `dispatch-sqs` does the rest. It has no way to reach a database.
//!
//! `Ok` deletes every message of the event: the queues have all of them. `Err` makes the **whole** event come again: a
//! queue did not take everything. What it took rings twice then, which does no harm. What nobody can read never makes an
//! event come again: see [`poison`].

use std::time::Duration;

use doorbell::{
    Bell, Ring, deadline,
    rabbitmq::{self, RabbitmqEvent, poison, relay},
};
use fastrand::Rng;
use lambda_runtime::{Error, LambdaEvent};

/// Handles one event.
///
/// # Errors
///
/// When some doorbell was not taken, however often it was offered. Then nothing is put aside either, since the unreadable
/// comes again with the rest.
pub async fn handle<B, D>(bell: &B, dead_letters: &D, event: LambdaEvent<RabbitmqEvent>) -> Result<(), Error>
where
    B: Bell + Sync,
    D: poison::DeadLetters,
{
    let deadline = deadline::of_invocation(event.context.deadline);
    let deliveries = rabbitmq::deliveries(event.payload);
    let rings = deliveries.iter().filter_map(|delivery| {
        let email_id = *delivery.email_id.as_ref().ok()?;
        let trace = delivery.trace.clone();
        Some(Ring { email_id, lane: delivery.lane, delay: Duration::ZERO, tries: 0, trace })
    });
    relay::hand_on(bell, rings.collect(), deadline, &mut Rng::new()).await?;
    poison::bury(dead_letters, &deliveries, deadline).await;
    Ok(())
}
