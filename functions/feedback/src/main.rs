//! The Lambda function `feedback`: wiring only.

// The SDK's generated futures nest deeper than the compiler's default.
#![recursion_limit = "256"]

use lambda_runtime::{Error, LambdaEvent, service_fn};
use outbox::{
    config::{self, FeedbackConfig, ProcessEnvironment},
    feedback::Feedback,
    meter::Meter,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start(&ProcessEnvironment)?;
    let config = FeedbackConfig::from_variables(&ProcessEnvironment).inspect_err(telemetry::report)?;
    let meter = Meter::of(config::stack_name(&ProcessEnvironment));
    let feedback = &Feedback::new(config.database, config.configuration_set).metered(meter);
    lambda_runtime::run(service_fn(|event: LambdaEvent<_>| feedback::handle(feedback, event))).await
}
