//! The bridge's process, as it ships.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;
use stack::supervisor::{Program, Running, Supervisor, free_port};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::spawn_blocking,
};

use super::{Binaries, Failure};

/// How long anything may take that is waited for without progress.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

/// How often the bridge is asked how far it is.
const GLANCE: Duration = Duration::from_millis(5);

/// A bridge that runs. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Bridge {
    process: Running,
    health: u16,
}

/// Its memory, in kB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Resident now.
    pub(super) now: u64,
    /// Resident at most so far.
    pub(super) peak: u64,
}

impl Bridge {
    /// Starts one from these queues to the function behind `endpoint`, with the defaults of everything else, and waits
    /// until it consumes.
    pub(super) async fn start(
        binaries: &Binaries,
        uri: &str,
        queues: &str,
        endpoint: &str,
    ) -> Result<Self, Failure> {
        let bridge = Self::begin(binaries, uri, queues, endpoint)?;
        bridge.is_well().await?;
        Ok(bridge)
    }

    fn begin(binaries: &Binaries, uri: &str, queues: &str, endpoint: &str) -> Result<Self, Failure> {
        let supervisor = Supervisor::of_this_process()?;
        let health = free_port()?;
        let program = Program::new("sendonce-bridge", &binaries.bridge, supervisor.folder("bridge")?)
            .clear_environment()
            .env("BROKER_URL", uri)
            .env("QUEUES", queues)
            .env("FUNCTION_NAME", "relay")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_ENDPOINT_URL_LAMBDA", endpoint)
            .env("HEALTH_ADDRESS", format!("127.0.0.1:{health}"))
            // As the unit and the image set it.
            .env("MALLOC_MMAP_THRESHOLD_", "131072");
        Ok(Self { process: supervisor.spawn(&program)?, health })
    }

    /// Waits until everything is well.
    pub(super) async fn is_well(&self) -> Result<(), Failure> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(error) = self.process.ended() {
                return Err(error.into());
            }
            if self.ask().await.is_ok_and(|(good, _)| good) {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(format!("the bridge does not get well:\n{}", self.process.log_tail()).into());
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// What it counts.
    pub(super) async fn count(&self, what: &str) -> Result<u64, Failure> {
        let (_, health) = self.ask().await?;
        health[what].as_u64().ok_or_else(|| format!("the bridge does not count {what}: {health}").into())
    }

    /// Waits until it has acknowledged so many, and says how many that was a second, from the first to the last.
    pub(super) async fn acked(&self, wanted: u64) -> Result<f64, Failure> {
        let mut first = None;
        let mut last = (Instant::now(), 0);
        loop {
            let (acked, now) = (self.count("acked").await?, Instant::now());
            if acked > last.1 {
                last = (now, acked);
            }
            let (began, before) = if acked > 0 { *first.get_or_insert((now, acked)) } else { (now, acked) };
            if acked >= wanted {
                return Ok(super::rate(acked - before, now - began));
            }
            if now - last.0 > PATIENCE {
                return Err(
                    format!("the bridge stays at {acked} of {wanted}:\n{}", self.process.log_tail()).into()
                );
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    async fn ask(&self) -> Result<(bool, Value), Failure> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.health)).await?;
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: bridge\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("the bridge's health has no head")?;
        Ok((head.starts_with("HTTP/1.1 200 "), body.parse()?))
    }

    /// Its memory.
    pub(super) fn memory(&self) -> Result<Memory, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.pid()))?;
        let line = |name: &str| -> Result<u64, Failure> {
            let value = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no memory is told")?;
            Ok(value.trim().trim_end_matches(" kB").parse()?)
        };
        Ok(Memory { now: line("VmRSS:")?, peak: line("VmHWM:")? })
    }

    /// CPU time so far, of all its threads; the kernel tells hundredths of a second.
    pub(super) fn cpu(&self) -> Result<Duration, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.pid()))?;
        // The name, in brackets, is the only field that may hold a blank.
        let (_, fields) = stat.rsplit_once(") ").ok_or("no CPU time is told")?;
        let ticks: Result<Vec<u64>, _> = fields.split(' ').skip(11).take(2).map(str::parse).collect();
        Ok(Duration::from_millis(ticks?.iter().sum::<u64>() * 10))
    }

    /// How often its log says this.
    pub(super) fn said(&self, text: &str) -> Result<usize, Failure> {
        Ok(fs::read_to_string(self.process.log_file())?.matches(text).count())
    }

    /// Stops it in order.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        let ended = spawn_blocking(move || self.process.terminate(Duration::from_secs(30))).await??;
        if ended == "exit status: 0" { Ok(()) } else { Err(format!("the bridge ended with {ended}").into()) }
    }
}
