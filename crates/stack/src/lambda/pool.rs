//! One function: its environments, how many of them are busy, and what has been counted.

use std::collections::VecDeque;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::answer::request_id;
use super::lock;
use crate::runtime_api::{Environment, Function, NotReady, Outcome, RuntimeApi};

/// How many environments that have ended are kept for their logs.
const ENDED_KEPT: usize = 8;

/// What there has been of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests, those that a script refused included.
    pub requests: u64,
    /// Invocations that have ended; those that failed included.
    pub invocations: u64,
    /// Invocations that ended with an error, a time-out or the death of the process.
    pub failed: u64,
    /// Requests refused because the concurrency was used up.
    pub throttled: u64,
    /// The most invocations there were at once.
    pub peak: usize,
}

/// What an invocation came to.
#[derive(Debug)]
pub(super) enum Done {
    /// What the function answered.
    Payload(Bytes),
    /// How it failed.
    Failed { kind: String, message: String },
}

/// The right to one invocation.
pub(super) type Slot<'a> = SemaphorePermit<'a>;

#[derive(Debug)]
pub(super) struct Pool {
    function: Function,
    slots: Semaphore,
    /// Who waits for work; the last that was busy comes first.
    idle: Mutex<Vec<Arc<Environment>>>,
    known: Mutex<VecDeque<Arc<Environment>>>,
    requests: AtomicU64,
    failed: AtomicU64,
    throttled: AtomicU64,
    busy: AtomicUsize,
    peak: AtomicUsize,
    invocations: watch::Sender<u64>,
}

impl Pool {
    pub(super) fn new(function: Function, concurrency: usize) -> Self {
        Self {
            function,
            slots: Semaphore::new(concurrency),
            idle: Mutex::default(),
            known: Mutex::default(),
            requests: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            busy: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            invocations: watch::Sender::new(0),
        }
    }

    pub(super) fn environments(&self) -> Vec<Arc<Environment>> {
        lock(&self.known).iter().cloned().collect()
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            requests: self.requests.load(Ordering::Relaxed),
            invocations: *self.invocations.borrow(),
            failed: self.failed.load(Ordering::Relaxed),
            throttled: self.throttled.load(Ordering::Relaxed),
            peak: self.peak.load(Ordering::Relaxed),
        }
    }

    pub(super) async fn ended(&self, count: u64) {
        // The sender lives in `self`, so the wait cannot end by its loss.
        let _ = self.invocations.subscribe().wait_for(|seen| *seen >= count).await;
    }

    pub(super) fn requested(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A slot, if one is free now.
    pub(super) fn slot_now(&self) -> Option<Slot<'_>> {
        let slot = self.slots.try_acquire().ok();
        if slot.is_none() {
            self.throttled.fetch_add(1, Ordering::Relaxed);
        }
        slot
    }

    /// A slot, as soon as one is free.
    pub(super) async fn slot(&self) -> Option<Slot<'_>> {
        self.slots.acquire().await.ok()
    }

    /// Runs the function once. Returns its request id too.
    pub(super) async fn run(&self, slot: Slot<'_>, payload: Bytes) -> (String, Done) {
        let busy = Busy::enter(self);
        let (id, done) = self.run_somewhere(payload).await;
        if matches!(done, Done::Failed { .. }) {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        drop(busy);
        drop(slot);
        self.invocations.send_modify(|count| *count += 1);
        (id, done)
    }

    async fn run_somewhere(&self, payload: Bytes) -> (String, Done) {
        loop {
            let used = lock(&self.idle).pop();
            let is_new = used.is_none();
            let environment = match used {
                Some(environment) => environment,
                None => match self.start().await {
                    Ok(environment) => environment,
                    Err(failed) => return (request_id(), failed),
                },
            };
            let flight = environment.begin_raw(payload.clone(), self.function.timeout);
            let done = flight.outcome().await;
            // One that had died since it was last busy, and was never given the event.
            if !is_new && matches!(done.outcome, Outcome::Died(_)) && done.latency == Duration::ZERO {
                continue;
            }
            if environment.is_running() {
                lock(&self.idle).push(environment);
            }
            let came_to = self.done(&done.request_id, done.outcome);
            return (done.request_id, came_to);
        }
    }

    /// A new environment that has asked for its first event.
    async fn start(&self) -> Result<Arc<Environment>, Done> {
        let started = RuntimeApi::start().environment(self.function.clone()).await;
        let environment = Arc::new(started.map_err(|error| Done::Failed {
            kind: "Runtime.InvalidEntrypoint".into(),
            message: format!("Error: Couldn't find valid bootstrap(s): {error}"),
        })?);
        {
            let mut known = lock(&self.known);
            let ended = known.iter().filter(|environment| !environment.is_running()).count();
            let mut surplus = ended.saturating_sub(ENDED_KEPT);
            known.retain(|environment| {
                let goes = surplus > 0 && !environment.is_running();
                surplus -= usize::from(goes);
                !goes
            });
            known.push_back(Arc::clone(&environment));
        }
        match environment.ready().await {
            Ok(_) => Ok(environment),
            Err(NotReady::InitError { kind, message }) => Err(Done::Failed { kind, message }),
            Err(NotReady::Died(status)) => Err(exited("init", status)),
            Err(NotReady::TimedOut) => {
                environment.kill().await;
                Err(timed_out("init", Duration::from_secs(10)))
            }
        }
    }

    fn done(&self, id: &str, outcome: Outcome) -> Done {
        match outcome {
            Outcome::Response(value) => Done::Payload(value.to_string().into()),
            // Lambda does not read what a runtime of one's own answers.
            Outcome::Unreadable(bytes) => Done::Payload(bytes),
            Outcome::Error { kind, message } => Done::Failed { kind, message },
            Outcome::TimedOut => timed_out(id, self.function.timeout),
            Outcome::Died(status) => exited(id, status),
        }
    }
}

/// Counts one invocation as under way, however it ends.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn enter(pool: &'a Pool) -> Self {
        let now = pool.busy.fetch_add(1, Ordering::Relaxed) + 1;
        pool.peak.fetch_max(now, Ordering::Relaxed);
        Self(&pool.busy)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn timed_out(id: &str, after: Duration) -> Done {
    Done::Failed {
        kind: "Sandbox.Timedout".into(),
        message: format!("RequestId: {id} Error: Task timed out after {:.2} seconds", after.as_secs_f64()),
    }
}

fn exited(id: &str, status: ExitStatus) -> Done {
    Done::Failed {
        kind: "Runtime.ExitError".into(),
        message: format!("RequestId: {id} Error: Runtime exited with error: {status}"),
    }
}
