//! The Lambda function `sweep`: wiring only.

// The SDK's generated futures nest deeper than the compiler's default.
#![recursion_limit = "256"]

use lambda_runtime::{Error, LambdaEvent, service_fn};
use outbox::{
    config::{ProcessEnvironment, SweepConfig},
    dispatch::Dispatcher,
    sweep::Sweeper,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start(&ProcessEnvironment)?;
    let SweepConfig { dispatch, rules } =
        SweepConfig::from_variables(&ProcessEnvironment).inspect_err(telemetry::report)?;
    let database = dispatch.database.clone();
    let dispatcher = Dispatcher::new(dispatch.database, dispatch.mailer, dispatch.bell, dispatch.policy);
    let sweeper = &Sweeper::new(database, dispatcher, rules);
    lambda_runtime::run(service_fn(|event: LambdaEvent<_>| sweep::handle(sweeper, event))).await
}
