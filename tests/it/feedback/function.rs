//! The real binary of `feedback` under a Lambda Runtime API.

use std::time::Duration;

use serde_json::json;
use stack::{
    database::{Database, Options, Server},
    gate::Gate,
    proxy::{Action, On, Point, Proxy},
    runtime_api::{Environment, Function, NotReady, Outcome, RuntimeApi},
};

use super::{attempt, bridged, event, queued};
use crate::world::{flavor, function_binary};

/// A server of one's own, since its counters are compared, and a table.
pub(super) struct Site {
    pub(super) server: Server,
    pub(super) database: Database,
}

fn function_at(url: &str) -> Function {
    Function::new(function_binary("feedback"))
        .env("DATABASE_URL", url)
        .env("DATABASE_TLS", "off")
        .env("LOG_LEVEL", "debug")
}

impl Site {
    pub(super) async fn new() -> Self {
        let server = Server::start(Options::new(flavor())).await.expect("the server starts");
        let database = server.create_database().await.expect("the schema applies");
        Self { server, database }
    }

    /// `feedback` configured for this site, in plaintext. It has no credentials and no region: it calls nobody.
    pub(super) fn function(&self) -> Function {
        function_at(&self.database.url_of("feedback"))
    }

    pub(super) async fn start(&self, function: Function) -> Environment {
        let environment = RuntimeApi::start().environment(function).await.expect("it starts");
        environment.ready().await.unwrap_or_else(|error| panic!("{error}: {}", environment.log_text()));
        environment
    }

    /// A proxy before the server, and the URL that leads through it.
    async fn proxied(&self) -> (Proxy, String) {
        let proxy = Proxy::start(([127, 0, 0, 1], self.server.port()).into()).await.expect("a free port");
        let url = self.database.url_of("feedback");
        let url = url.replace(&format!(":{}/", self.server.port()), &format!(":{}/", proxy.port()));
        (proxy, url)
    }

    /// Asserts that no connection is open. The server hangs up first and forgets the connection a moment later.
    pub(super) async fn nobody_is_connected(&self) {
        for _ in 0..200 {
            if self.server.processlist().await.expect("processes").is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", self.server.processlist().await);
    }

    /// An email that is being sent by the attempt of this number.
    async fn sending(&self, serial: u128) -> u64 {
        let sql = format!(
            "INSERT INTO email (sender, to_addresses, subject, text_body, state, attempt_id, lease_until) VALUES \
             ('Shop <sender-marker@shop.example>', JSON_ARRAY('ada@customer.example'), 'subject-marker', 'x', \
             'sending', '{}', UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE)",
            attempt(serial)
        );
        self.database.admin().execute(&sql).await.expect("written");
        self.number("SELECT MAX(id) FROM email").await
    }

    async fn number(&self, sql: &str) -> u64 {
        self.database.admin().query_scalar_u64(sql).await.expect("a number")
    }
}

#[tokio::test]
async fn a_batch_takes_one_connection_and_is_closed_properly() {
    let site = Site::new().await;
    let (proxy, url) = site.proxied().await;
    let environment = site.start(function_at(&url)).await;
    let mut bodies = Vec::new();
    for serial in 0..10 {
        bodies.push(event("Send", site.sending(serial).await, &attempt(serial)));
    }
    bodies.insert(4, json!("poison recipient-marker@customer.example"));
    let response = environment.invoke(&queued(&bodies)).await.response();
    assert_eq!(response, json!({"batchItemFailures": [{"itemIdentifier": "item-4"}]}));
    proxy.idle().await;
    assert_eq!(site.number("SELECT COUNT(*) FROM email WHERE state = 'sent'").await, 10);
    // Plaintext: log in, and one round trip an event.
    assert_eq!((proxy.totals().connections, proxy.totals().round_trips), (1, 11));
    // What needs no database opens no connection.
    let response = environment.invoke(&queued(&[json!("poison"), json!("{}")])).await.response();
    assert_eq!(response["batchItemFailures"].as_array().map(Vec::len), Some(2));
    assert_eq!(proxy.totals().connections, 1);
    site.nobody_is_connected().await;
    assert_eq!(site.server.global_status("Aborted_clients").await.expect("status"), 0);
    let log = environment.log_text();
    assert!(log.contains("\"state\":\"sent\"") && log.contains("\"attempt_id\""), "{log}");
    for personal in ["marker", "customer.example", "shop.example", stack::database::PASSWORD] {
        assert!(!log.contains(personal), "{personal} in {log}");
    }
}

#[tokio::test]
async fn two_deliveries_at_the_same_time_are_one_event() {
    let site = Site::new().await;
    let (proxy, url) = site.proxied().await;
    let environments = [site.start(function_at(&url)).await, site.start(function_at(&url)).await];
    for serial in 0..5 {
        proxy.reset();
        let gate = Gate::new();
        // Flight 0 logs in, flight 1 is the event.
        proxy.script(On::Every, Point::Request(1), Action::Hold(gate.clone()));
        let id = site.sending(serial).await;
        let event = event("Delivery", id, &attempt(serial));
        let flights = [environments[0].begin(&queued(&[bridged(&event)])), environments[1].begin(&event)];
        gate.reached_by(2).await;
        gate.release();
        let [first, second] = flights;
        assert_eq!(first.outcome().await.response(), json!({"batchItemFailures": []}));
        assert_eq!(second.outcome().await.response(), json!(null));
        let sql = format!("SELECT COUNT(*) FROM email_event WHERE email_id = {id}");
        assert_eq!(site.number(&sql).await, 1);
        proxy.idle().await;
    }
    assert_eq!(site.number("SELECT COUNT(*) FROM email WHERE state = 'sent'").await, 5);
}

#[tokio::test]
async fn a_database_that_is_away_costs_no_event() {
    let site = Site::new().await;
    let environment = site.start(site.function()).await;
    let mut bodies = Vec::new();
    for serial in 0..3 {
        bodies.push(event("Send", site.sending(serial).await, &attempt(serial)));
    }
    bodies.push(json!("Successfully validated SNS topic for Amazon SES event publishing."));
    let batch = queued(&bodies);
    site.server.stop().await.expect("it stops");
    let response = environment.invoke(&batch).await.response();
    let items: Vec<_> = (0..3).map(|serial| json!({"itemIdentifier": format!("item-{serial}")})).collect();
    assert_eq!(response, json!({"batchItemFailures": items}));
    // Said once, not for each of the batch.
    assert_eq!(environment.log_text().matches("feedback.failed").count(), 1);
    let outcome = environment.invoke(&bridged(&bodies[0])).await.outcome;
    assert!(matches!(outcome, Outcome::Error { .. }), "Lambda has to try it again: {outcome:?}");
    site.server.restart().await.expect("it starts");
    assert_eq!(environment.invoke(&batch).await.response(), json!({"batchItemFailures": []}));
    assert_eq!(site.number("SELECT COUNT(*) FROM email WHERE state = 'sent'").await, 3);
}

#[tokio::test]
async fn a_wrong_configuration_is_named_at_start() {
    let site = Site::new().await;
    let function = site.function().env("DATABASE_TLS", "perhaps").env("DATABASE_URL", "");
    let environment = RuntimeApi::start().environment(function).await.expect("it starts");
    let ended = environment.ready().await.expect_err("it cannot work");
    assert!(matches!(ended, NotReady::Died(_) | NotReady::InitError { .. }), "{ended:?}");
    environment.exited().await;
    let log = environment.log_text();
    assert!(log.contains("DATABASE_TLS") && log.contains("DATABASE_URL"), "{log}");
}
