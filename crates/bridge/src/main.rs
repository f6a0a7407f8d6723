//! The daemon `sendonce-bridge`: wiring only.

// The SDK's generated futures nest deeper than the compiler's default.
#![recursion_limit = "256"]

use std::process::ExitCode;

use bridge::arguments;
use doorbell::{config::ProcessEnvironment, telemetry};

fn main() -> ExitCode {
    let command = match arguments::read() {
        Ok(command) => command,
        Err(code) => return code,
    };
    if telemetry::start(&ProcessEnvironment).is_err() {
        return ExitCode::from(2);
    }
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(bridge::start(command, &ProcessEnvironment));
            // Somebody may still be asked something: who was told to stop does not wait for the answer.
            runtime.shutdown_background();
            code
        }
        Err(_) => ExitCode::FAILURE,
    }
}
