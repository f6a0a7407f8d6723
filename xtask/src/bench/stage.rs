//! What stands around the function while it is measured: the servers, the table, and the function's own process.

use std::{
    iter,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use stack::{
    database::{Database, Flavor, Options, Server},
    install,
    runtime_api::{self, Environment, Outcome, RuntimeApi},
    ses::Ses,
};

use super::Failure;

/// The user of the yardstick: as the application's, but without a password.
pub(super) const RAW_USER: &str = "raw";

/// Ids begin here, so that all have as many digits and none is found in anything else that the function says.
const FIRST_ID: u64 = 10_000_001;

/// Everything that is kept while the benchmark runs.
#[derive(Debug)]
pub(super) struct Stage {
    api: RuntimeApi,
    binary: PathBuf,
    server: Server,
    database: Database,
    pub(super) ses: Ses,
}

impl Stage {
    /// Starts the servers and applies the schema; builds the function, unless a `binary` of it is given.
    ///
    /// Unless it is to be `durable`, the server writes its log at every commit but leaves the flush to later: a flush
    /// takes the disk's time, the same for whoever commits, and on a busy machine it drowns everything else.
    pub(super) async fn set(binary: Option<PathBuf>, durable: bool) -> Result<Self, Failure> {
        let binary = binary.map_or_else(build, Ok)?;
        let flush = if durable { 1 } else { 2 };
        let options = Options::new(Flavor::MariaDb).arg(format!("--innodb-flush-log-at-trx-commit={flush}"));
        let server = Server::start(options).await?;
        let database = server.create_database().await?;
        database.admin().execute(&format!("ALTER TABLE email AUTO_INCREMENT = {FIRST_ID}")).await?;
        create_raw_user(&database).await?;
        Ok(Self { api: RuntimeApi::start(), binary, server, database, ses: Ses::start().await? })
    }

    pub(super) fn database_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.server.port()).into()
    }

    pub(super) fn ses_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ses.port()).into()
    }

    pub(super) fn database_name(&self) -> &str {
        self.database.name()
    }

    /// The function's `bootstrap`.
    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    /// The database's URL by way of another port.
    pub(super) fn url_through(&self, port: u16) -> String {
        self.database.url().replace(&format!(":{}/", self.server.port()), &format!(":{port}/"))
    }

    /// Variables for a verified connection to the database.
    pub(super) fn verified(&self) -> [(&'static str, String); 2] {
        [
            ("DATABASE_TLS", "verify".to_owned()),
            ("DATABASE_CA_FILE", self.server.ca_file().display().to_string()),
        ]
    }

    pub(super) async fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Failure> {
        Ok(self.database.admin().rows(sql).await?)
    }

    /// Writes ordinary emails as a producer does, and returns their ids.
    pub(super) async fn write_emails(&self, count: usize) -> Result<Vec<u64>, Failure> {
        let admin = self.database.admin();
        let before = admin.query_scalar_u64("SELECT COALESCE(MAX(id), 0) FROM email").await?;
        let row = "('Shop <orders@shop.example>', JSON_ARRAY('Ada Lovelace <ada@customer.example>'), \
            'Your receipt', REPEAT('Thank you for your order. ', 16), REPEAT('<p>Thank you for your order.</p> ', 32))";
        let mut missing = count;
        while missing > 0 {
            let some = missing.min(500);
            let values = iter::repeat_n(row, some).collect::<Vec<_>>().join(", ");
            let columns = "(sender, to_addresses, subject, text_body, html_body)";
            admin.execute(&format!("INSERT INTO email {columns} VALUES {values}")).await?;
            missing -= some;
        }
        let ids = self.rows(&format!("SELECT id FROM email WHERE id > {before} ORDER BY id")).await?;
        ids.into_iter().flatten().map(|id| Ok(id.unwrap_or_default().parse()?)).collect()
    }

    /// How many emails there are in a state.
    pub(super) async fn count(&self, state: &str) -> Result<u64, Failure> {
        let sql = format!("SELECT COUNT(*) FROM email WHERE state = '{state}'");
        Ok(self.database.admin().query_scalar_u64(&sql).await?)
    }

    /// The server's version, as it says it.
    pub(super) async fn server_version(&self) -> Result<String, Failure> {
        let rows = self.rows("SELECT VERSION()").await?;
        Ok(rows.into_iter().flatten().flatten().next().unwrap_or_default())
    }
}

