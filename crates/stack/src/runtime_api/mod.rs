//! A Lambda Runtime API that drives a function's real binary.
//!
//! Each [`Environment`] is one process with a server of its own, as one execution environment is on Lambda: the
//! process polls `…/invocation/next`, gets one event at a time and posts its response. A test sees what Lambda
//! shows nobody: it can hold an invocation in mid-flight, suspend the process as a freeze does, kill it, let its
//! time run out, and look at its memory, its CPU time and its output.
//!
//! The process gets what Lambda sets and what the [`Function`] says, and nothing of this process's environment, so
//! that a variable missing in a template is missed here too. (One more, [`MARKER`](crate::supervisor::MARKER),
//! lets it be found and killed when this process dies.)
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use stack::runtime_api::{Function, Outcome, RuntimeApi};
//!
//! let api = RuntimeApi::start();
//! let environment = api.environment(Function::new("target/debug/dispatch-sqs")).await?;
//! let started_in = environment.ready().await?;
//! let done = environment.invoke(&serde_json::json!({ "Records": [] })).await;
//! assert!(matches!(done.outcome, Outcome::Response(_)), "{done:?}, after {started_in:?}");
//! # Ok(())
//! # }
//! ```

mod environment;
mod outcome;
mod process;
mod server;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::PathBuf,
    process::ExitStatus,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    sync::{Notify, oneshot, watch},
    task::AbortHandle,
};

pub use self::{
    environment::Environment,
    outcome::{InFlight, Invocation, NotReady, Outcome},
    process::{LogLine, Stream},
};
use crate::{gate::Gate, listen::Doorway};
use process::Logs;

/// A function to run.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its `bootstrap`.
    pub binary: PathBuf,
    /// Its name.
    pub name: String,
    /// Its memory in MiB; told to it, not enforced.
    pub memory_mib: u32,
    /// The variables of its configuration. They win over those Lambda sets.
    pub env: Vec<(String, String)>,
    /// How long an invocation may take before the process is killed.
    pub timeout: Duration,
    /// Whether the process is stopped between invocations, as Lambda freezes it.
    pub freeze_between: bool,
}

impl Function {
    /// A function named as its binary, with 256 MiB, 30 s, no variables, and not frozen between invocations.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let binary = binary.into();
        let name = binary.file_name().unwrap_or(binary.as_os_str()).to_string_lossy().into_owned();
        Self {
            binary,
            name,
            memory_mib: 256,
            env: Vec::new(),
            timeout: Duration::from_secs(30),
            freeze_between: false,
        }
    }

    /// Adds a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets the time-out of an invocation.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Has the process frozen between invocations.
    #[must_use]
    pub fn freeze_between(mut self) -> Self {
        self.freeze_between = true;
        self
    }
}

/// Makes environments.
#[derive(Clone, Debug)]
pub struct RuntimeApi {
    region: String,
    account: String,
}

impl RuntimeApi {
    /// A Runtime API in region `eu-west-1` of account `111122223333`.
    #[must_use]
    pub fn start() -> Self {
        Self { region: "eu-west-1".into(), account: "111122223333".into() }
    }

    /// Starts a new environment. It returns as soon as the process runs; see [`Environment::ready`].
    ///
    /// # Errors
    ///
    /// The binary cannot be run, no port could be had, or the supervisor could not be started.
    pub async fn environment(&self, function: Function) -> io::Result<Environment> {
        let shared = Arc::new(Shared {
            arn: format!("arn:aws:lambda:{}:{}:function:{}", self.region, self.account, function.name),
            function,
            born: OnceLock::new(),
            pid: OnceLock::new(),
            state: Mutex::default(),
            work: Notify::new(),
            phase: watch::Sender::new(Phase::Starting),
            exit: watch::Sender::new(None),
            logs: Logs::default(),
            response_gate: Mutex::default(),
        });
        let doorway = Doorway::open({
            let shared = Arc::clone(&shared);
            move |stream| {
                tokio::spawn(server::serve(Arc::clone(&shared), stream));
            }
        })
        .await?;
        let _ = shared.born.set(Instant::now());
        let child = process::spawn(&shared.function, &self.region, doorway.address())?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let _ = shared.pid.set(pid.ok_or_else(|| io::Error::other("the process ended at once"))?);
        let watch = tokio::spawn(process::watch(Arc::clone(&shared), child));
        Ok(Environment { shared, _doorway: doorway, watch })
    }
}

#[derive(Clone, Debug)]
enum Phase {
    Starting,
    Ready(Duration),
    Failed { kind: String, message: String },
}

#[derive(Debug)]
struct Shared {
    arn: String,
    function: Function,
    born: OnceLock<Instant>,
    pid: OnceLock<Pid>,
    state: Mutex<State>,
    work: Notify,
    phase: watch::Sender<Phase>,
    exit: watch::Sender<Option<ExitStatus>>,
    logs: Logs,
    /// What holds the next response, if something does.
    response_gate: Mutex<Option<Gate>>,
}

#[derive(Debug, Default)]
struct State {
    pending: VecDeque<Event>,
    flights: BTreeMap<String, Flight>,
    frozen: bool,
    /// Set with the exit, so that nothing is queued for a process that is gone.
    ended: Option<ExitStatus>,
}

#[derive(Debug)]
struct Event {
    id: String,
    payload: Bytes,
    /// The time it is told it has.
    told: Duration,
    timeout: Duration,
    handed: watch::Sender<bool>,
    done: oneshot::Sender<Invocation>,
}

#[derive(Debug)]
struct Flight {
    handed: Instant,
    timed_out: bool,
    timer: AbortHandle,
    done: oneshot::Sender<Invocation>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_response_gate(&self) -> Option<Gate> {
        self.response_gate.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        // A process that ended has been reaped, and its id may be another's by now.
        let state = self.state();
        match self.pid.get() {
            Some(pid) if state.ended.is_none() => Ok(kill_process(*pid, signal)?),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn submit(&self, event: Event) {
        let mut state = self.state();
        if let Some(status) = state.ended {
            let died = Invocation::never_handed(event.id, Outcome::Died(status));
            // The caller may have dropped its handle.
            let _ = event.done.send(died);
            return;
        }
        state.pending.push_back(event);
        let thaw = std::mem::take(&mut state.frozen);
        drop(state);
        if thaw {
            let _ = self.signal(Signal::CONT);
        }
        self.work.notify_one();
    }
}
