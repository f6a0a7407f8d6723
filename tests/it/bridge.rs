//! The real binary `sendonce-bridge` between a real RabbitMQ and an `Invoke` API.
//!
//! Where the function itself matters it is the real one, behind `stack::lambda`. Elsewhere it is a [`Function`] of the
//! test's own, which decides by what is in the event, and remembers it.

mod broker;
mod failures;
mod flow;
mod function;
mod process;
mod rabbit;
mod rights;
mod stop;
mod wrong;

use std::time::Duration;

use self::{function::Function, process::Bridge, rabbit::Rabbit};

/// Longer than anything may take that is waited for.
const PATIENCE: Duration = Duration::from_mins(2);

/// Looks until it is so.
async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(tokio::time::Instant::now() < end, "{what}: it never came to that");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A bridge from a queue to a function, with short delays.
fn bridge(rabbit: &Rabbit, queues: &str, function: &Function) -> Bridge {
    Bridge::new()
        .with("BROKER_URL", rabbit.uri())
        .with("QUEUES", queues)
        .with("AWS_ENDPOINT_URL_LAMBDA", function.endpoint())
        .with("RETRY_DELAYS_S", "1")
}

/// The body of a doorbell.
fn doorbell(id: usize) -> Vec<u8> {
    format!("{{\"email_id\":{id}}}").into_bytes()
}
