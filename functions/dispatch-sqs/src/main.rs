//! The Lambda function `dispatch-sqs`: wiring only.

// The SDK's generated futures nest deeper than the compiler's default.
#![recursion_limit = "256"]

use lambda_runtime::{Error, LambdaEvent, service_fn};
use outbox::{
    config::{self, DispatchConfig, ProcessEnvironment},
    dispatch::Dispatcher,
    meter::Meter,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start(&ProcessEnvironment)?;
    let config = DispatchConfig::from_variables(&ProcessEnvironment).inspect_err(telemetry::report)?;
    let meter = Meter::of(config::stack_name(&ProcessEnvironment));
    let dispatcher =
        &Dispatcher::new(config.database, config.mailer, config.bell, config.policy).metered(meter);
    lambda_runtime::run(service_fn(|event: LambdaEvent<_>| dispatch_sqs::handle(dispatcher, event))).await
}
