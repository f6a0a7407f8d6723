//! One execution environment, as a test sees it.

use std::{
    io,
    process::ExitStatus,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rustix::process::Signal;
use serde_json::Value;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{Event, InFlight, Invocation, LogLine, NotReady, Phase, Shared, process};
use crate::{gate::Gate, listen::Doorway};

/// How long Lambda lets a function initialise.
const INIT_LIMIT: Duration = Duration::from_secs(10);

/// One execution environment: a process, and the server it polls. Dropping it kills the process.
#[derive(Debug)]
pub struct Environment {
    pub(super) shared: Arc<Shared>,
    pub(super) _doorway: Doorway,
    pub(super) watch: JoinHandle<()>,
}

impl Environment {
    /// Waits until the process asks for its first event; says how long after its start that was.
    ///
    /// # Errors
    ///
    /// It reported an error of its initialisation, ended, or did nothing for ten seconds.
    pub async fn ready(&self) -> Result<Duration, NotReady> {
        let mut phase = self.shared.phase.subscribe();
        let mut exit = self.shared.exit.subscribe();
        let settled = async {
            tokio::select! {
                biased;
                phase = phase.wait_for(|phase| !matches!(phase, Phase::Starting)) => phase.ok().map(|now| now.clone()),
                _ = exit.wait_for(Option::is_some) => None,
            }
        };
        match timeout(INIT_LIMIT, settled).await {
            Ok(Some(Phase::Ready(after))) => Ok(after),
            Ok(Some(Phase::Failed { kind, message })) => Err(NotReady::InitError { kind, message }),
            Ok(_) => Err((*self.shared.exit.borrow()).map_or(NotReady::TimedOut, NotReady::Died)),
            Err(_) => Err(NotReady::TimedOut),
        }
    }

    /// Sends an event and waits for what comes of it.
    pub async fn invoke(&self, payload: &Value) -> Invocation {
        self.begin(payload).outcome().await
    }

    /// Sends bytes, which need not be JSON, and waits for what comes of them.
    pub async fn invoke_raw(&self, payload: impl Into<Bytes>) -> Invocation {
        self.begin_raw(payload, self.shared.function.timeout).outcome().await
    }

    /// As [`Environment::invoke`], with another time-out than the function's.
    pub async fn invoke_within(&self, payload: &Value, timeout: Duration) -> Invocation {
        self.begin_within(payload, timeout).outcome().await
    }

    /// Sends an event and returns while it is worked on. A second one waits for the first, as on Lambda it would
    /// go to another environment.
    #[must_use]
    pub fn begin(&self, payload: &Value) -> InFlight {
        self.begin_within(payload, self.shared.function.timeout)
    }

    /// As [`Environment::begin`], with another time-out than the function's.
    #[must_use]
    pub fn begin_within(&self, payload: &Value, timeout: Duration) -> InFlight {
        self.begin_raw(payload.to_string(), timeout)
    }

    /// As [`Environment::begin_within`], with bytes.
    #[must_use]
    pub fn begin_raw(&self, payload: impl Into<Bytes>, timeout: Duration) -> InFlight {
        self.submit(payload.into(), timeout, timeout)
    }

    /// As [`Environment::begin_within`], but its process is killed only when `timeout` is over, later than the
    /// `told` one: so a suspended process can be woken after its own time.
    #[must_use]
    pub fn begin_told(&self, payload: &Value, told: Duration, timeout: Duration) -> InFlight {
        self.submit(payload.to_string().into(), told, timeout)
    }

    /// Has the next response held when it has arrived and before it counts: until the gate is released the invocation
    /// goes on, and a process killed meanwhile has answered nothing.
    #[must_use]
    pub fn hold_response(&self) -> Gate {
        let gate = Gate::new();
        *self.shared.response_gate.lock().unwrap_or_else(PoisonError::into_inner) = Some(gate.clone());
        gate
    }

    fn submit(&self, payload: Bytes, told: Duration, timeout: Duration) -> InFlight {
        let id = request_id();
        let (done, outcome) = oneshot::channel();
        let handed = watch::Sender::new(false);
        let flight = InFlight::new(id.clone(), outcome, handed.subscribe());
        self.shared.submit(Event { id, payload, told, timeout, handed, done });
        flight
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.shared.pid.get().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    /// Whether the process has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.shared.exit.borrow().is_none()
    }

    /// Whether the process is frozen between two invocations now.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.shared.state().frozen
    }

    /// Stops the process where it is (SIGSTOP), and returns when all its threads have stopped. An invocation's time
    /// goes on running.
    ///
    /// # Errors
    ///
    /// The process has ended.
    pub async fn suspend(&self) -> io::Result<()> {
        self.shared.signal(Signal::STOP)?;
        while !process::is_stopped(self.pid())? {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Lets a suspended process go on (SIGCONT).
    ///
    /// # Errors
    ///
    /// The process has ended.
    pub fn resume(&self) -> io::Result<()> {
        self.shared.signal(Signal::CONT)
    }

    /// Kills the process (SIGKILL) and waits for its end. An invocation under way ends as [`Died`](super::Outcome::Died).
    pub async fn kill(&self) -> ExitStatus {
        // An error means it has ended already, which is what is waited for next.
        let _ = self.shared.signal(Signal::KILL);
        self.exited().await
    }

    /// Asks the process to end (SIGTERM); kills it after two seconds. Returns how it ended.
    pub async fn stop(&self) -> ExitStatus {
        let _ = self.shared.signal(Signal::TERM);
        // One that is stopped acts upon SIGTERM only when it goes on.
        let _ = self.shared.signal(Signal::CONT);
        match timeout(Duration::from_secs(2), self.exited()).await {
            Ok(status) => status,
            Err(_) => self.kill().await,
        }
    }

    /// Waits for the end of the process, however it comes.
    pub async fn exited(&self) -> ExitStatus {
        let mut exit = self.shared.exit.subscribe();
        let ended = exit.wait_for(Option::is_some).await.ok().and_then(|status| *status);
        // The sender lives in `self.shared`, so there is a status.
        ended.unwrap_or_default()
    }

    /// What the process has written so far; all of it, once it has ended.
    #[must_use]
    pub fn logs(&self) -> Vec<LogLine> {
        self.shared.logs.all()
    }

    /// The lines written so far, in one text.
    #[must_use]
    pub fn log_text(&self) -> String {
        self.logs().into_iter().map(|line| line.text + "\n").collect()
    }

    /// Waits until a line has been written that contains `text`, and returns that line. Returns `None` when the
    /// process ended without one.
    pub async fn logged(&self, text: &str) -> Option<LogLine> {
        let exit = self.shared.exit.subscribe();
        self.shared.logs.find(text, exit).await
    }

    /// Resident memory, in KiB.
    ///
    /// # Errors
    ///
    /// The process has ended.
    pub fn rss_kib(&self) -> io::Result<u64> {
        process::memory_kib(self.pid(), "VmRSS:")
    }

    /// The most resident memory there has been, in KiB.
    ///
    /// # Errors
    ///
    /// The process has ended.
    pub fn peak_rss_kib(&self) -> io::Result<u64> {
        process::memory_kib(self.pid(), "VmHWM:")
    }

    /// CPU time used so far, user and system, by all threads.
    ///
    /// # Errors
    ///
    /// The process has ended.
    pub fn cpu_time(&self) -> io::Result<Duration> {
        process::cpu_time(self.pid())
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        // The task owns the process, which is killed when dropped.
        self.watch.abort();
    }
}

/// An id in the look of Lambda's.
fn request_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("c0ffee00-0000-4000-8000-{:012x}", NEXT.fetch_add(1, Ordering::Relaxed))
}
