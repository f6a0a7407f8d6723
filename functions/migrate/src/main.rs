//! The Lambda function `migrate`: wiring only.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use outbox::{
    config::{MigrateConfig, ProcessEnvironment},
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // What is wrong with the level of the log is in the log. It is no reason to leave CloudFormation without an answer.
    let _ = telemetry::start(&ProcessEnvironment);
    let config = MigrateConfig::from_variables(&ProcessEnvironment).inspect_err(telemetry::report)?;
    if let Err(error) = &config.database {
        telemetry::report(error);
    }
    let config = &config;
    lambda_runtime::run(service_fn(|event: LambdaEvent<_>| migrate::handle(config, event))).await
}
