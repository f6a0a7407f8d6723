//! `template.yaml` itself, deployed into ministack with the real binaries: what must be wired is, and what a parameter says
//! arrives.

mod canary;
mod database;
mod migrate;
mod network;
mod rabbitmq;
mod update;
mod wiring;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::json;
use stack::{
    database::{Database, Options, Server},
    deploy::{Application, Archive, Cloud, DeployError},
    install::workspace,
    ministack::{self, ACCOUNT, Ministack},
    ses::{EventKind, Recorded, Ses},
};

use crate::world::{flavor, function_binary};

const BINARIES: [&str; 4] = ["dispatch-sqs", "sweep", "feedback", "migrate"];
const SWEEP: &str = "shop-sweep";
const FEEDBACK: &str = "shop-feedback";
const CONFIGURATION_SET: &str = "shop-events";

struct Deployed {
    /// As it was deployed last.
    parameters: BTreeMap<String, String>,
    code: Vec<(&'static str, Archive)>,
    database: Database,
    ses: Ses,
    cloud: Cloud,
    outputs: BTreeMap<String, String>,
    server: Server,
    _ministack: Ministack,
}

impl Deployed {
    async fn new(more: &[(&str, &str)]) -> Self {
        Self::with(&BINARIES, more).await
    }

    /// With the code of these functions, which must be those that the parameters ask for.
    async fn with(binaries: &[&'static str], more: &[(&str, &str)]) -> Self {
        let server = Server::start(Options::new(flavor())).await.expect("the server starts");
        let database = server.create_database().await.expect("the schema applies");
        Self::on(server, database, binaries, more).await.unwrap_or_else(|error| panic!("it deploys: {error}"))
    }

    /// The same on a database that is as it is.
    async fn on(
        server: Server,
        database: Database,
        binaries: &[&'static str],
        more: &[(&str, &str)],
    ) -> Result<Self, DeployError> {
        let ses = Ses::start().await.expect("a free port");
        let options = ministack::Options::default().region("eu-west-1").ses_endpoint(ses.endpoint());
        let ministack = Ministack::start(options).await.expect("ministack starts");
        ses.emit_events_to(ministack.endpoint(), &[]);
        let template = std::fs::read_to_string(workspace().join("template.yaml")).expect("the template");
        let identity = format!("arn:aws:ses:eu-west-1:{ACCOUNT}:identity/shop.example");
        let mut parameters = BTreeMap::from([
            ("Database", "url"),
            ("DatabaseUrl", database.url()),
            ("MigrateSchema", "no"),
            ("DatabaseTls", "verify"),
            ("DatabaseCaFile", server.ca_file().to_str().expect("UTF-8")),
            ("SesIdentityArns", &identity),
            ("ConfigurationSet", CONFIGURATION_SET),
            ("LogLevel", "debug"),
            ("Architecture", if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }),
        ]);
        parameters.extend(more.iter().copied());
        let archive = |binary: &&'static str| {
            let executable = std::fs::read(function_binary(binary)).expect("it was built");
            (*binary, Archive::of_function(&executable).expect("it fits"))
        };
        let owned = parameters.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut deployed = Self {
            parameters: owned.collect(),
            code: binaries.iter().map(archive).collect(),
            database,
            ses,
            cloud: Cloud::of(&ministack),
            outputs: BTreeMap::new(),
            server,
            _ministack: ministack,
        };
        deployed.outputs = deployed.bring(&template, false).await?;
        Ok(deployed)
    }

    /// Deploys once more, another template or other parameters.
    async fn update(&mut self, template: &str, more: &[(&str, &str)]) -> Result<(), DeployError> {
        let before = self.parameters.clone();
        self.parameters.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let brought = self.bring(template, true).await;
        match brought {
            Ok(outputs) => self.outputs = outputs,
            Err(error) => {
                self.parameters = before;
                return Err(error);
            }
        }
        Ok(())
    }

    async fn bring(&self, template: &str, exists: bool) -> Result<BTreeMap<String, String>, DeployError> {
        let parameters: Vec<_> =
            self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let code: Vec<_> = self.code.iter().map(|(binary, archive)| (*binary, archive)).collect();
        let application = Application { stack: "shop", template, parameters: &parameters, code: &code };
        if exists { self.cloud.update(&application).await } else { self.cloud.deploy(&application).await }
    }

    async fn value(&self, sql: &str) -> String {
        let rows = self.database.admin().rows(sql).await.expect("read");
        rows.into_iter().flatten().flatten().next().unwrap_or_default()
    }

    async fn state(&self, id: u64) -> String {
        self.value(&format!("SELECT state FROM email WHERE id = {id}")).await
    }

    /// Waits for what other processes do; a test that waits in vain fails with what it then sees.
    async fn becomes(&self, id: u64, expected: &str) {
        let begun = Instant::now();
        while self.state(id).await != expected && begun.elapsed() < Duration::from_secs(30) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let log = self.cloud.log(SWEEP).await.expect("a log");
        assert_eq!(self.state(id).await, expected, "{log:#?}");
    }

