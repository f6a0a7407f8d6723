//! A strict stand-in for Amazon SES's `SendEmail` (API v2), over HTTP.
//!
//! It refuses what SES refuses, keeps the whole of every request, and knows the truth that a sender cannot: whether
//! a message was *taken*, whatever became of the answer. Faults are scripted per email, so that each ambiguity of
//! a network between a sender and SES can be brought about at will, without waiting.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use stack::ses::{Fault, Match, Ses};
//!
//! let ses = Ses::start().await?;
//! // Email 41 is taken, but its sender never hears of it.
//! ses.script(Match::EmailId(41), 1, Fault::CloseAfterRead { taken: true });
//! // … send through ses.endpoint() …
//! assert_eq!(ses.taken().len(), 1);
//! # Ok(())
//! # }
//! ```

mod account;
mod address;
mod check;
mod event;
mod eventbridge;
mod mime;
mod read;
mod recorded;
mod refusal;
mod script;
mod server;
mod signature;
mod wire;

#[cfg(test)]
mod tests;

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Instant, SystemTime},
};

use tokio::{sync::watch, task::JoinSet};

pub use self::{
    event::{EventKind, event, event_for},
    recorded::{Answer, Attachment, Message, Recorded},
    refusal::{Refusal, SesError},
    script::{Fault, Match},
};
use crate::listen::Doorway;
use account::{Account, Bucket, Quota};
use script::Scripts;

/// Where events go, and which.
type Emission = Option<(String, Vec<EventKind>)>;

/// The stand-in, on a free port of 127.0.0.1. Dropping it closes every connection.
#[derive(Debug)]
pub struct Ses {
    doorway: Doorway,
    shared: Arc<Shared>,
    hang_up: watch::Sender<u64>,
    _connections: Arc<Mutex<JoinSet<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    records: Mutex<Vec<Recorded>>,
    arrivals: watch::Sender<usize>,
    scripts: Mutex<Scripts>,
    account: Mutex<Account>,
    emission: Mutex<Emission>,
    emit_errors: Mutex<Vec<String>>,
    connections: AtomicUsize,
}

impl Ses {
    /// Starts the stand-in: an account out of the sandbox, without a limit of its rate, for which every sender and
    /// every configuration set is in order.
    ///
    /// # Errors
    ///
    /// No port could be had.
    pub async fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let hang_up = watch::Sender::new(0);
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let doorway = Doorway::open({
            let (shared, hang_up, connections) =
                (Arc::clone(&shared), hang_up.clone(), Arc::clone(&connections));
            move |stream| {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let mut tasks = lock(&connections);
                // What has ended is let go, or the set would grow for ever.
                while tasks.try_join_next().is_some() {}
                tasks.spawn(server::serve(Arc::clone(&shared), stream, hang_up.subscribe()));
            }
        })
        .await?;
        Ok(Self { doorway, shared, hang_up, _connections: connections })
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

