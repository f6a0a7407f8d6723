//! A daemon from any RabbitMQ to a Lambda function.
//!
//! Lambda's own mapping serves Amazon MQ only. This consumes from queues of any RabbitMQ from 3.10 on, invokes a function
//! with the event that the mapping would have made, and acknowledges the messages when the function has handled them. A
//! message whose event failed waits in a retry queue, longer each time, and ends in a queue of the dead after a limit
//! ([`topology`]). While the function itself cannot be reached, nothing is counted and nothing moves ([`function`]).
//!
//! A message is at any time unacknowledged here, or confirmed elsewhere: nothing is lost whatever dies when, and anything
//! may come twice. The bridge has no way to reach a database, and looks into no body.

pub mod arguments;
pub mod batch;
pub mod broker;
mod check;
pub mod config;
pub mod event;
pub mod function;
mod health;
pub mod letter;
mod patience;
mod queue;
pub mod status;
pub mod stop;
pub mod topology;

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use doorbell::{config::Variables, telemetry};
use fastrand::Rng;
use futures_util::future::join_all;
use tokio::net::TcpListener;

use self::{
    arguments::Command, broker::Session, config::BridgeConfig, function::Function, patience::Patience,
    queue::Worker, status::Status, stop::Stop,
};

/// What a wrong configuration ends with.
const MISCONFIGURED: u8 = 2;

/// What ends a session.
const LOST: &str = "the connection was lost; connecting again";

/// What a broker is that delivers and takes nothing.
const BLOCKED: &str =
    "it takes no messages, since it is short of memory or disk: what fails cannot be put aside";

/// Does what the command says.
pub async fn start(command: Command, variables: &(impl Variables + ?Sized)) -> ExitCode {
    let config = match BridgeConfig::from_variables(variables) {
        Ok(config) => config,
        Err(error) => {
            telemetry::report(&error);
            return ExitCode::from(MISCONFIGURED);
        }
    };
    match command {
        Command::Check => check::run(&config).await,
        Command::Run => run(&config).await,
    }
}

/// Serves the queues until told to stop.
async fn run(config: &BridgeConfig) -> ExitCode {
    let Ok(stop) = Stop::on_signals() else {
        tracing::error!(error.kind = "signals", "signals cannot be listened to");
        return ExitCode::FAILURE;
    };
    let status = Arc::new(Status::of(&config.queues));
    if let Some(address) = config.health {
        match TcpListener::bind(address).await {
            Ok(listener) => drop(tokio::spawn(health::serve(listener, Arc::clone(&status)))),
            Err(error) => {
                let problem = format!("HEALTH_ADDRESS cannot be had: {error}");
                tracing::error!(error.kind = "configuration", problem, "configuration.invalid");
                return ExitCode::from(MISCONFIGURED);
            }
        }
    }
    if let Some(interval) = config.progress {
        tokio::spawn(report(Arc::clone(&status), interval));
    }
    let function = Function::new(&config.function).await;
    tracing::info!(queues = config.queues.join(","), function = function.name(), "started");
    let too_long = async {
        stop.said().await;
        status.is_stopping();
        tokio::time::sleep(config.stop_timeout).await;
        // Told here: once this is over, nothing is in flight any more.
        let counts = status.counts();
        tracing::warn!(in_flight = counts.in_flight, "not all was over in time; it comes again");
        counts
    };
    let counts = tokio::select! {
        () = serve(config, &function, &status, &stop) => status.counts(),
        counts = too_long => counts,
    };
    status::report(counts, status::Counts::default(), f64::INFINITY);
    tracing::info!("stopped");
    ExitCode::SUCCESS
}

/// Keeps a session with the broker, until told to stop.
async fn serve(config: &BridgeConfig, function: &Function, status: &Status, stop: &Stop) {
    let (host, vhost) = (config.broker.host(), &config.broker.uri.vhost);
    let mut patience = Patience::new(Rng::new());
    while !stop.was_said() {
        let opened = tokio::select! {
            opened = Session::open(&config.broker) => opened,
            () = stop.said() => return,
        };
        match opened {
            Ok(session) => {
                status.broker_is_good(&host, vhost);
                let began = Instant::now();
                let workers = config.queues.iter().map(|queue| {
                    Worker { config, session: &session, function, status, stop, queue }.keep(Rng::new())
                });
                let watching = async {
                    let is_blocked = |blocked| {
                        if blocked {
                            status.broker_is_bad(&host, vhost, BLOCKED);
                        } else {
                            status.broker_is_good(&host, vhost);
                        }
                    };
                    session.lost(is_blocked).await;
                    status.broker_is_bad(&host, vhost, LOST);
                    // The workers notice, and end when what they have under way has ended.
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    _ = join_all(workers) => {
                        // They may have noticed first.
                        if !stop.was_said() && !session.is_up() {
                            status.broker_is_bad(&host, vhost, LOST);
                        }
                        session.close().await;
                    }
                    () = watching => {}
                }
                patience.lasted(began.elapsed());
            }
            Err(reason) => status.broker_is_bad(&host, vhost, &reason),
        }
        if patience.wait(stop).await.is_err() {
            return;
        }
    }
}

/// A line of progress every so often.
async fn report(status: Arc<Status>, interval: Duration) {
    let mut before = status.counts();
    loop {
        tokio::time::sleep(interval).await;
        let now = status.counts();
        status::report(now, before, interval.as_secs_f64());
        before = now;
    }
}
