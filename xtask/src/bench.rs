//! `cargo xtask bench`: the budgets of the hot path, measured.
//!
//! What ships is what is measured: the release binary, driven through the Lambda Runtime API by one event after the
//! other, with MariaDB and a stand-in for SES on the loopback. It prints figures and judges none of them: budgets belong
//! to a machine at rest, and a build machine rarely is one.

mod large;
mod latency;
mod mysql;
mod rabbitmq;
mod raw;
mod report;
mod samples;
mod script;
mod stage;
mod tee;

use std::{
    error::Error,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use stack::{install, proxy::Proxy};

use self::{
    report::Report,
    samples::Samples,
    script::Script,
    stage::{Function, Stage},
};
use crate::Outcome;

type Failure = Box<dyn Error + Send + Sync>;

/// Measure the hot path against its budgets
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Emails to send of each kind, after a tenth as many to warm up
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    emails: u32,
    /// Rows of the large table that is claimed from; 0 leaves that comparison out
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(..=40_000_000))]
    rows: u64,
    /// Let the server flush its log at every commit, twice an email, as it must where mail is sent: adds the disk's time
    #[arg(long)]
    durable: bool,
    /// Measure this binary of the function instead of building it
    #[arg(long, value_name = "FILE")]
    function: Option<PathBuf>,
    /// Send as many emails with another build of the function, in turns, to compare
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Measure the bridge from RabbitMQ, and the relay behind it, and nothing else
    #[arg(long)]
    rabbitmq: bool,
    /// Messages that go through the bridge while its memory is looked at
    #[arg(long, default_value_t = 100_000, requires = "rabbitmq", value_parser = clap::value_parser!(u64).range(1000..=10_000_000))]
    messages: u64,
    /// Measure bridge and relay as they were built last, for release
    #[arg(long, requires = "rabbitmq")]
    as_built: bool,
}

/// Process starts that are timed.
const STARTS: usize = 30;
/// Emails whose round trips are counted.
const COUNTED: usize = 10;

/// Measures everything and prints the table.
pub(crate) async fn run(args: Args) -> Outcome {
    if cfg!(debug_assertions) {
        return again_optimised(&args);
    }
    if args.rabbitmq {
        return rabbitmq::run(args.messages, args.as_built).await;
    }
    let stage = Stage::set(args.function, args.durable).await?;
    let mut report = Report::default();
    eprintln!("reading off what the function says");
    let script = Script::record(&stage).await?;
    let claim = script.claim.clone();
    eprintln!("sending {} emails of each kind", args.emails);
    latencies(&stage, args.against.as_deref(), script, args.emails, &mut report).await?;
    eprintln!("starting {STARTS} processes");
    starts(&stage, &mut report).await?;
    report.number("binary, stripped", 8.0, mb(fs::metadata(stage.binary())?.len()), 2, " MB");
    if args.rows == 0 {
        report.skipped("claim with 10,000,000 rows against 10,000", "≤ 1.20 ×");
    } else {
        eprintln!("writing {} rows", args.rows);
        large_table(claim, args.rows, &mut report).await?;
    }
    eprintln!("counting round trips");
    round_trips(&stage, &mut report).await?;
    let unsent = ["pending", "sending", "unknown", "failed"];
    for state in unsent {
        if stage.count(state).await? > 0 {
            return Err(format!(
                "there are emails that ended {state}: what was measured is not the hot path"
            )
            .into());
        }
    }
    println!("\n{}\n\n{report}", machine(&stage, args.emails, args.durable).await?);
    Ok(ExitCode::SUCCESS)
}

