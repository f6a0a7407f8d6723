//! `sendonce`, what operators type: wiring only.
//!
//! A command reads the same variables as the functions, opens one short connection, does one thing, and says what it
//! did: to people, or with `--json` to programs. It needs no credentials of AWS. What is to be sent is left to the
//! functions: an email that is put back to `pending` is rung for by the next sweep.

mod arguments;
mod command;
mod failure;
mod output;
mod session;
mod when;

use std::process::ExitCode;

use outbox::config::ProcessEnvironment;

fn main() -> ExitCode {
    let arguments = match arguments::read() {
        Ok(arguments) => arguments,
        Err((error, as_json)) => return output::not_understood(&error, as_json),
    };
    let json = arguments.json;
    let done = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let done = runtime.block_on(command::run(arguments, &ProcessEnvironment));
            // Somebody may still be asked something: an interrupted command does not wait for the answer.
            runtime.shutdown_background();
            done
        }
        Err(error) => Err(failure::Failure::system(&error)),
    };
    output::print(done, json)
}
