//! The worker of old: it connects to the database once, and works off its queue for ever.
//!
//! It is written as such workers are, with nothing made worse than it need be. It takes one message at a time, reads the
//! row, sends if it is still to be sent, marks it, and lets the message go. An error costs the message it happened to:
//! that is reported as failed, and the worker goes on with the next. SES is called once.

use std::{error::Error, time::Duration};

use aws_sdk_sesv2::{
    Client,
    config::{BehaviorVersion, Region, retry::RetryConfig},
    types::{Body, Content, Destination, EmailContent, Message, MessageTag},
};
use doorbell::aws::AwsAccess;
use futures_util::StreamExt as _;
use lapin::{
    Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions},
    types::FieldTable,
};
use serde_json::Value;
use sqlx::{Connection as _, MySqlConnection, mysql::MySqlDatabaseError};
use tokio::{sync::watch, task::JoinHandle};

/// What the worker of old does about connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Opens one when it starts.
    OneForEver,
    /// Opens one for every message, as the cure for the first, and closes none.
    OneAMessage,
}

/// What became of its messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Book {
    /// How often it was started: once, while its broker stays.
    pub(crate) starts: usize,
    /// Sent and marked, or found to be so already.
    pub(crate) done: usize,
    /// "MySQL server has gone away", "Lost connection to MySQL server".
    pub(crate) gone_away: usize,
    /// "Too many connections".
    pub(crate) too_many: usize,
    /// Any other error.
    pub(crate) others: Vec<String>,
}

/// A worker that has been started once and has done nothing yet.
pub(crate) const STARTED: Book = Book { starts: 1, done: 0, gone_away: 0, too_many: 0, others: Vec::new() };

impl Book {
    /// Messages dealt with, one way or another.
    pub(crate) fn handled(&self) -> usize {
        self.done + self.failed()
    }

    /// Messages that it reported as failed.
    pub(crate) fn failed(&self) -> usize {
        self.gone_away + self.too_many + self.others.len()
    }

    fn enter(&mut self, handled: Result<(), sqlx::Error>) {
        let Err(error) = handled else {
            self.done += 1;
            return;
        };
        let code = error.as_database_error().and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
        match (code.map(MySqlDatabaseError::number), &error) {
            (Some(1040), _) => self.too_many += 1,
            // The server says good-bye where it can: it shuts down, it killed the connection, or that was idle.
            // Otherwise the connection is just gone, which clients of MySQL number 2006 and 2013.
            (Some(1053 | 1927 | 4031), _) | (None, sqlx::Error::Io(_)) => self.gone_away += 1,
            _ => self.others.push(format!("{error:?}")),
        }
    }
}

/// Its bound of reaching the broker.
const CONNECTS_WITHIN: Duration = Duration::from_secs(3);

/// Where the worker finds everything.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) database_url: String,
    pub(crate) ses_endpoint: String,
    pub(crate) broker_uri: String,
    pub(crate) queue: String,
}

/// The worker, running. Dropping it kills it.
pub(crate) struct Peer {
    queue: String,
    book: watch::Receiver<Book>,
    task: JoinHandle<()>,
}

impl Peer {
    /// Has it started, and waits until it consumes. A worker that ends is started again, as by any supervisor of
    /// processes.
    pub(crate) async fn start(surroundings: Surroundings, habit: Habit) -> Self {
        let (writes, book) = watch::channel(Book::default());
        let queue = surroundings.queue.clone();
        let task = tokio::spawn(async move {
            loop {
                // It ends only without its broker, or when the database is away while it starts.
                let _ = run(&surroundings, habit, &writes).await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        let peer = Self { queue, book, task };
        peer.wait(|book| book.starts > 0).await;
        peer
    }

    /// The queue it consumes.
    pub(crate) fn queue(&self) -> &str {
        &self.queue
    }

    /// What became of its messages so far.
    pub(crate) fn book(&self) -> Book {
        self.book.borrow().clone()
    }

    /// Waits until it has dealt with so many messages.
    pub(crate) async fn handled(&self, count: usize) -> Book {
        self.wait(|book| book.handled() >= count).await
    }

    async fn wait(&self, until: impl FnMut(&Book) -> bool) -> Book {
        self.book.clone().wait_for(until).await.expect("the worker runs").clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    surroundings: &Surroundings,
    habit: Habit,
    book: &watch::Sender<Book>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let url = format!("{}?ssl-mode=disabled", surroundings.database_url);
    let ses = client(&surroundings.ses_endpoint);
    let opened = Connection::connect(&surroundings.broker_uri, ConnectionProperties::default());
    let broker = tokio::time::timeout(CONNECTS_WITHIN, opened).await??;
    let channel = broker.create_channel().await?;
    channel.basic_qos(1, BasicQosOptions::default()).await?;
    // Last, or the server's patience would be spent on the broker.
    let mut connections = Vec::new();
    if habit == Habit::OneForEver {
        connections.push(MySqlConnection::connect(&url).await?);
    }
    let (queue, options) = (surroundings.queue.as_str().into(), BasicConsumeOptions::default());
    let mut messages = channel.basic_consume(queue, "".into(), options, FieldTable::default()).await?;
    book.send_modify(|book| book.starts += 1);
    while let Some(message) = messages.next().await {
        let message = message?;
        let doorbell: Value = serde_json::from_slice(&message.data)?;
        let handled = async {
            if habit == Habit::OneAMessage {
                connections.push(MySqlConnection::connect(&url).await?);
            }
            let connection = connections.last_mut().expect("there is one");
            work(connection, &ses, doorbell["email_id"].as_u64().unwrap_or_default()).await
        };
        let handled = handled.await;
        let is_done = handled.is_ok();
        book.send_modify(|book| book.enter(handled));
        if is_done {
            message.ack(BasicAckOptions::default()).await?;
        } else {
            message.reject(BasicRejectOptions { requeue: false }).await?;
        }
    }
    Ok(())
}

/// One message.
async fn work(connection: &mut MySqlConnection, ses: &Client, id: u64) -> Result<(), sqlx::Error> {
    let row: Option<(String, String, String)> =
        sqlx::query_as("SELECT recipient, subject, body FROM email WHERE id = ? AND status = 'queued'")
            .bind(id)
            .fetch_optional(&mut *connection)
            .await?;
    let Some((recipient, subject, body)) = row else { return Ok(()) };
    let content = |text: String| Content::builder().data(text).build().expect("it has data");
    let message = Message::builder()
        .subject(content(subject))
        .body(Body::builder().text(content(body)).build())
        .build();
    let tag = MessageTag::builder().name("email_id").value(id.to_string()).build().expect("it has both");
    let sent = ses
        .send_email()
        .from_email_address("Shop <orders@shop.example>")
        .destination(Destination::builder().to_addresses(recipient).build())
        .content(EmailContent::builder().simple(message).build())
        .email_tags(tag)
        .send()
        .await;
    sent.map_err(|error| sqlx::Error::Configuration(error.into()))?;
    sqlx::query("UPDATE email SET status = 'sent', sent_at = UTC_TIMESTAMP(6) WHERE id = ?")
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

fn client(endpoint: &str) -> Client {
    let credentials = aws_credential_types::Credentials::new("key", "secret", None, None, "test");
    let access = AwsAccess::new("eu-west-1", credentials, None).expect("the embedded roots");
    let config = aws_sdk_sesv2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(access.region))
        .credentials_provider(access.credentials)
        .http_client(access.http_client)
        .endpoint_url(endpoint)
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}
