//! A schedule in, a report out.
//!
//! Whatever the event is, it runs the sweep; one that says `{"dry_run": true}`, itself or in its `detail`, makes it only
//! report. `Err` means that the database could not be reached or refused to work: what was done until then stays done, and
//! the next minute's run goes on from there, so nothing has to be repeated.

use doorbell::Bell;
use fastrand::Rng;
use lambda_runtime::{Error, LambdaEvent};
use outbox::{
    deadline,
    mailer::Mailer,
    sweep::{Report, Sweeper},
};
use serde_json::Value;

/// Handles one event.
///
/// # Errors
///
/// When the database failed.
pub async fn handle<M, B>(sweeper: &Sweeper<M, B>, event: LambdaEvent<Value>) -> Result<Report, Error>
where
    M: Mailer + Send + Sync + 'static,
    M::Prepared: Send + 'static,
    B: Bell + Sync,
{
    let deadline = deadline::of_invocation(event.context.deadline);
    let report = if is_dry_run(&event.payload) {
        sweeper.dry_run(deadline).await
    } else {
        sweeper.sweep(deadline, &mut Rng::new()).await
    };
    Ok(report?)
}

fn is_dry_run(event: &Value) -> bool {
    [event, &event["detail"]].into_iter().any(|place| place["dry_run"] == true)
}
