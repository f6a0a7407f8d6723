//! The Lambda function `dispatch-rabbitmq`: wiring only.

// The SDK's generated futures nest deeper than the compiler's default.
#![recursion_limit = "256"]

use lambda_runtime::{Error, LambdaEvent, service_fn};
use outbox::{
    config::{self, ProcessEnvironment, RabbitmqConfig},
    dispatch::Dispatcher,
    meter::Meter,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start(&ProcessEnvironment)?;
    let RabbitmqConfig { dispatch, dead_letters } =
        RabbitmqConfig::from_variables(&ProcessEnvironment).inspect_err(telemetry::report)?;
    let meter = Meter::of(config::stack_name(&ProcessEnvironment));
    let dispatcher =
        &Dispatcher::new(dispatch.database, dispatch.mailer, dispatch.bell, dispatch.policy).metered(meter);
    let letters = &dead_letters;
    let handle = |event: LambdaEvent<_>| dispatch_rabbitmq::handle(dispatcher, letters, event);
    lambda_runtime::run(service_fn(handle)).await
}