    /// Every request, in the order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.records().clone()
    }

    /// The requests answered with 200 and a message id.
    #[must_use]
    pub fn accepted(&self) -> Vec<Recorded> {
        self.some(|record| record.answer == Answer::Accepted)
    }

    /// The requests whose message was taken, whatever was answered: the mail that is on its way.
    #[must_use]
    pub fn taken(&self) -> Vec<Recorded> {
        self.some(|record| record.taken)
    }

    /// The requests tagged with this `email_id`.
    #[must_use]
    pub fn requests_for(&self, email_id: u64) -> Vec<Recorded> {
        self.some(|record| record.email_id == Some(email_id))
    }

    /// How often this email was taken: more than once is a duplicate.
    #[must_use]
    pub fn times_taken(&self, email_id: u64) -> usize {
        let records = self.shared.records();
        records.iter().filter(|record| record.taken && record.email_id == Some(email_id)).count()
    }

    /// How many requests there have been.
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.shared.records().len()
    }

    /// How many TCP connections there have been.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Waits until so many requests have arrived, answered or not.
    pub async fn arrived(&self, count: usize) {
        let _ = self.shared.arrivals.subscribe().wait_for(|seen| *seen >= count).await;
    }

    /// Forgets all requests. None may be under way.
    pub fn forget(&self) {
        self.shared.records().clear();
        self.shared.arrivals.send_replace(0);
    }

    /// Has the next `times` requests that match meet a fault. Of several scripts that match, the first is used up
    /// before the next.
    pub fn script(&self, wanted: Match, times: usize, fault: Fault) {
        self.shared.scripts().add(wanted, times, fault);
    }

    /// How many scripts have not been used up. A test that scripts a fault should see that it happened.
    #[must_use]
    pub fn unused_scripts(&self) -> usize {
        self.shared.scripts().unused()
    }

    /// Drops all scripts.
    pub fn clear_scripts(&self) {
        self.shared.scripts().clear();
    }

    /// Limits the rate to so many recipients a second, with a burst of one second's worth; `None`: no limit.
    pub fn rate_limit(&self, recipients_per_second: Option<f64>) {
        self.shared.account().rate = recipients_per_second.map(|rate| Bucket::full(rate, Instant::now()));
    }

    /// Lets so many recipients more be written to; `None`: no quota.
    pub fn daily_quota(&self, recipients: Option<usize>) {
        self.shared.account().quota = recipients.map(|limit| Quota { limit, used: 0 });
    }

    /// Pauses the account's sending, or lets it go on.
    pub fn pause(&self, paused: bool) {
        self.shared.account().paused = paused;
    }

    /// Suspends the account, or reinstates it.
    pub fn suspend(&self, suspended: bool) {
        self.shared.account().suspended = suspended;
    }

    /// Makes the custom MAIL FROM domain unverified, or verified again.
    pub fn mail_from_unverified(&self, unverified: bool) {
        self.shared.account().mail_from_unverified = unverified;
    }

    /// Puts the account into the sandbox, where only these addresses and domains may be written to; `None` takes
    /// it out.
    pub fn sandbox(&self, verified: Option<&[&str]>) {
        self.shared.account().sandbox = verified.map(lower);
    }

    /// Lets only these addresses and domains be written from; `None`: all.
    pub fn verified_senders(&self, verified: Option<&[&str]>) {
        self.shared.account().senders = verified.map(lower);
    }

    /// Lets only these configuration sets exist; `None`: all.
    pub fn configuration_sets(&self, names: Option<&[&str]>) {
        self.shared.account().configuration_sets =
            names.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    }

    /// Closes the port and every idle connection, so that connections are refused, or opens it again.
    pub async fn refuse(&self, refuse: bool) {
        self.doorway.set_open(!refuse).await;
        if refuse {
            self.close_idle();
        }
    }

    /// Closes every connection on which no request is under way, as a server does with connections kept alive.
    pub fn close_idle(&self) {
        self.hang_up.send_modify(|count| *count += 1);
    }

    /// Puts these events of every message taken from now on upon the default bus of the EventBridge at `endpoint`
    /// (`http://host:port`). As with SES, there are none for a message without a configuration set.
    pub fn emit_events_to(&self, endpoint: impl Into<String>, kinds: &[EventKind]) {
        *self.shared.emission() = Some((endpoint.into(), kinds.to_vec()));
    }

    /// Puts one event on that bus now.
    ///
    /// # Errors
    ///
    /// There is no such bus, or it could not be reached, or did not take the event.
    pub async fn emit(&self, record: &Recorded, kind: EventKind) -> io::Result<()> {
        let endpoint = self.shared.emission().as_ref().map(|(endpoint, _)| endpoint.clone());
        let endpoint = endpoint.ok_or_else(|| io::Error::other("no EventBridge to put events on"))?;
        eventbridge::put(&endpoint, &record.region, &event(record, kind)).await
    }

    /// Why events could not be put on the bus, so far.
    #[must_use]
    pub fn emit_errors(&self) -> Vec<String> {
        self.shared.emit_errors().clone()
    }

    fn some(&self, wanted: impl Fn(&Recorded) -> bool) -> Vec<Recorded> {
        self.shared.records().iter().filter(|record| wanted(record)).cloned().collect()
    }
}

impl Shared {
    fn records(&self) -> MutexGuard<'_, Vec<Recorded>> {
        lock(&self.records)
    }

    fn scripts(&self) -> MutexGuard<'_, Scripts> {
        lock(&self.scripts)
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        lock(&self.account)
    }

    fn emission(&self) -> MutexGuard<'_, Emission> {
        lock(&self.emission)
    }

    fn emit_errors(&self) -> MutexGuard<'_, Vec<String>> {
        lock(&self.emit_errors)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lower(names: &[&str]) -> std::collections::BTreeSet<String> {
    names.iter().map(|name| name.to_lowercase()).collect()
}

/// A message id in the look of SES's: `0102019a1c2b3d4e-5f6a7b8c-0d1e-4f20-a1b2-c3d4e5f60718-000000`.
fn message_id() -> String {
    format!("{}-{}-000000", event::prefix(SystemTime::now()), random_uuid())
}

fn random_uuid() -> String {
    let digits = format!("{:032x}", fastrand::u128(..));
    // Version 4, variant 1.
    let (first, rest) = digits.split_at(8);
    format!("{first}-{}-4{}-a{}-{}", &rest[..4], &rest[5..8], &rest[9..12], &rest[12..])
}
