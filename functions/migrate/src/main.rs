//! The Lambda function `migrate`: wiring only.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use outbox::{
    config::{MigrateConfig, ProcessEnvironment},
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start(&ProcessEnvironment)?;
    let config = MigrateConfig::from_variables(&ProcessEnvironment).inspect_err(telemetry::report)?;
    if let Err(error) = &config.database {
        telemetry::report(error);
    }
    let config = &config;
    lambda_runtime::run(service_fn(|event: LambdaEvent<_>| migrate::handle(config, event))).await
}
