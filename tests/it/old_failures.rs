//! The failures that sendonce began with: "MySQL server has gone away" and "Too many connections".
//!
//! Each scenario runs sendonce and the worker of old ([`peer`]) beside each other: on the same server, through the same
//! trouble, each with a table, an SES and a way to the database of its own. sendonce has to send every email once without
//! an error that its users would see; the worker has to fail as it did. `docs/OLD-FAILURES.md` tells what was measured.

mod broker;
mod broker_away;
mod crowd;
mod idle;
mod network;
mod peer;
mod restarts;
mod way_in;

use std::time::Duration;

use serde_json::json;
use stack::{
    database::{Database, Options, Server},
    gate::Gate,
    proxy::Proxy,
    runtime_api::Function,
    ses::{Fault, Match, Ses},
};

use self::{
    broker::Broker,
    peer::{Habit, Peer, Surroundings},
    way_in::WayIn,
};
use crate::{
    function::Site,
    world::{flavor, function_binary},
};

/// The flights of an invocation's connection: it logs in, claims and reads, records.
const CLAIM: usize = 1;
const RECORD: usize = 2;

/// Longer than anything here may take that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// One scenario's server, and what each of the two has of its own.
struct Scene {
    site: Site,
    proxy: Proxy,
    old: Old,
    broker: Broker,
    /// What stands before the broker, if something does.
    broker_proxy: Option<Proxy>,
}

/// What the worker of old has.
struct Old {
    database: Database,
    ses: Ses,
    proxy: Proxy,
}

impl Scene {
    /// A server with these arguments, and the broker that all share.
    async fn new(arguments: &[&str]) -> Self {
        Self::with(Broker::shared().await, arguments).await
    }

    async fn with(broker: Broker, arguments: &[&str]) -> Self {
        let options =
            arguments.iter().fold(Options::new(flavor()), |options, argument| options.arg(*argument));
        let server = Server::start(options).await.expect("the server starts");
        let database = server.create_database().await.expect("the schema applies");
        let (proxy, old) = (proxy(server.port()).await, Old::new(&server).await);
        let site = Site { server, database, ses: Ses::start().await.expect("a free port") };
        Self { site, proxy, old, broker, broker_proxy: None }
    }

    /// `dispatch-rabbitmq`, with no queue to ring: what it cannot deal with comes again from the broker.
    fn function(&self) -> Function {
        self.site
            .configured(Function::new(function_binary("dispatch-rabbitmq")))
            .env("DATABASE_URL", through(&self.proxy, &self.site.server, &self.site.database))
            .env("SES_TIMEOUT_MS", "10000")
            .env("LOG_LEVEL", "info")
    }

    /// sendonce, so many invocations at once.
    async fn sendonce(&self, concurrency: usize) -> WayIn {
        WayIn::open(self.function(), concurrency, &self.broker_uri(), self.broker.queue().await).await
    }

    /// The worker of old, with a queue of its own.
    async fn worker(&self, habit: Habit) -> Peer {
        self.worker_at(self.broker.queue().await, habit).await
    }

    /// The worker of old, with this queue.
    async fn worker_at(&self, queue: String, habit: Habit) -> Peer {
        let surroundings = Surroundings {
            database_url: through(&self.old.proxy, &self.site.server, &self.old.database),
            ses_endpoint: self.old.ses.endpoint(),
            broker_uri: self.broker_uri(),
            queue,
        };
        Peer::start(surroundings, habit).await
    }

    /// Rings for these emails, of both.
    async fn ring(&self, way_in: &WayIn, worker: &Peer, ids: &[u64]) {
        self.broker.ring(&[way_in.queue(), worker.queue()], ids).await;
    }

    /// How both reach the broker.
    fn broker_uri(&self) -> String {
        let uri = self.broker.uri();
        match &self.broker_proxy {
            Some(proxy) => uri.replace(&format!(":{}/", self.broker.port()), &format!(":{}/", proxy.port())),
            None => uri,
        }
    }

    /// Writes an email for each of the two. They have the same id.
    async fn write(&self) -> u64 {
        let id = self.site.insert("ada@customer.example").await;
        let sql = "INSERT INTO email (recipient, subject, body) \
                   VALUES ('ada@customer.example', 'Your receipt', 'Thank you.')";
        self.old.database.admin().execute(sql).await.expect("written");
        assert_eq!(self.old.count("id > 0").await, id, "the two are written side by side");
        id
    }