    /// An email in this state, whose attempt began an hour ago.
    async fn insert(&self, id: u64, state: &str) {
        let sql = format!(
            "INSERT INTO email (id, sender, to_addresses, subject, text_body, state, state_at, attempts, attempt_id) VALUES \
             ({id}, 'orders@shop.example', JSON_ARRAY('ada@customer.example'), 's', 't', '{state}', \
             UTC_TIMESTAMP(6) - INTERVAL 1 HOUR, 1, '{}')",
            attempt(id)
        );
        self.database.admin().execute(&sql).await.expect("written");
    }
}

fn attempt(id: u64) -> String {
    format!("01JDCB8Q6Y3V0K9M2T4W6X8{id:03}")
}

/// What parameters say, and not the defaults that the binaries have as well.
#[tokio::test]
async fn the_sweep_goes_by_its_parameters_and_the_queues_are_rung() {
    let shop = Deployed::new(&[
        ("OnUnknown", "resend"),
        ("UnknownWaitSeconds", "1800"),
        ("MaxResends", "2"),
        ("MaxAgeSeconds", "7200"),
    ])
    .await;
    // By default it would be held, or would have been sent again once already, or might wait for a week.
    shop.insert(1, "unknown").await;
    shop.database.admin().execute("UPDATE email SET resends = 1").await.expect("written");
    shop.insert(2, "unknown").await;
    let recent = "UPDATE email SET state_at = UTC_TIMESTAMP(6) - INTERVAL 20 MINUTE WHERE id = 2";
    shop.database.admin().execute(recent).await.expect("written");
    shop.insert(3, "pending").await;
    let old =
        "UPDATE email SET due_at = UTC_TIMESTAMP(6) - INTERVAL 3 HOUR, created_at = due_at WHERE id = 3";
    shop.database.admin().execute(old).await.expect("written");

    let report = shop.cloud.invoke(SWEEP, &json!({ "dry_run": true })).await.expect("it answers");
    assert_eq!((&report["resent"], &report["expired"]), (&json!(1), &json!(1)), "{report}");
    let report = shop.cloud.invoke(SWEEP, &json!({})).await.expect("it answers");
    assert_eq!((&report["resent"], &report["dispatched"]), (&json!(1), &json!(0)), "{report}");
    shop.becomes(1, "sent").await;
    assert_eq!((shop.state(2).await.as_str(), shop.state(3).await.as_str()), ("unknown", "expired"));
    assert_eq!(shop.ses.times_taken(1), 1);
    let sent = &shop.ses.requests_for(1)[0];
    assert_eq!(sent.configuration_set.as_deref(), Some(CONFIGURATION_SET));
    // The same set is what feedback goes by.
    let variables = shop.cloud.variables(FEEDBACK).await.expect("variables");
    assert_eq!(variables["CONFIGURATION_SET"], CONFIGURATION_SET);
    assert!(
        !variables.contains_key("URGENT_QUEUE_URL"),
        "feedback has no business with queues: {variables:?}"
    );
}

#[tokio::test]
async fn of_ses_s_events_those_of_this_deployment_reach_feedback() {
    let shop = Deployed::new(&[]).await;
    shop.insert(1, "unknown").await;
    shop.insert(2, "unknown").await;
    // What SES knows of an email that was really sent.
    shop.insert(3, "pending").await;
    let unheard = "UPDATE email SET due_at = UTC_TIMESTAMP(6) - INTERVAL 3 MINUTE WHERE id = 3";
    shop.database.admin().execute(unheard).await.expect("written");
    let report = shop.cloud.invoke(SWEEP, &json!({})).await.expect("it answers");
    assert_eq!(report["rung"], json!(1), "{report}");
    shop.becomes(3, "sent").await;
    let record = shop.ses.requests_for(3).remove(0);
    let of = |id: u64| Recorded {
        configuration_set: Some(CONFIGURATION_SET.into()),
        tags: [("email_id".to_owned(), id.to_string()), ("attempt_id".to_owned(), attempt(id))].into(),
        ..record.clone()
    };
    let mut elsewhere = of(1);
    elsewhere.configuration_set = Some("elsewhere".into());
    let mut without_id = of(1);
    without_id.tags.remove("email_id");
    let mut without_attempt = of(1);
    without_attempt.tags.remove("attempt_id");
    for event in [elsewhere, without_id, without_attempt, of(2)] {
        shop.ses.emit(&event, EventKind::Send).await.expect("the bus takes it");
    }
    shop.becomes(2, "sent").await;
    // An invocation's log is written before its messages are deleted.
    let queue = &shop.outputs["FeedbackQueueUrl"];
    let begun = Instant::now();
    while !shop.cloud.depth(queue).await.expect("depth").is_empty()
        && begun.elapsed() < Duration::from_secs(10)
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = shop.cloud.log(FEEDBACK).await.expect("a log");
    let seen: Vec<&String> = log.iter().filter(|line| line.contains("\"feedback.")).collect();
    assert!(matches!(seen.as_slice(), [only] if only.contains("feedback.taken")), "{seen:#?}");
    assert_eq!(shop.state(1).await, "unknown");
}