/// Lets the yardstick into a database.
pub(super) async fn create_raw_user(database: &Database) -> Result<(), Failure> {
    let name = database.name();
    let sql =
        format!("CREATE USER IF NOT EXISTS '{RAW_USER}'@'%'; GRANT ALL ON `{name}`.* TO '{RAW_USER}'@'%'");
    database.admin().execute(&sql).await?;
    Ok(())
}

/// One process of the function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) environment: Environment,
    /// From its start to its asking for the first event.
    pub(super) ready_after: Duration,
}

impl Function {
    /// Starts one and waits until it is ready. Reaches the stage's servers unless `variables` say otherwise.
    pub(super) async fn start(
        stage: &Stage,
        variables: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self, Failure> {
        Self::start_of(stage, &stage.binary, variables).await
    }

    /// As [`Function::start`], of another build.
    pub(super) async fn start_of(
        stage: &Stage,
        binary: &Path,
        variables: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self, Failure> {
        let function = runtime_api::Function::new(binary)
            .env("DATABASE_URL", stage.database.url())
            .env("AWS_ENDPOINT_URL_SESV2", stage.ses.endpoint())
            .env("CONFIGURATION_SET", "sendonce");
        let mut function = function;
        for (name, value) in variables {
            function.env.retain(|(known, _)| known != name);
            function = function.env(name, value);
        }
        let environment = stage.api.environment(function).await?;
        let ready_after = environment.ready().await.map_err(|error| {
            // What it says of its configuration is the only explanation there is.
            format!("{error}\n{}", environment.log_text())
        })?;
        Ok(Self { environment, ready_after })
    }

    /// Rings for an email; says how long the invocation took.
    pub(super) async fn send(&self, id: u64) -> Result<Duration, Failure> {
        let failures = 0;
        self.invoke(&format!(r#"{{"email_id":{id}}}"#), failures).await
    }

    /// Rings with a body that nobody can read: an invocation with neither database nor SES.
    pub(super) async fn idle(&self) -> Result<Duration, Failure> {
        let failures = 1;
        self.invoke("not a doorbell", failures).await
    }

    async fn invoke(&self, body: &str, failures: usize) -> Result<Duration, Failure> {
        let done = self.environment.invoke(&event(body)).await;
        let failed = match &done.outcome {
            Outcome::Response(response) => response["batchItemFailures"].as_array().map(Vec::len),
            _ => None,
        };
        if failed == Some(failures) {
            Ok(done.latency)
        } else {
            Err(format!("the doorbell {body} brought {:?}\n{}", done.outcome, self.environment.log_text())
                .into())
        }
    }

    /// Ends it.
    pub(super) async fn stop(self) {
        self.environment.stop().await;
    }
}

/// An event of one record.
fn event(body: &str) -> Value {
    json!({ "Records": [{
        "messageId": "0b5f6c1e-7a40-4d2b-9c11-000000000102",
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1795430400102",
            "SenderId": "AROAEXAMPLEROLEID0001:producer",
            "ApproximateFirstReceiveTimestamp": "1795430400222",
        },
        "messageAttributes": {},
        "md5OfBody": "39ee64935f92e366f9e5361687b4e525",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:111122223333:urgent",
        "awsRegion": "eu-west-1",
    }]})
}

/// Builds the function as it ships.
fn build() -> Result<PathBuf, Failure> {
    const PACKAGE: &str = "dispatch-sqs";
    eprintln!("building {PACKAGE} as it ships (some minutes when something changed)");
    let status = install::cargo().args(["build", "--quiet", "--release", "--package", PACKAGE]).status()?;
    if !status.success() {
        return Err(format!("{PACKAGE} does not build").into());
    }
    Ok(install::workspace().join("target/release").join(PACKAGE))
}
