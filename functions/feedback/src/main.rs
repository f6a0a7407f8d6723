//! The Lambda function `feedback`: wiring only.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use outbox::{
    config::{FeedbackConfig, ProcessEnvironment},
    feedback::Feedback,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start(&ProcessEnvironment)?;
    let config = FeedbackConfig::from_variables(&ProcessEnvironment).inspect_err(telemetry::report)?;
    let feedback = &Feedback::new(config.database, config.configuration_set);
    lambda_runtime::run(service_fn(|event: LambdaEvent<_>| feedback::handle(feedback, event))).await
}
