//! A broker that is restarted three times while doorbells go through it, once by force: nothing may be lost.
//!
//! Half of them go through a quorum queue, half through a classic one. The producer goes on through every restart, and
//! publishes again what was not confirmed: so a doorbell can be in a queue twice without any fault of the bridge, and
//! those are counted apart.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use stack::rabbitmq::{Options, Rabbitmq};

use super::{
    Binaries, Failure,
    function::Function,
    process::{Bridge, Memory, PATIENCE},
    producer::{Producer, publish_through},
};

const QUEUES: [&str; 2] = ["mail-quorum", "mail-classic"];

const GLANCE: Duration = Duration::from_millis(20);

/// What came of it.
#[derive(Debug)]
pub(super) struct Measured {
    /// Doorbells that the broker confirmed and the function never saw.
    pub(super) lost: u64,
    /// Doorbells that came more than once, though the producer published them once.
    pub(super) repeated: u64,
    /// Doorbells that the producer published again, because the broker died before it confirmed them.
    pub(super) offered_again: u64,
    /// Messages in the queues of the dead.
    pub(super) dead: u64,
    /// Messages still in the queues themselves, or waiting for another try.
    pub(super) left: u64,
    /// Tries that were counted, though the function never failed.
    pub(super) tries: u64,
    /// How often the bridge found the broker away.
    pub(super) noticed: usize,
    /// The bridge's memory afterwards.
    pub(super) memory: Memory,
}

/// Sends `doorbells` through.
pub(super) async fn measure(binaries: &Binaries, doorbells: u64) -> Result<Measured, Failure> {
    let broker = Rabbitmq::start(Options::default()).await?;
    let uri = broker.uri();
    let function = Function::start(doorbells).await?;
    let producer = Producer::new(&uri).await?;
    for (queue, kind) in QUEUES.iter().zip(["quorum", "classic"]) {
        producer.declare(queue, kind).await?;
    }
    producer.close().await?;
    let bridge = Bridge::start(binaries, &uri, &QUEUES.join(","), &function.endpoint()).await?;
    let confirmed = AtomicU64::new(0);
    let restarts = async {
        for (turn, at) in [(1, doorbells / 4), (2, doorbells / 2), (3, doorbells / 4 * 3)] {
            let before = broker.pid();
            wait_for(|| function.distinct(), at).await?;
            let seen = function.distinct();
            if turn == 2 {
                broker.kill().await?;
            } else {
                broker.stop().await?;
            }
            eprintln!(
                "  {}: {} doorbells were confirmed, {seen} handled",
                if turn == 2 { "killed" } else { "stopped" },
                confirmed.load(Ordering::Relaxed),
            );
            broker.restart().await?;
            if broker.pid() == before {
                return Err("the broker was not restarted".into());
            }
        }
        Ok::<_, Failure>(())
    };
    let published = publish_through(&uri, &QUEUES, doorbells, &confirmed, || function.distinct());
    let ((), offered) = tokio::try_join!(restarts, published)?;
    // What has not come then is lost, and counted below.
    let _ = wait_for(|| function.distinct(), doorbells).await;
    bridge.is_well().await?;
    let repeated = function.repeated();
    let repeated = repeated.iter().filter(|id| offered.binary_search(id).is_err()).count();
    let [dead, left] = settled(&uri).await?;
    let measured = Measured {
        lost: doorbells - function.distinct(),
        repeated: u64::try_from(repeated)?,
        offered_again: u64::try_from(offered.len())?,
        dead,
        left,
        tries: bridge.count("retried").await? + function.strange(),
        noticed: bridge.said("\"broker.away\"")?,
        memory: bridge.memory()?,
    };
    bridge.stop().await?;
    Ok(measured)
}

/// Waits until so many were handled, for as long as any are.
async fn wait_for(handled: impl Fn() -> u64, wanted: u64) -> Result<(), Failure> {
    let mut last = (Instant::now(), 0);
    loop {
        let now = handled();
        if now >= wanted {
            return Ok(());
        }
        if now > last.1 {
            last = (Instant::now(), now);
        }
        if last.0.elapsed() > PATIENCE {
            return Err(format!("no more than {now} of {wanted} doorbells are handled").into());
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// What is in the queues of the dead, and in all others, when no more leaves them.
async fn settled(uri: &str) -> Result<[u64; 2], Failure> {
    let producer = Producer::new(uri).await?;
    let begin = Instant::now();
    loop {
        let (mut dead, mut left) = (0, 0);
        for queue in QUEUES {
            dead += u64::from(producer.depth(&format!("{queue}.dead")).await?);
            for beside in ["", ".retry.1s", ".retry.5s", ".retry.30s", ".retry.2m", ".retry.10m"] {
                left += u64::from(producer.depth(&format!("{queue}{beside}")).await?);
            }
        }
        if left == 0 || begin.elapsed() > Duration::from_secs(20) {
            producer.close().await?;
            return Ok([dead, left]);
        }
        tokio::time::sleep(GLANCE).await;
    }
}
