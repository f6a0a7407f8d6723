//! A dispatcher on a real table and a strict SES, with a bell that remembers.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use doorbell::{Bell, Lane, Ring, RingError, Rung, aws::AwsAccess};
use fastrand::Rng;
use outbox::{
    config::SendPolicy,
    dispatch::{Answer, Dispatcher, Doorbell},
    retry::RetryPolicy,
    ses::{SesConfig, SesMailer},
    store::Database,
};
use stack::ses::Ses;

use crate::world::Table;

/// Remembers what was rung.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    rings: Mutex<Vec<Ring>>,
    broken: AtomicBool,
}

impl Memory {
    pub(crate) fn rings(&self) -> Vec<Ring> {
        self.rings.lock().expect("not poisoned").clone()
    }

    pub(crate) fn break_queue(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }
}

impl Bell for Memory {
    async fn ring(&self, ring: Ring) -> Result<Rung, RingError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(RingError { lane: ring.lane, source: "the queue is away".into() });
        }
        self.rings.lock().expect("not poisoned").push(ring);
        Ok(Rung::Yes)
    }

    fn lane_of_queue(&self, _: &str) -> Lane {
        Lane::Urgent
    }
}

/// What the tests send by unless they say otherwise.
pub(crate) const POLICY: SendPolicy = SendPolicy {
    pace: None,
    ses_timeout: Duration::from_secs(10),
    retry: RetryPolicy {
        max_attempts: 8,
        base: Duration::from_secs(2),
        cap: Duration::from_hours(1),
        retry_for: Duration::from_hours(48),
    },
    concurrency: 4,
};

/// A table, an SES, and what stands between them.
pub(crate) struct Stage {
    pub(crate) table: Table,
    pub(crate) ses: Ses,
    pub(crate) policy: SendPolicy,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::on(Table::new().await).await
    }

    pub(crate) async fn on(table: Table) -> Self {
        Self { table, ses: Ses::start().await.expect("a free port"), policy: POLICY }
    }

    pub(crate) fn mailer(&self) -> SesMailer {
        mailer(&self.ses.endpoint())
    }

    pub(crate) fn dispatcher(&self) -> Dispatcher<SesMailer, Memory> {
        self.dispatcher_through(self.table.plain_as("dispatch-sqs"))
    }

    pub(crate) fn dispatcher_through(&self, database: Database) -> Dispatcher<SesMailer, Memory> {
        Dispatcher::new(database, self.mailer(), Memory::default(), self.policy)
    }

    /// Rings once for `id`, and returns the answer and what was rung again.
    pub(crate) async fn ring(&self, id: u64) -> (Answer, Vec<Ring>) {
        let dispatcher = self.dispatcher();
        let answer = ring(&dispatcher, id).await;
        (answer, dispatcher.bell().rings())
    }
}

/// The way to an SES at this endpoint.
pub(crate) fn mailer(endpoint: &str) -> SesMailer {
    let credentials = aws_credential_types::Credentials::new("key", "secret", None, None, "test");
    let access = AwsAccess::new("eu-west-1", credentials, None).expect("the embedded roots");
    SesMailer::new(
        &access,
        SesConfig {
            endpoint_url: Some(endpoint.to_owned()),
            configuration_set: None,
            connect_timeout: Duration::from_secs(3),
        },
    )
}

/// A doorbell for `id`, rung for the first time.
pub(crate) fn doorbell(id: u64) -> Doorbell {
    Doorbell { email_id: Ok(id), lane: Lane::Urgent, tries: 0, group: None, trace: None }
}

/// A Lambda's usual half minute.
pub(crate) fn half_a_minute() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// One doorbell, one invocation.
pub(crate) async fn ring(dispatcher: &Dispatcher<SesMailer, Memory>, id: u64) -> Answer {
    let answers = dispatcher.dispatch(&[doorbell(id)], half_a_minute(), &mut Rng::new()).await;
    assert_eq!(answers.len(), 1);
    answers[0]
}
