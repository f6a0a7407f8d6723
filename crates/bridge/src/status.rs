//! How the bridge is: what `GET /health` says, what the line of progress counts, and what is logged when it changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

use crate::function::Path;

/// What everybody writes down.
#[derive(Debug)]
pub struct Status {
    state: Mutex<State>,
    /// The way to the function.
    pub path: Path,
}

#[derive(Debug)]
struct State {
    broker: Condition,
    /// What was said of it since it was last good.
    broker_told: BTreeSet<String>,
    queues: BTreeMap<String, Condition>,
    stopping: bool,
    counts: Counts,
}

/// How a part is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    /// Not yet anything.
    Starting,
    Good,
    /// And why.
    Bad(String),
}

/// What happened since the start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Messages that came.
    pub received: u64,
    /// Messages that the function handled.
    pub acked: u64,
    /// Messages that were put aside for another try.
    pub retried: u64,
    /// Messages that are tried no more.
    pub dead: u64,
    /// Messages that were given back without a count.
    pub returned: u64,
    /// Events that the function was invoked with.
    pub invocations: u64,
    /// Events that the function failed with.
    pub failures: u64,
    /// Messages in events under way.
    pub in_flight: u64,
}

impl Status {
    /// Of a bridge that serves these queues.
    #[must_use]
    pub fn of(queues: &[String]) -> Self {
        let queues = queues.iter().map(|queue| (queue.clone(), Condition::Starting)).collect();
        let counts = Counts::default();
        let state = State {
            broker: Condition::Starting,
            broker_told: BTreeSet::new(),
            queues,
            stopping: false,
            counts,
        };
        Self { state: Mutex::new(state), path: Path::default() }
    }

    /// Counts something.
    pub fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.lock().counts);
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// The broker answers.
    pub fn broker_is_good(&self, host: &str, vhost: &str) {
        let mut state = self.lock();
        state.broker_told.clear();
        if std::mem::replace(&mut state.broker, Condition::Good) != Condition::Good {
            tracing::info!(host, vhost, "broker.connected");
        }
    }

    /// The broker does not. One that is starting refuses now in one way, now in another: each is said once.
    pub fn broker_is_bad(&self, host: &str, vhost: &str, reason: &str) {
        let mut state = self.lock();
        state.broker = Condition::Bad(reason.to_owned());
        if state.broker_told.insert(reason.to_owned()) {
            let queues = state.queues.keys().map(String::as_str).collect::<Vec<_>>().join(",");
            tracing::error!(host, vhost, queues, error.detail = reason, "broker.away");
        }
    }

    /// Messages of the queue come.
    pub fn queue_is_good(&self, queue: &str) {
        if self.replace(queue, Condition::Good) {
            tracing::info!(queue, "queue.consuming");
        }
    }

    /// They do not.
    pub fn queue_is_bad(&self, queue: &str, reason: &str) {
        if self.replace(queue, Condition::Bad(reason.to_owned())) {
            tracing::error!(queue, error.detail = reason, "queue.broken");
        }
    }

    fn replace(&self, queue: &str, now: Condition) -> bool {
        let mut state = self.lock();
        state.queues.get_mut(queue).is_some_and(|before| {
            let changed = *before != now;
            *before = now;
            changed
        })
    }

    /// No more is taken.
    pub fn is_stopping(&self) {
        self.lock().stopping = true;
    }

    /// Whether all is well, and how each part is. Nothing secret.
    #[must_use]
    pub fn health(&self) -> (bool, Value) {
        let state = self.lock();
        let trouble = self.path.trouble();
        let good = state.broker == Condition::Good
            && state.queues.values().all(|queue| *queue == Condition::Good)
            && trouble.is_none()
            && !state.stopping;
        let queues: serde_json::Map<_, _> =
            state.queues.iter().map(|(name, queue)| (name.clone(), queue.text().into())).collect();
        let function = trouble
            .map_or_else(|| "ok".to_owned(), |trouble| format!("{}: {}", trouble.kind, trouble.detail));
        let counts = state.counts;
        let health = json!({
            "broker": state.broker.text(),
            "queues": queues,
            "function": function,
            "stopping": state.stopping,
            "in_flight": counts.in_flight,
            "received": counts.received,
            "acked": counts.acked,
            "retried": counts.retried,
            "dead": counts.dead,
            "returned": counts.returned,
            "invocations": counts.invocations,
            "failures": counts.failures,
        });
        (good, health)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Condition {
    fn text(&self) -> &str {
        match self {
            Self::Starting => "starting",
            Self::Good => "ok",
            Self::Bad(reason) => reason,
        }
    }
}

/// The line of progress: what was counted since the line before, and in all.
pub fn report(now: Counts, before: Counts, interval_s: f64) {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = (now.acked - before.acked) as f64 / interval_s;
    tracing::info!(
        received = now.received - before.received,
        acked = now.acked - before.acked,
        retried = now.retried - before.retried,
        dead = now.dead - before.dead,
        returned = now.returned - before.returned,
        invocations = now.invocations - before.invocations,
        failures = now.failures - before.failures,
        in_flight = now.in_flight,
        acked_per_s = (rate * 10.0).round() / 10.0,
        received_in_all = now.received,
        acked_in_all = now.acked,
        retried_in_all = now.retried,
        dead_in_all = now.dead,
        "progress"
    );
}
