//! The real binary of `dispatch-sqs` under a Lambda Runtime API: what goes in, what comes out, what is left behind.

mod connections;
mod deadlines;
mod events;
mod queue;
mod start;

use std::time::Duration;

use serde_json::{Value, json};
use stack::{
    database::{Database, Options, Server},
    runtime_api::{Environment, Function, RuntimeApi},
    ses::Ses,
};

use crate::world::{flavor, function_binary};

/// A server of one's own, since its counters are compared, an SES, and a table.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) database: Database,
    pub(crate) ses: Ses,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let server = Server::start(Options::new(flavor())).await.expect("the server starts");
        let database = server.create_database().await.expect("the schema applies");
        Self { server, database, ses: Ses::start().await.expect("a free port") }
    }

    /// `dispatch-sqs` configured for this site, in plaintext, with no queue to ring.
    fn function(&self) -> Function {
        self.configured(Function::new(function_binary("dispatch-sqs")))
    }

    /// A function that knows this site as every function does, and logs in as its own user.
    pub(crate) fn configured(&self, function: Function) -> Function {
        let url = self.database.url_of(&function.name);
        function
            .env("DATABASE_URL", url)
            .env("DATABASE_TLS", "off")
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "aws-secret-marker")
            .env("AWS_ENDPOINT_URL_SESV2", self.ses.endpoint())
            .env("SES_TIMEOUT_MS", "600")
            .env("LOG_LEVEL", "debug")
    }

    pub(crate) async fn start(&self, function: Function) -> Environment {
        let environment = RuntimeApi::start().environment(function).await.expect("it starts");
        environment.ready().await.unwrap_or_else(|error| panic!("{error}: {}", environment.log_text()));
        environment
    }

    /// Writes an email with markers that must not appear in a log.
    pub(crate) async fn insert(&self, recipient: &str) -> u64 {
        let sql = format!(
            "INSERT INTO email (sender, to_addresses, subject, text_body) VALUES \
             ('Shop <sender-marker@shop.example>', JSON_ARRAY('Ada Name-Marker <{recipient}>'), 'subject-marker', \
             'body-marker')"
        );
        self.database.admin().execute(&sql).await.expect("written");
        self.database.admin().query_scalar_u64("SELECT MAX(id) FROM email").await.expect("an id")
    }

    /// Asserts that no connection is open. The server hangs up first and forgets the connection a moment later.
    pub(crate) async fn nobody_is_connected(&self) {
        let mut open = self.server.processlist().await.expect("processes");
        for _ in 0..100 {
            if open.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            open = self.server.processlist().await.expect("processes");
        }
        panic!("{open:?}");
    }

    pub(crate) async fn state(&self, id: u64) -> String {
        let rows = self.database.admin().rows(&format!("SELECT state FROM email WHERE id = {id}")).await;
        rows.expect("read")[0][0].clone().expect("a state")
    }
}

/// An SQS event with these bodies.
pub(crate) fn event(bodies: &[String]) -> Value {
    let records: Vec<_> = (0..)
        .zip(bodies)
        .map(|(serial, body)| {
            json!({
                "messageId": format!("message-{serial}"),
                "receiptHandle": "handle",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-west-1:111122223333:urgent",
                "awsRegion": "eu-west-1"
            })
        })
        .collect();
    json!({"Records": records})
}

/// Rings once for `id`.
pub(crate) async fn ring(environment: &Environment, id: u64) -> Value {
    environment.invoke_within(&event(&[id.to_string()]), Duration::from_secs(30)).await.response()
}

/// Nothing failed: an empty list.
pub(crate) fn all_done() -> Value {
    json!({"batchItemFailures": []})
}
