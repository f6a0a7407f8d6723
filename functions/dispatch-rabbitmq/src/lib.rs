//! RabbitMQ event in, emails out.
//!
//! There is no partial response. `Ok` deletes every message of the event: all that matters is durable, or rings through
//! SQS. `Err` makes the **whole** event come again, which does no harm, since what was done shows in the rows. It is
//! returned only while something could not be recorded and there is no queue to ring it through: the database is away,
//! say. The broker keeps the messages meanwhile.
//!
//! What nobody can read never makes an event come again: see [`poison`].

use std::time::Duration;

use doorbell::{
    Bell, Ring,
    rabbitmq::{self, RabbitmqEvent, poison, relay},
};
use fastrand::Rng;
use lambda_runtime::{Error, LambdaEvent};
use outbox::{
    deadline,
    dispatch::{Answer, Dispatcher, Doorbell},
    mailer::Mailer,
};

/// What could not be dealt with rings again within this, evenly spread.
const SOON_MS: u64 = 30_000;

/// Handles one event.
///
/// # Errors
///
/// When something has to come again and cannot ring through SQS. Then nothing is put aside either, since the unreadable
/// comes again with the rest.
pub async fn handle<M, B, D>(
    dispatcher: &Dispatcher<M, B>,
    dead_letters: &D,
    event: LambdaEvent<RabbitmqEvent>,
) -> Result<(), Error>
where
    M: Mailer + Send + Sync + 'static,
    M::Prepared: Send + 'static,
    B: Bell + Sync,
    D: poison::DeadLetters,
{
    let deadline = deadline::of_invocation(event.context.deadline);
    let deliveries = rabbitmq::deliveries(event.payload);
    let doorbells: Vec<Doorbell> = deliveries
        .iter()
        .filter_map(|delivery| {
            let email_id = *delivery.email_id.as_ref().ok()?;
            let trace = delivery.trace.clone();
            Some(Doorbell { email_id: Ok(email_id), lane: delivery.lane, tries: 0, group: None, trace })
        })
        .collect();
    let mut dice = Rng::new();
    let answers = dispatcher.dispatch(&doorbells, deadline, &mut dice).await;
    let again = doorbells.iter().zip(answers).filter(|(_, answer)| *answer == Answer::Again);
    let rings = again.filter_map(|(doorbell, _)| {
        let delay = Duration::from_millis(dice.u64(1_000..=SOON_MS));
        let (email_id, trace) = (doorbell.email_id.ok()?, doorbell.trace.clone());
        Some(Ring { email_id, lane: doorbell.lane, delay, tries: doorbell.tries, trace })
    });
    let rings: Vec<Ring> = rings.collect();
    relay::hand_on(dispatcher.bell(), rings, deadline, &mut dice).await?;
    poison::bury(dead_letters, &deliveries, deadline).await;
    Ok(())
}
