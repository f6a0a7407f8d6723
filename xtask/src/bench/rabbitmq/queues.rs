//! The local queue service: what it takes by itself, and what it takes from the relay behind the bridge.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use doorbell::{Bell as _, Lane, Ring, config::RelayConfig};
use serde_json::json;
use stack::{
    deploy::Cloud,
    lambda::Lambda,
    ministack::{Ministack, Options},
    runtime_api,
};
use tokio::task::JoinSet;

use super::{Binaries, Failure, process::Bridge, producer::Producer};

/// Calls at once, and doorbells of a call, as the relay makes them.
const CALLS: u64 = 8;
const TEN: usize = 10;

/// No email has the id 0: nobody could read that doorbell.
const FIRST: u64 = 1;

/// Environments of the relay at most.
const CONCURRENCY: usize = 8;

/// Doorbells a second.
#[derive(Debug)]
pub(super) struct Measured {
    /// Straight into the queue, with nothing before it.
    pub(super) alone: f64,
    /// Through bridge and relay.
    pub(super) relayed: f64,
}

/// Sends `doorbells` each way.
pub(super) async fn measure(
    binaries: &Binaries,
    uri: &str,
    producer: &Producer,
    doorbells: u64,
) -> Result<Measured, Failure> {
    let ministack = Ministack::start(Options::default()).await?;
    let alone = alone(&ministack, doorbells).await?;
    let relayed = relayed(&ministack, binaries, uri, producer, doorbells).await?;
    Ok(Measured { alone, relayed })
}

async fn alone(ministack: &Ministack, doorbells: u64) -> Result<f64, Failure> {
    let url = create(ministack, "alone").await?;
    let variables = variables(ministack, &url);
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let bell = Arc::new(RelayConfig::from_variables(&variables[..])?.bell);
    let began = Instant::now();
    let mut calls = JoinSet::new();
    for call in 0..CALLS {
        let bell = Arc::clone(&bell);
        let rings: Vec<_> = (FIRST + call..=doorbells).step_by(usize::try_from(CALLS)?).map(ring).collect();
        calls.spawn(async move {
            for ten in rings.chunks(TEN) {
                for rung in bell.ring_all(ten).await {
                    rung?;
                }
            }
            Ok::<_, doorbell::RingError>(())
        });
    }
    for done in calls.join_all().await {
        done?;
    }
    let rate = super::rate(doorbells, began.elapsed());
    holds(ministack, &url, doorbells).await?;
    Ok(rate)
}

fn ring(email_id: u64) -> Ring {
    Ring { email_id, lane: Lane::Urgent, delay: Duration::ZERO, tries: 0, trace: None }
}

async fn relayed(
    ministack: &Ministack,
    binaries: &Binaries,
    uri: &str,
    producer: &Producer,
    doorbells: u64,
) -> Result<f64, Failure> {
    const QUEUE: &str = "to-relay";
    let url = create(ministack, "relayed").await?;
    let lambda = Lambda::start().await?;
    let mut relay = runtime_api::Function::new(&binaries.relay);
    for (name, value) in variables(ministack, &url) {
        relay = relay.env(name, value);
    }
    lambda.function("relay", relay, CONCURRENCY);
    producer.declare(QUEUE, "quorum").await?;
    producer.publish(QUEUE, FIRST..FIRST + doorbells).await?;
    let bridge = Bridge::start(binaries, uri, QUEUE, &lambda.endpoint()).await?;
    let rate = bridge.acked(doorbells).await?;
    holds(ministack, &url, doorbells).await?;
    let counts = lambda.counts("relay");
    if counts.failed > 0 || counts.throttled > 0 {
        return Err(format!("the relay failed: {counts:?}").into());
    }
    bridge.stop().await?;
    Ok(rate)
}

async fn create(ministack: &Ministack, name: &str) -> Result<String, Failure> {
    let made = Cloud::of(ministack).sqs("CreateQueue", &json!({ "QueueName": name })).await?;
    Ok(made["QueueUrl"].as_str().ok_or("a queue has no URL")?.to_owned())
}

fn variables(ministack: &Ministack, url: &str) -> [(&'static str, String); 6] {
    [
        ("AWS_REGION", ministack.region().to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_ENDPOINT_URL_SQS", ministack.endpoint()),
        ("URGENT_QUEUE_URL", url.to_owned()),
        ("BULK_QUEUE_URL", url.to_owned()),
    ]
}

/// A rate of doorbells that did not arrive would be none.
async fn holds(ministack: &Ministack, url: &str, wanted: u64) -> Result<(), Failure> {
    let depth = Cloud::of(ministack).depth(url).await?;
    if depth.visible == wanted {
        return Ok(());
    }
    Err(format!("the queue holds {depth:?} and not {wanted}").into())
}
