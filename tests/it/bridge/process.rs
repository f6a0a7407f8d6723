//! The process.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::{Child, Command},
};

use super::until;
use crate::world::{closed_address, function_binary};

/// What a bridge is started with.
pub(super) struct Bridge(BTreeMap<String, String>);

/// One that runs. Dropping it kills it.
pub(super) struct Running {
    process: Child,
    log: PathBuf,
    health: u16,
}

impl Bridge {
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
            .with("AWS_REGION", "eu-west-1")
            .with("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .with("AWS_SECRET_ACCESS_KEY", "aws-secret-marker")
            .with("FUNCTION_NAME", "relay")
            .with("LOG_LEVEL", "debug")
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn start(&self) -> Running {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let port = closed_address().port();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let log = std::env::temp_dir().join(format!("sendonce-bridge-{}-{number}.log", std::process::id()));
        let process = self
            .command()
            .env("HEALTH_ADDRESS", format!("127.0.0.1:{port}"))
            .stdout(fs::File::create(&log).expect("a file"))
            .spawn()
            .expect("it starts");
        Running { process, log, health: port }
    }

    /// Runs `check`: its exit code and what it printed.
    pub(super) async fn check(&self) -> (Option<i32>, String) {
        let output = self.command().arg("check").stdout(Stdio::piped()).output().await.expect("it runs");
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(function_binary("sendonce-bridge"));
        command.env_clear().envs(&self.0).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

impl Running {
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("it logs")
    }

    /// Waits for a line.
    pub(super) async fn says(&self, text: &str) {
        until(text, async || self.log().contains(text)).await;
    }

    /// Whether all is well, and how each part is.
    pub(super) async fn health(&self) -> (bool, Value) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.health)).await.expect("it listens");
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: h\r\n\r\n").await.expect("asked");
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        tokio::time::timeout(super::PATIENCE, read).await.expect("it is alive").expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.starts_with("HTTP/1.1 200 "), body.parse().expect("JSON"))
    }

    /// Waits until it is well.
    pub(super) async fn is_well(&self) {
        self.says("\"queue.consuming\"").await;
        until("well", async || self.health().await.0).await;
    }

    /// Its resident memory.
    pub(super) fn resident_kb(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id().expect("it runs")));
        let status = status.expect("a process has a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    pub(super) fn tell(&self, signal: Signal) {
        let id = self.process.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("it runs");
        kill_process(id, signal).expect("told");
    }

    pub(super) async fn ends(&mut self) -> ExitStatus {
        tokio::time::timeout(super::PATIENCE, self.process.wait()).await.expect("in time").expect("it ended")
    }

    /// Stops it in order.
    pub(super) async fn stop(mut self) {
        self.tell(Signal::TERM);
        let status = self.ends().await;
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let log = self.log();
        for secret in ["aws-secret-marker", stack::rabbitmq::PASSWORD, "email_id", "body-marker"] {
            assert!(std::thread::panicking() || !log.contains(secret), "{secret} is in the log: {log}");
        }
        if std::thread::panicking() {
            println!("{log}");
        }
        let _ = fs::remove_file(&self.log);
    }
}
