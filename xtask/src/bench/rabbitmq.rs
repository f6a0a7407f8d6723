//! `cargo xtask bench --rabbitmq`: the bridge and the relay, against a real RabbitMQ.
//!
//! Three questions. How many doorbells a second come through bridge and relay into the local queue service, and how many
//! does that take by itself? How fast is the bridge, and how large does it become, when the function answers at once? And
//! what is lost when the broker is restarted under way?

mod function;
mod process;
mod producer;
mod queues;
mod restarts;

use std::{fs, path::PathBuf, process::ExitCode, thread, time::Duration};

use stack::{
    install,
    rabbitmq::{Options, Rabbitmq},
};

use self::{
    function::Function,
    process::{Bridge, Memory},
    producer::Producer,
};
use super::{Failure, report::Report, thousands};
use crate::Outcome;

/// Doorbells that are sent into the queue service, which is the slowest of all.
const INTO_QUEUES: u64 = 5_000;
/// Messages after which the bridge is looked at first, and that go through the restarts.
const MANY: u64 = 100_000;
/// Messages that the producer is ahead of the bridge at most, when there are more than that: a broker's memory is not
/// what is measured.
const AHEAD: u64 = 20_000;

/// What ships.
#[derive(Debug)]
struct Binaries {
    bridge: PathBuf,
    relay: PathBuf,
}

/// Measures everything and prints the table.
pub(super) async fn run(messages: u64, as_built: bool) -> Outcome {
    let binaries = binaries(as_built)?;
    let mut report = Report::default();
    let broker = Rabbitmq::start(Options::default()).await?;
    let producer = Producer::new(&broker.uri()).await?;
    eprintln!("sending {} doorbells into the queue service", thousands(INTO_QUEUES));
    into_queues(&binaries, &broker.uri(), &producer, &mut report).await?;
    for kind in ["quorum", "classic"] {
        // One kind is enough for the memory of a million.
        let messages = if kind == "classic" { messages } else { MANY };
        eprintln!("sending {} messages through a {kind} queue", thousands(messages));
        alone(&binaries, &broker.uri(), &producer, kind, messages, &mut report).await?;
    }
    drop((producer, broker));
    eprintln!("restarting the broker while {} messages go through", thousands(MANY));
    restarts(&binaries, &mut report).await?;
    println!("\n{}\n\n{report}", machine()?);
    Ok(ExitCode::SUCCESS)
}

async fn into_queues(
    binaries: &Binaries,
    uri: &str,
    producer: &Producer,
    report: &mut Report,
) -> Result<(), Failure> {
    let queues::Measured { alone, relayed } = queues::measure(binaries, uri, producer, INTO_QUEUES).await?;
    // Or as many as the service takes, when that is less.
    let (budget, which) = if alone < 2_000.0 { (alone, "all it takes") } else { (2_000.0, "2,000") };
    report.at_least(
        &format!("doorbells a second, bridge and relay into SQS ({which})"),
        budget,
        relayed,
        0,
        " /s",
    );
    report.aside_number("  SQS by itself, tens, 8 at a time", alone, 0, " /s");
    Ok(())
}

/// The bridge with a function that answers at once.
async fn alone(
    binaries: &Binaries,
    uri: &str,
    producer: &Producer,
    kind: &str,
    messages: u64,
    report: &mut Report,
) -> Result<(), Failure> {
    let queue = format!("at-once-{kind}");
    let function = Function::start(messages).await?;
    producer.declare(&queue, kind).await?;
    // Before any came, on a queue that is empty.
    let idle = Bridge::start(binaries, uri, &queue, &function.endpoint()).await?;
    let at_start = idle.memory()?;
    idle.stop().await?;
    producer.publish(&queue, 0..MANY.min(messages)).await?;
    let bridge = Bridge::start(binaries, uri, &queue, &function.endpoint()).await?;
    let before = bridge.cpu()?;
    let rate = bridge.acked(MANY.min(messages)).await?;
    let cpu = bridge.cpu()?.saturating_sub(before);
    report.at_least(
        &format!("messages a second, {kind} queue, function answers at once"),
        2_000.0,
        rate,
        0,
        " /s",
    );
    report.aside_number("  CPU of the bridge per 100,000", cpu.as_secs_f64(), 2, " s");
    report.aside_number("  messages an event", ratio(MANY.min(messages), function.events()), 1, "");
    let at_many = bridge.memory()?;
    report.aside_number("  resident memory at the start", mb(at_start.now), 1, " MB");
    report.number(&format!("  after {}", thousands(MANY.min(messages))), 20.0, mb(at_many.now), 1, " MB");
    let mut sent = MANY.min(messages);
    while sent < messages {
        let some = (AHEAD / 2).min(messages - sent);
        producer.publish(&queue, sent..sent + some).await?;
        sent += some;
        // The group before this one has gone through.
        bridge.acked(sent - some).await?;
    }
    bridge.acked(messages).await?;
    let Memory { now, peak } = bridge.memory()?;
    if messages > MANY {
        report.number(&format!("  after {}", thousands(messages)), 20.0, mb(now), 1, " MB");
    }
    report.number("  at most", 20.0, mb(peak), 1, " MB");
    let missing = usize::try_from(messages - function.distinct())?;
    report.exactly("  messages that never came", 0, &[missing]);
    report.exactly("  messages that came twice", 0, &[function.repeated().len()]);
    bridge.stop().await
}

async fn restarts(binaries: &Binaries, report: &mut Report) -> Result<(), Failure> {
    let measured = restarts::measure(binaries, MANY).await?;
    let count = |count: u64| usize::try_from(count).map(|count| [count]);
    report.exactly(
        &format!("lost of {} messages over three restarts", thousands(MANY)),
        0,
        &count(measured.lost)?,
    );
    report.exactly("  in queues of the dead", 0, &count(measured.dead)?);
    report.exactly("  left in other queues", 0, &count(measured.left)?);
    report.exactly("  tries that were counted", 0, &count(measured.tries)?);
    report.aside_count("  came more than once", measured.repeated);
    report.aside_count("  published again, since not confirmed", measured.offered_again);
    report.aside_count("  times the bridge said that the broker is away", u64::try_from(measured.noticed)?);
    report.number("  resident memory afterwards", 20.0, mb(measured.memory.now), 1, " MB");
    report.number("  at most", 20.0, mb(measured.memory.peak), 1, " MB");
    Ok(())
}

/// What it was measured on.
fn machine() -> Result<String, Failure> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cores = thread::available_parallelism()?;
    Ok(format!(
        "{cores} cores, shared with RabbitMQ (one scheduler), producer and queue service; Linux {}",
        kernel.trim()
    ))
}

/// Builds what ships, unless it is to be measured as it is.
fn binaries(as_built: bool) -> Result<Binaries, Failure> {
    if !as_built {
        eprintln!("building bridge and relay as they ship (some minutes when something changed)");
        let status = install::cargo()
            .args(["build", "--quiet", "--release", "--package", "bridge", "--package", "relay-rabbitmq"])
            .status()?;
        if !status.success() {
            return Err("bridge or relay does not build".into());
        }
    }
    let folder = install::workspace().join("target/release");
    Ok(Binaries { bridge: folder.join("sendonce-bridge"), relay: folder.join("relay-rabbitmq") })
}

/// So many a second.
fn rate(count: u64, took: Duration) -> f64 {
    float(count) / took.as_secs_f64()
}

fn ratio(of: u64, to: u64) -> f64 {
    float(of) / float(to)
}

/// Millions of bytes, of so many kB as the kernel counts them.
fn mb(kib: u64) -> f64 {
    super::mb(kib * 1024)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
