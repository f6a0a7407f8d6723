//! The Lambda function `relay-rabbitmq`: wiring only.

// The SDK's generated futures nest deeper than the compiler's default.
#![recursion_limit = "256"]

use doorbell::{
    config::{ProcessEnvironment, RelayConfig},
    telemetry,
};
use lambda_runtime::{Error, LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start(&ProcessEnvironment)?;
    let config = RelayConfig::from_variables(&ProcessEnvironment).inspect_err(telemetry::report)?;
    let RelayConfig { bell, dead_letters } = &config;
    lambda_runtime::run(service_fn(|event: LambdaEvent<_>| relay_rabbitmq::handle(bell, dead_letters, event)))
        .await
}
