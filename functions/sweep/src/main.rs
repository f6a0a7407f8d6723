//! The Lambda function `sweep`: wiring only.

// The SDK's generated futures nest deeper than the compiler's default.
#![recursion_limit = "256"]

use lambda_runtime::{Error, LambdaEvent, service_fn};
use outbox::{
    config::{self, DispatchConfig, ProcessEnvironment, SweepConfig},
    meter::Meter,
    sweep::Sweeper,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start(&ProcessEnvironment)?;
    let SweepConfig { dispatch, rules } =
        SweepConfig::from_variables(&ProcessEnvironment).inspect_err(telemetry::report)?;
    let DispatchConfig { database, mailer, bell, policy } = dispatch;
    let meter = Meter::of(config::stack_name(&ProcessEnvironment));
    let sweeper = &Sweeper::new(database, mailer, bell, policy, rules).metered(meter);
    lambda_runtime::run(service_fn(|event: LambdaEvent<_>| sweep::handle(sweeper, event))).await
}
