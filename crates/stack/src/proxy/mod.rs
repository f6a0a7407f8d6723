//! A TCP proxy that counts what passes and cuts where it is told to.
//!
//! It finds *flights*: runs of client data that no answer interrupts. Each flight, and the beginning of each
//! answer, is a numbered step at which a test can wait, hold, cut or stall, so that every place where a network
//! can fail is reached by counting and not by timing. A round trip is a flight that was answered.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! # let database = "127.0.0.1:3306".parse().unwrap();
//! use stack::proxy::Proxy;
//!
//! let proxy = Proxy::start(database).await?;
//! // The next connection's third request reaches the server; its answer never comes back.
//! proxy.lose_answer(2);
//! // … connect to 127.0.0.1:{proxy.port()}, work …
//! assert_eq!(proxy.totals().peak_open, 1);
//! # Ok(())
//! # }
//! ```

mod carry;
mod count;
mod script;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

pub use self::{
    count::{Closed, ConnectionCount, Totals},
    script::{Action, How, On, Point},
};
use crate::{gate::Gate, listen::Doorway};
use script::Rules;

/// A proxy on a free port of 127.0.0.1. Dropping it closes every connection.
#[derive(Debug)]
pub struct Proxy {
    doorway: Doorway,
    shared: Arc<Shared>,
}

