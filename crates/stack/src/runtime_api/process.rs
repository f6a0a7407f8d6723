//! The process of an environment: its start, its end, its output and what it uses.

use std::{
    fs, io,
    net::SocketAddr,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

use super::{Function, Invocation, Outcome, Shared};
use crate::supervisor::{MARKER, Supervisor};

/// Which output a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// One line a process wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Where it was written.
    pub stream: Stream,
    /// The line, without its end.
    pub text: String,
}

/// What a process wrote.
#[derive(Debug, Default)]
pub(super) struct Logs {
    lines: Mutex<Vec<LogLine>>,
    count: watch::Sender<usize>,
}

impl Logs {
    pub(super) fn all(&self) -> Vec<LogLine> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn find(
        &self,
        text: &str,
        mut exit: watch::Receiver<Option<ExitStatus>>,
    ) -> Option<LogLine> {
        let mut count = self.count.subscribe();
        let mut seen = 0;
        loop {
            // Looked at before the lines are: once it has ended there will be no more of them.
            let ended = exit.borrow().is_some();
            count.borrow_and_update();
            {
                let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(line) = lines[seen..].iter().find(|line| line.text.contains(text)) {
                    return Some(line.clone());
                }
                seen = lines.len();
            }
            if ended {
                return None;
            }
            tokio::select! {
                _ = count.changed() => {}
                _ = exit.wait_for(Option::is_some) => {}
            }
        }
    }

    fn push(&self, line: LogLine) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        self.count.send_modify(|count| *count += 1);
    }
}

async fn keep(shared: Arc<Shared>, stream: Stream, from: Option<impl AsyncRead + Unpin>) {
    let Some(from) = from else { return };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).await.is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned();
        shared.logs.push(LogLine { stream, text });
        line.clear();
    }
}

/// Starts the process with what Lambda sets and what the function's configuration adds.
pub(super) fn spawn(function: &Function, region: &str, server: SocketAddr) -> io::Result<Child> {
    let folder = function.binary.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize()?;
    let supervisor = Supervisor::of_this_process().map_err(io::Error::other)?;
    Command::new(function.binary.canonicalize()?)
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", server.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", &function.name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mib.to_string())
        .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", function.name))
        .env("AWS_LAMBDA_LOG_STREAM_NAME", format!("2026/01/01/[$LATEST]{:032x}", server.port()))
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        .env("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023")
        .env("AWS_REGION", region)
        .env("AWS_DEFAULT_REGION", region)
        .env("AWS_ACCESS_KEY_ID", "ASIALOCALSTACK000000")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("AWS_SESSION_TOKEN", "local")
        .env("_HANDLER", "bootstrap")
        .env("_X_AMZN_TRACE_ID", super::server::TRACE_ID)
        .env("LAMBDA_TASK_ROOT", &folder)
        .env("LAMBDA_RUNTIME_DIR", "/var/runtime")
        .env("LANG", "en_US.UTF-8")
        .env("TZ", ":UTC")
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin")
        .envs(function.env.iter().map(|(name, value)| (name, value)))
        // The supervisor kills whatever carries its folder in this variable when this process is gone. The process
        // is not started through the supervisor: that would add a shell to the start-up time measured here.
        .env(MARKER, format!("{}/{}/", supervisor.root().display(), function.name))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// Keeps the output, waits for the end and tells everyone who waits.
pub(super) async fn watch(shared: Arc<Shared>, mut child: Child) {
    let out = tokio::spawn(keep(Arc::clone(&shared), Stream::Out, child.stdout.take()));
    let err = tokio::spawn(keep(Arc::clone(&shared), Stream::Err, child.stderr.take()));
    let status = child.wait().await.unwrap_or_default();
    // All lines belong to the log before its end is known; something it started may still hold the pipe, though.
    let _ = timeout(Duration::from_millis(500), async { tokio::join!(out, err) }).await;
    let (pending, flights) = {
        let mut state = shared.state();
        state.ended = Some(status);
        state.frozen = false;
        (std::mem::take(&mut state.pending), std::mem::take(&mut state.flights))
    };
    shared.exit.send_replace(Some(status));
    let now = Instant::now();
    for (request_id, flight) in flights {
        flight.timer.abort();
        let outcome = if flight.timed_out { Outcome::TimedOut } else { Outcome::Died(status) };
        let latency = now.duration_since(flight.handed);
        let _ = flight.done.send(Invocation { request_id, outcome, latency });
    }
    for event in pending {
        let _ = event.done.send(Invocation::never_handed(event.id, Outcome::Died(status)));
    }
}

/// Whether every thread of a process is stopped. A stop signal returns before it has worked.
pub(super) fn is_stopped(pid: u32) -> io::Result<bool> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(thread?.path().join("stat"))?;
        if !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A line of `/proc/…/status` that is in KiB.
pub(super) fn memory_kib(pid: u32, name: &str) -> io::Result<u64> {
    fs::read_to_string(format!("/proc/{pid}/status"))?
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse().ok())
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// CPU time of a process.
///
/// `stat` counts in hundredths of a second and knows the threads that have ended; `schedstat` counts in nanoseconds
/// and knows only those that live. The larger of the two is the better.
pub(super) fn cpu_time(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the command's name in brackets, which may contain anything.
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: u64 = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let schedstat = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        nanos += schedstat.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    }
    // USER_HZ is 100 on every architecture Lambda has.
    Ok(Duration::from_millis(ticks * 10).max(Duration::from_nanos(nanos)))
}
