//! Lambda's `Invoke` API in front of [`runtime_api`](crate::runtime_api).
//!
//! A client of AWS that is given [`Lambda::endpoint`] (as `AWS_ENDPOINT_URL_LAMBDA`, say) invokes functions by their
//! names. Each is a real binary: environments are started as invocations need them, up to the function's concurrency,
//! and are used again. What goes wrong is told as Lambda tells it:
//!
//! - more at once than the concurrency: 429, `TooManyRequestsException`;
//! - an error of the function, its time-out, its death, a failed initialisation: 200, with `X-Amz-Function-Error` and the
//!   error as the payload;
//! - an unknown function 404, a payload over 6 MB 413, one that is no JSON 400, a request that is not signed 403.
//!
//! An `Event` invocation is answered with 202 and run once when there is room; Lambda would run it again after an error.
//! A `DryRun` is answered with 204. The tail of the log, client contexts and response streams are not there.
//!
//! Faults are [scripted](Lambda::script). Nothing is kept of an invocation but its count, unless it is
//! [asked for](Lambda::record): the front serves benchmarks too.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use stack::{lambda::{Fault, Lambda}, runtime_api::Function};
//!
//! let lambda = Lambda::start().await?;
//! lambda.function("dispatch", Function::new("target/debug/dispatch-rabbitmq"), 4);
//! lambda.script(1, Fault::Status(503));
//! // … somebody invokes it at `lambda.endpoint()` …
//! lambda.invoked("dispatch", 1).await;
//! # Ok(())
//! # }
//! ```

mod answer;
mod pool;
mod script;
mod server;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::task::JoinSet;

pub use self::pool::Counts;
use self::pool::Pool;
pub use self::script::Fault;
use self::script::Scripts;
use crate::listen::Doorway;
use crate::runtime_api::{Environment, Function};

/// The API, on a free port of 127.0.0.1. Dropping it closes every connection and kills every environment.
#[derive(Debug)]
pub struct Lambda {
    doorway: Doorway,
    shared: Arc<Shared>,
    tasks: Tasks,
}

/// What is served and run; all of it ends when the set is dropped.
type Tasks = Arc<Mutex<JoinSet<()>>>;

/// One payload that arrived for a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The function's name.
    pub function: String,
    /// The bytes of the event.
    pub payload: Bytes,
}

#[derive(Debug, Default)]
struct Shared {
    pools: Mutex<BTreeMap<String, Arc<Pool>>>,
    scripts: Mutex<Scripts>,
    record: Mutex<Record>,
}

/// The last payloads, as many as were asked for.
#[derive(Debug, Default)]
struct Record {
    limit: usize,
    last: VecDeque<Recorded>,
}

impl Lambda {
    /// Starts the API, without any function.
    ///
    /// # Errors
    ///
    /// No port could be had.
    pub async fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let tasks = Tasks::default();
        let doorway = Doorway::open({
            let (shared, tasks) = (Arc::clone(&shared), Arc::clone(&tasks));
            move |stream| {
                // Weak: what is in the set must not keep it.
                spawn(&tasks, server::serve(Arc::clone(&shared), stream, Arc::downgrade(&tasks)));
            }
        })
        .await?;
        Ok(Self { doorway, shared, tasks })
    }

    /// What to give a client as its endpoint URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.doorway.address())
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.doorway.address().port()
    }

    /// Makes a function of this name, which may run so many times at once. One of the same name is replaced, and its
    /// environments end when they have nothing more to do.
    pub fn function(&self, name: impl Into<String>, function: Function, concurrency: usize) {
        let name = name.into();
        let pool = Pool::new(Function { name: name.clone(), ..function }, concurrency);
        lock(&self.shared.pools).insert(name, Arc::new(pool));
    }

    /// The function's environments, in the order in which they were started: those that live, and the last few that have
    /// ended, for their logs. Holding one that was replaced keeps its process alive.
    #[must_use]
    pub fn environments(&self, function: &str) -> Vec<Arc<Environment>> {
        self.shared.pool(function).map_or_else(Vec::new, |pool| pool.environments())
    }

    /// What there has been of a function; nothing of an unknown one.
    #[must_use]
    pub fn counts(&self, function: &str) -> Counts {
        self.shared.pool(function).map_or_else(Counts::default, |pool| pool.counts())
    }

    /// Waits until so many invocations of a function have ended, with whatever result. An unknown one is not waited for.
    pub async fn invoked(&self, function: &str, count: u64) {
        if let Some(pool) = self.shared.pool(function) {
            pool.ended(count).await;
        }
    }

    /// Has the next `times` requests for a known function meet a fault. Scripts are used up one after another.
    pub fn script(&self, times: usize, fault: Fault) {
        lock(&self.shared.scripts).add(times, fault);
    }

    /// How many scripts have not been used up. A test that scripts a fault should see that it happened.
    #[must_use]
    pub fn unused_scripts(&self) -> usize {
        lock(&self.shared.scripts).unused()
    }

    /// Drops all scripts.
    pub fn clear_scripts(&self) {
        lock(&self.shared.scripts).clear();
    }

    /// Keeps the payloads of requests from now on, the last `limit` of them; 0 keeps none, as it is at first.
    pub fn record(&self, limit: usize) {
        *lock(&self.shared.record) = Record { limit, last: VecDeque::new() };
    }

    /// The payloads that were kept, in the order of their arrival.
    #[must_use]
    pub fn recorded(&self) -> Vec<Recorded> {
        lock(&self.shared.record).last.iter().cloned().collect()
    }

    /// Closes the port, so that new connections are refused, or opens it again. Connections there are stay.
    pub async fn refuse(&self, refuse: bool) {
        self.doorway.set_open(!refuse).await;
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        // At once, and not when the runtime comes round to dropping what was spawned.
        lock(&self.tasks).abort_all();
        lock(&self.shared.pools).clear();
    }
}

impl Shared {
    fn pool(&self, function: &str) -> Option<Arc<Pool>> {
        lock(&self.pools).get(function).cloned()
    }

    fn record(&self, function: &str, payload: &Bytes) {
        let mut record = lock(&self.record);
        if record.limit == 0 {
            return;
        }
        if record.last.len() == record.limit {
            record.last.pop_front();
        }
        // Copied: a slice would keep the whole buffer of its connection.
        let payload = Bytes::copy_from_slice(payload);
        record.last.push_back(Recorded { function: function.to_owned(), payload });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spawn(tasks: &Mutex<JoinSet<()>>, task: impl Future<Output = ()> + Send + 'static) {
    let mut tasks = lock(tasks);
    // What has ended is let go, or the set would grow for ever.
    while tasks.try_join_next().is_some() {}
    tasks.spawn(task);
}

#[cfg(test)]
mod tests;