/// What the connections are told while they run.
#[derive(Clone, Copy, Debug)]
struct Orders {
    cuts: u64,
    how: How,
    blackhole: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Steps {
    requests: usize,
    answers: usize,
}

#[derive(Debug, Default)]
struct Book {
    accepted: u64,
    peak_open: usize,
    live: BTreeMap<u64, ConnectionCount>,
    ended: Vec<ConnectionCount>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    delay_nanos: AtomicU64,
    orders: watch::Sender<Orders>,
    steps: watch::Sender<Steps>,
    rules: Mutex<Rules>,
    book: Mutex<Book>,
}

impl Proxy {
    /// Starts a proxy to `target`.
    ///
    /// # Errors
    ///
    /// No port could be had.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            target,
            delay_nanos: AtomicU64::new(0),
            orders: watch::Sender::new(Orders { cuts: 0, how: How::Close, blackhole: false }),
            steps: watch::Sender::default(),
            rules: Mutex::default(),
            book: Mutex::default(),
        });
        let doorway = Doorway::open({
            let shared = Arc::clone(&shared);
            move |client| {
                let id = shared.accepted();
                let orders = shared.orders.subscribe();
                let born = orders.borrow().cuts;
                tokio::spawn(carry::carry(Arc::clone(&shared), id, client, orders, born));
            }
        })
        .await?;
        Ok(Self { doorway, shared })
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address().port()
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.doorway.address()
    }

    /// Every connection since the start or the last reset, in the order of acceptance; counts of those still
    /// open are as of now.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionCount> {
        let book = self.shared.book();
        let mut all: Vec<_> = book.ended.iter().chain(book.live.values()).copied().collect();
        all.sort_by_key(|count| count.id);
        all
    }

    /// All connections together.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let book = self.shared.book();
        let mut totals = Totals {
            connections: book.ended.len() + book.live.len(),
            open: book.live.len(),
            peak_open: book.peak_open,
            ..Totals::default()
        };
        for count in book.ended.iter().chain(book.live.values()) {
            totals.bytes_up += count.bytes_up;
            totals.bytes_down += count.bytes_down;
            totals.requests += count.requests;
            totals.round_trips += count.round_trips;
            totals.unanswered_requests += count.unanswered_requests();
        }
        totals
    }

    /// Forgets the ended connections, the steps reached and the scripts not used, and takes the connections open
    /// now as the peak. Cuts, delay and refusal stay as they are.
    pub fn reset(&self) {
        let mut book = self.shared.book();
        book.ended.clear();
        book.peak_open = book.live.len();
        self.shared.rules().clear();
        self.shared.steps.send_replace(Steps::default());
    }

    /// Waits until no connection is open. Counts are final only then: a client may have closed its side while
    /// the proxy has not read that yet.
    pub async fn idle(&self) {
        // Every ending of a connection is announced as a step.
        let _ = self.shared.steps.subscribe().wait_for(|_| self.shared.book().live.is_empty()).await;
    }

    /// Waits until any connection has reached `point`, since the start or the last reset.
    pub async fn reached(&self, point: Point) {
        let reached = |steps: &Steps| match point {
            Point::Request(flight) => steps.requests > flight,
            Point::Answer(flight) => steps.answers > flight,
        };
        let _ = self.shared.steps.subscribe().wait_for(reached).await;
    }

    /// Does `action` when a connection reaches `point`.
    pub fn script(&self, on: On, point: Point, action: Action) {
        let accepted = self.shared.book().accepted;
        self.shared.rules().add(accepted, on, point, action);
    }

    /// On the next connection: flight `flight` is passed on, its whole answer awaited, and then the connection
    /// is reset instead of passing the answer back.
    pub fn lose_answer(&self, flight: usize) {
        self.script(On::Next, Point::Answer(flight), Action::Cut(How::Reset));
    }

    /// On the next connection: it is reset when flight `flight` arrives; the server never sees that flight.
    pub fn cut_before_request(&self, flight: usize) {
        self.script(On::Next, Point::Request(flight), Action::Cut(How::Reset));
    }

    /// On the next connection: flight `flight` is passed on, and from then on nothing comes back.
    pub fn stall_after_request(&self, flight: usize) {
        self.script(On::Next, Point::Answer(flight), Action::Stall);
    }

    /// On the next connection: flight `flight` is held before it is passed on.
    #[must_use]
    pub fn hold(&self, flight: usize) -> Gate {
        self.gate(Point::Request(flight))
    }

    /// On the next connection: the answer to flight `flight` is held before it is passed back.
    #[must_use]
    pub fn hold_answer(&self, flight: usize) -> Gate {
        self.gate(Point::Answer(flight))
    }

    /// Cuts every open connection now.
    pub fn cut_all(&self, how: How) {
        self.shared.orders.send_modify(|orders| {
            orders.cuts += 1;
            orders.how = how;
        });
    }

    /// Swallows everything in silence, on the open connections and on new ones, while switched on. Connections
    /// caught by it never work again; they stay open until cut.
    pub fn blackhole(&self, on: bool) {
        self.shared.orders.send_modify(|orders| orders.blackhole = on);
    }

    /// Closes the port, so that new connections are refused, or opens it again. Open connections go on.
    pub async fn refuse(&self, refuse: bool) {
        self.doorway.set_open(!refuse).await;
    }

    /// Delays every piece of data by so much, each way. Zero by default.
    pub fn delay(&self, delay: Duration) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.shared.delay_nanos.store(nanos, Ordering::Relaxed);
    }

    fn gate(&self, point: Point) -> Gate {
        let gate = Gate::new();
        self.script(On::Next, point, Action::Hold(gate.clone()));
        gate
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut_all(How::Close);
    }
}

impl Shared {
    fn accepted(&self) -> u64 {
        let mut book = self.book();
        let id = book.accepted;
        book.accepted += 1;
        book.live.insert(id, count::Progress::new(id).count);
        book.peak_open = book.peak_open.max(book.live.len());
        id
    }

    fn note(&self, count: ConnectionCount) {
        self.book().live.insert(count.id, count);
    }

    fn ended(&self, count: ConnectionCount) {
        let mut book = self.book();
        book.live.remove(&count.id);
        book.ended.push(count);
        drop(book);
        self.steps.send_modify(|_| {});
    }

    fn step(&self, point: Point) {
        self.steps.send_modify(|steps| match point {
            Point::Request(flight) => steps.requests = steps.requests.max(flight + 1),
            Point::Answer(flight) => steps.answers = steps.answers.max(flight + 1),
        });
    }

    fn actions(&self, id: u64, point: Point) -> Vec<Action> {
        self.rules().take(id, point)
    }

    async fn linger(&self) {
        let nanos = self.delay_nanos.load(Ordering::Relaxed);
        if nanos > 0 {
            tokio::time::sleep(Duration::from_nanos(nanos)).await;
        }
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