/// The yardstick and the servers' stand-ins are part of every figure, so they must not run unoptimised.
fn again_optimised(args: &Args) -> Outcome {
    eprintln!("building the benchmark itself, optimised");
    let status = install::cargo()
        .args(["run", "--quiet", "--profile", "measure", "--package", "xtask", "--", "bench"])
        .args(["--emails", &args.emails.to_string(), "--rows", &args.rows.to_string()])
        .args(args.durable.then_some("--durable"))
        .args(args.rabbitmq.then_some("--rabbitmq"))
        .args(args.rabbitmq.then(|| format!("--messages={}", args.messages)))
        .args(args.as_built.then_some("--as-built"))
        .args(args.function.iter().flat_map(|file| [OsStr::new("--function"), file.as_os_str()]))
        .args(args.against.iter().flat_map(|file| [OsStr::new("--against"), file.as_os_str()]))
        .status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn latencies(
    stage: &Stage,
    against: Option<&Path>,
    script: Script,
    emails: u32,
    report: &mut Report,
) -> Result<(), Failure> {
    let measured = latency::measure(stage, against, script, usize::try_from(emails)?).await?;
    let ([plaintext, tls], others) = measured.builds.split_first().ok_or("nothing was measured")?;
    let budget = Duration::from_micros;
    report.latency("event in → response out, plaintext", budget(800), &plaintext.latency);
    report.latency("event in → response out, TLS", budget(2200), &tls.latency);
    report.aside("  invocation without an email", &measured.idle);
    report.aside("  raw sockets, plaintext", &measured.raw);
    for (step, samples) in raw::STEPS.iter().zip(&measured.steps) {
        report.aside(&format!("    {step}"), samples);
    }
    let [whole, raw, idle] =
        [&plaintext.latency, &measured.raw, &measured.idle].map(|samples| samples.median().as_secs_f64());
    // The raw loop is not invoked: what an invocation costs by itself is not the hot path's.
    report.number("the same against raw sockets, invocation apart", 1.1, (whole - idle) / raw, 2, " ×");
    report.aside_number("  invocation included", whole / raw, 2, " ×");
    report.number("CPU per 1,000 emails, plaintext", 0.25, plaintext.cpu_s, 3, " s");
    report.aside_number("  raw sockets", measured.raw_cpu_s, 3, " s");
    report.aside_number("  TLS", tls.cpu_s, 3, " s");
    report.number("resident memory afterwards, plaintext", 16.0, resident_mb(plaintext), 1, " MB");
    report.number("resident memory afterwards, TLS", 16.0, resident_mb(tls), 1, " MB");
    for other in others {
        for (what, build) in ["plaintext", "TLS"].into_iter().zip(other) {
            report.aside(&format!("  the other build, {what}"), &build.latency);
            report.aside_number(&format!("  the other build, {what}, CPU"), build.cpu_s, 3, " s");
            report.aside_number(&format!("  the other build, {what}, memory"), resident_mb(build), 1, " MB");
        }
    }
    Ok(())
}

fn resident_mb(build: &latency::Build) -> f64 {
    mb(build.resident_kib * 1024)
}

async fn starts(stage: &Stage, report: &mut Report) -> Result<(), Failure> {
    let mut samples = Samples::default();
    while samples.count() < STARTS {
        let function = Function::start(stage, stage.verified()).await?;
        samples.add(function.ready_after);
        function.stop().await;
    }
    let budget = Duration::from_millis(6);
    report.latency("process start → ready for the first event", budget, &samples);
    Ok(())
}

async fn large_table(claim: script::Template, rows: u64, report: &mut Report) -> Result<(), Failure> {
    let measured = large::measure(claim, rows).await?;
    for (what, pair) in [("claim", &measured.claim), ("the sweep's look", &measured.look)] {
        let [few, many] = [&pair.few, &pair.many].map(|samples| samples.median().as_secs_f64());
        let against = format!("{what} with {} rows against {}", thousands(rows), thousands(large::FEW));
        report.number(&against, 1.2, many / few, 2, " ×");
        report.aside(&format!("  {} rows", thousands(rows)), &pair.many);
        report.aside(&format!("  {} rows", thousands(large::FEW)), &pair.few);
    }
    Ok(())
}

async fn round_trips(stage: &Stage, report: &mut Report) -> Result<(), Failure> {
    let proxy = Proxy::start(stage.database_address()).await?;
    let url = ("DATABASE_URL", stage.url_through(proxy.port()));
    let plaintext = vec![url.clone(), ("DATABASE_TLS", "off".to_owned())];
    let verified = [vec![url], stage.verified().to_vec()].concat();
    for (what, variables, wanted) in [("plaintext", plaintext, 3), ("TLS", verified, 4)] {
        proxy.reset();
        let function = Function::start(stage, variables).await?;
        for id in stage.write_emails(COUNTED).await? {
            function.send(id).await?;
        }
        function.stop().await;
        proxy.idle().await;
        let connections = proxy.connections();
        let trips: Vec<usize> = connections.iter().map(|connection| connection.round_trips).collect();
        report.exactly(&format!("round trips, {what}"), wanted, &trips);
        report.exactly(&format!("connections for {COUNTED} emails, {what}"), COUNTED, &[connections.len()]);
    }
    Ok(())
}

/// What it was measured on.
async fn machine(stage: &Stage, emails: u32, durable: bool) -> Result<String, Failure> {
    let cores = thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let version = stage.server_version().await?;
    let emails = thousands(u64::from(emails));
    let log = if durable { "flushed at every commit" } else { "not flushed at commits" };
    Ok(format!(
        "{emails} emails, medians; {cores} cores, Linux {}, MariaDB {version}, its log {log}",
        kernel.trim()
    ))
}

/// Millions of bytes.
#[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// With a comma before every third digit from the end.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn long_numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 10_000_000].map(super::thousands), ["0", "999", "1,000", "10,000,000"]);
    }
}
