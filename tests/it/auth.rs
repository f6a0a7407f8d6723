//! Users and passwords that do not stand in `DATABASE_URL`: secrets that change, come late or cannot be read, and tokens of
//! RDS. Whatever happens to them, no email is failed, lost or sent twice, and no value of theirs is in a log.

mod faults;
mod iam;
mod operator;
mod rotation;
mod together;

use std::time::Duration;

use serde_json::{Value, json};
use stack::{
    database::PASSWORD,
    deploy::Cloud,
    ministack::{Ministack, Options},
    runtime_api::{Environment, Function},
    secrets::Secrets,
};
use tokio::sync::OnceCell;

use crate::{function::Site, world::function_binary};

const REGION: &str = "eu-west-1";

/// What the secrets of these tests begin with. It is in no log.
const MARKER: &str = "password-marker";

/// A site whose functions learn their passwords from a Secrets Manager, over TLS, and ring through a real queue.
struct Scene {
    site: Site,
    secrets: Secrets,
    cloud: Cloud,
    queue: String,
}

/// The queues and secrets of all these tests.
async fn ministack() -> &'static Ministack {
    static MINISTACK: OnceCell<Ministack> = OnceCell::const_new();
    let started =
        async { Ministack::start(Options::default().region(REGION)).await.expect("ministack starts") };
    MINISTACK.get_or_init(|| started).await
}

impl Scene {
    /// `name` is the test's own.
    async fn new(name: &str) -> Self {
        let cloud = Cloud::of(ministack().await);
        let queue = cloud.sqs("CreateQueue", &json!({ "QueueName": name })).await.expect("a queue");
        let queue = queue["QueueUrl"].as_str().expect("a URL").to_owned();
        let secrets = Secrets::start().await.expect("a free port");
        Self { site: Site::new().await, secrets, cloud, queue }
    }

    /// `dispatch-sqs` with the secret of this ARN, from the stand-in.
    fn function(&self, arn: &str) -> Function {
        self.function_at("dispatch-sqs", arn)
    }

    fn function_at(&self, name: &'static str, arn: &str) -> Function {
        let function = Function::new(function_binary(name));
        let address = format!("mysql://127.0.0.1:{}/{}", self.site.server.port(), self.site.database.name());
        let endpoint = ministack_endpoint(&self.queue);
        self.site
            .configured(function)
            .env("DATABASE_URL", address)
            .env("DATABASE_TLS", "verify")
            .env("DATABASE_CA_FILE", self.site.server.ca_file().to_string_lossy())
            .env("DATABASE_AUTH", "secret")
            .env("DATABASE_SECRET_ARN", arn)
            .env("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets.endpoint())
            .env("AWS_ENDPOINT_URL_SQS", endpoint)
            .env("URGENT_QUEUE_URL", &self.queue)
            .env("LOG_LEVEL", "trace")
    }

    /// Changes the password of `dispatch-sqs`, as the database knows it.
    async fn change_password(&self, password: &str) {
        let sql = format!("ALTER USER 'sendonce_dispatch_sqs'@'%' IDENTIFIED BY '{password}'");
        self.site.database.admin().execute(&sql).await.expect("changed");
    }

    /// Logins that the server has refused so far.
    async fn refused(&self) -> u64 {
        self.site.server.global_status("Aborted_connects").await.expect("status")
    }

    /// Doorbells that wait in the queue.
    async fn rung(&self) -> u64 {
        let depth = self.cloud.depth(&self.queue).await.expect("the queue answers");
        depth.visible + depth.delayed
    }

    /// Nothing of the email has changed.
    async fn is_untouched(&self, id: u64) -> bool {
        let sql = format!("SELECT state, attempts, COALESCE(attempt_id, 'none') FROM email WHERE id = {id}");
        let rows = self.site.database.admin().rows(&sql).await.expect("read");
        let row: Vec<_> = rows[0].iter().map(|column| column.as_deref().unwrap_or_default()).collect();
        row == ["pending", "0", "none"] && self.site.ses.requests_for(id).is_empty()
    }

    async fn is_sent_once(&self, id: u64) -> bool {
        self.site.state(id).await == "sent" && self.site.ses.times_taken(id) == 1
    }
}

/// `http://host:port` of a queue's URL.
fn ministack_endpoint(queue: &str) -> String {
    queue.split('/').take(3).collect::<Vec<_>>().join("/")
}

/// The text of a secret.
fn login(user: &str, password: &str) -> String {
    json!({ "engine": "mysql", "username": user, "password": password, "port": 3306 }).to_string()
}

/// The same for `dispatch-sqs`.
fn of_dispatch(password: &str) -> String {
    login("sendonce_dispatch_sqs", password)
}

/// Rings once for `id`: an SQS event of one record.
async fn ring(environment: &Environment, id: u64) -> Value {
    ring_within(environment, id, Duration::from_secs(30)).await
}

async fn ring_within(environment: &Environment, id: u64, limit: Duration) -> Value {
    let record = json!({
        "messageId": "message-0",
        "receiptHandle": "handle",
        "body": id.to_string(),
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:{REGION}:111122223333:urgent"),
        "awsRegion": REGION
    });
    environment.invoke_within(&json!({ "Records": [record] }), limit).await.response()
}

/// Nothing failed.
fn all_done() -> Value {
    json!({ "batchItemFailures": [] })
}

/// The line with this text, which may come a moment after the answer.
async fn line(environment: &Environment, text: &str) -> String {
    let line = tokio::time::timeout(Duration::from_secs(10), environment.logged(text)).await;
    let line = line.ok().flatten();
    line.unwrap_or_else(|| panic!("no line with {text}: {}", environment.log_text())).text
}

/// Neither a password nor a key is in what a function said, at the level that says most.
fn nothing_secret_in(environment: &Environment) {
    let log = environment.log_text();
    for secret in [MARKER, PASSWORD, "aws-secret-marker", "X-Amz-Signature", "customer.example"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
