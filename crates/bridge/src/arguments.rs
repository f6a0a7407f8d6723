//! The words of the command line. Everything else is a variable, so that no password stands in a list of processes.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const VARIABLES: &str = "\
Variables (docs/BRIDGE.md says more):
  BROKER_URL         amqp://user:password@host[:port]/vhost, or amqps://…      (required)
  BROKER_CA_FILE     PEM: whom to trust for amqps, instead of the public authorities
  QUEUES             names of the queues, separated by commas                   (required)
  FUNCTION_NAME      name or ARN of the Lambda function                         (required)
  AWS_REGION         unless FUNCTION_NAME is an ARN; credentials as every AWS SDK finds them
  BATCH_SIZE         messages in one event, at most (100)
  BATCH_WINDOW_MS    how long a batch waits for more; 0: while more is ready (0)
  INVOCATIONS        under way at once, for each queue (2)
  PREFETCH           unacknowledged messages, for each queue (BATCH_SIZE × (INVOCATIONS + 1))
  INVOKE_TIMEOUT_S   bound of one invocation; more than the function's own (90)
  MAX_TRIES          how often a message may fail (20)
  RETRY_DELAYS_S     after the first failure, the second, …; the last one for all others (1,5,30,120,600)
  RETRY_QUEUE_TYPE   quorum or classic, for the queues that the bridge declares (quorum)
  DECLARE            yes or no: no checks them only (yes)
  STOP_TIMEOUT_S     how long a stop waits for what is under way (90)
  HEALTH_ADDRESS     address and port of GET /health, such as 127.0.0.1:8095 (none)
  PROGRESS_S         seconds between two lines of progress; 0: none (60)
  LOG_LEVEL          error, warn, info, debug or trace (info)";

/// Consumes from RabbitMQ, invokes a Lambda function with what it got, and acknowledges what the function handled.
#[derive(Debug, Parser)]
#[command(name = "sendonce-bridge", after_help = VARIABLES)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve the queues until told to stop (this is what happens without a command)
    Run,
    /// Look at the configuration, the broker, the queues and the function, and say what is wrong
    Check,
}

/// Reads the command line.
///
/// # Errors
///
/// What the process ends with, after help was printed or a complaint.
pub fn read() -> Result<Command, ExitCode> {
    match Arguments::try_parse() {
        Ok(arguments) => Ok(arguments.command.unwrap_or(Command::Run)),
        Err(error) => {
            // Nobody is left to complain to when even this cannot be printed.
            let _ = error.print();
            Err(if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS })
        }
    }
}