    /// Holds the next request to SES, of each of the two.
    fn hold(&self) -> Gate {
        let gate = Gate::new();
        self.site.ses.script(Match::Any, 1, Fault::Gate(gate.clone()));
        self.old.ses.script(Match::Any, 1, Fault::Gate(gate.clone()));
        gate
    }

    /// Waits until every row says `sent`.
    async fn all_sent(&self) {
        let waiting = "SELECT COUNT(*) FROM email WHERE state <> 'sent'";
        let settled = async {
            // The server may be away.
            while self.site.database.admin().query_scalar_u64(waiting).await.ok() != Some(0) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, settled).await.is_err() {
            let rows = "SELECT id, state, attempts, error_kind, due_at FROM email WHERE state <> 'sent'";
            panic!("{:?}", self.site.database.admin().rows(rows).await);
        }
    }

    /// Waits until a row says this.
    async fn settles(&self, id: u64, state: &str) {
        let settled = async {
            while self.site.state(id).await != state {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(
            tokio::time::timeout(PATIENCE, settled).await.is_ok(),
            "{id} is {}",
            self.site.state(id).await
        );
    }

    /// Half an hour goes by, and the sweep runs once.
    async fn sweep(&self) {
        let later = "UPDATE email SET due_at = due_at - INTERVAL 30 MINUTE, state_at = state_at - INTERVAL 30 MINUTE, \
                     rung_at = rung_at - INTERVAL 30 MINUTE WHERE state = 'pending'";
        self.site.database.admin().execute(later).await.expect("changed");
        let sweep = self.site.configured(Function::new(function_binary("sweep")));
        let _ = self.site.start(sweep).await.invoke(&json!({})).await.response();
    }

    /// Asserts that every email of sendonce was sent once, without a failed attempt.
    async fn each_once(&self, ids: &[u64]) {
        for id in ids {
            assert_eq!(
                (self.site.state(*id).await.as_str(), self.site.ses.times_taken(*id)),
                ("sent", 1),
                "{id}"
            );
        }
        assert_eq!(self.site.ses.taken().len(), ids.len());
        let tried = "SELECT COUNT(*) FROM email WHERE attempts <> 1 OR error_kind IS NOT NULL";
        assert_eq!(self.site.database.admin().query_scalar_u64(tried).await.expect("read"), 0);
    }

    /// Waits until sendonce has no connection, and asserts how it used those it had: never more than so many at once,
    /// each ended with COM_QUIT.
    async fn connections(&self, most: usize, in_all: usize) {
        self.proxy.idle().await;
        let totals = self.proxy.totals();
        assert!(totals.peak_open <= most, "{totals:?}");
        assert_eq!(totals.connections, in_all);
        for count in self.proxy.connections() {
            assert!(count.quit, "{count:?}");
        }
    }
}

impl Old {
    async fn new(server: &Server) -> Self {
        let database = server.create_empty_database().await.expect("a database");
        let table = "CREATE TABLE email (id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, recipient VARCHAR(320) NOT NULL, \
                     subject VARCHAR(998) NOT NULL, body TEXT NOT NULL, status VARCHAR(10) NOT NULL DEFAULT 'queued', \
                     sent_at DATETIME(6))";
        database.admin().execute(table).await.expect("a table");
        Self { database, ses: Ses::start().await.expect("a free port"), proxy: proxy(server.port()).await }
    }

    async fn count(&self, condition: &str) -> u64 {
        let sql = format!("SELECT COUNT(*) FROM email WHERE {condition}");
        self.database.admin().query_scalar_u64(&sql).await.expect("read")
    }
}

/// Asserts that nothing failed that anybody would see: no invocation, no line in either log.
fn no_error(way_in: &WayIn) {
    let log = way_in.log();
    assert_eq!(way_in.counts().failed, 0, "{log}");
    assert!(!log.contains("\"ERROR\""), "{log}");
    let log = way_in.bridge_log();
    assert!(!log.contains("\"ERROR\""), "{log}");
}

async fn proxy(port: u16) -> Proxy {
    Proxy::start(([127, 0, 0, 1], port).into()).await.expect("a free port")
}

fn through(proxy: &Proxy, server: &Server, database: &Database) -> String {
    database.url().replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()))
}
