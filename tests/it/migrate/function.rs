//! The real binary of `migrate` under a Lambda Runtime API.

use std::{collections::BTreeSet, fs, time::Duration};

use serde_json::{Value, json};
use stack::{
    database::{Database, Options, PASSWORD, Server},
    install::workspace,
    runtime_api::{Environment, Function, Outcome, RuntimeApi},
};
use tokio::net::TcpListener;

use super::{desk::Desk, files};
use crate::{
    grants::empty_for_migrate,
    world::{flavor, function_binary},
};

/// A server of one's own with an empty database, on which `migrate` has its own rights, and somebody who takes answers.
pub(super) struct Site {
    pub(super) server: Server,
    database: Database,
    desk: Desk,
}

impl Site {
    pub(super) async fn new() -> Self {
        let server = Server::start(Options::new(flavor())).await.expect("the server starts");
        // Its users are there, and known to the server.
        server.create_database().await.expect("the schema applies");
        let database = empty_for_migrate(&server).await;
        Self { server, database, desk: Desk::open().await }
    }

    /// `migrate` configured for this site. It has no credentials and no region: it calls nobody.
    pub(super) fn function(&self) -> Function {
        Function::new(function_binary("migrate"))
            .env("DATABASE_URL", self.database.url_of("migrate"))
            .env("DATABASE_TLS", "verify")
            .env("DATABASE_CA_FILE", self.server.ca_file().to_str().expect("UTF-8"))
            .env("LOG_LEVEL", "debug")
    }

    /// The same with somebody else's user, who has the same password.
    pub(super) fn function_as(&self, user: &str) -> Function {
        let url = self.database.url_of("migrate").replacen("sendonce_migrate", user, 1);
        self.function().env("DATABASE_URL", url)
    }

    pub(super) async fn started(&self) -> Environment {
        start(self.function()).await
    }

    /// A file of `events/`, with this site's address to answer to.
    pub(super) fn event(&self, name: &str) -> Value {
        let mut event = event(&format!("migrate_{name}.json"));
        if event.get("ResponseURL").is_some() {
            event["ResponseURL"] = json!(self.desk.address());
        }
        event
    }

    /// Invokes it for CloudFormation, and returns what CloudFormation was told.
    async fn told(&self, environment: &Environment, name: &str) -> Value {
        self.told_of(environment, &self.event(name)).await
    }

    /// The same with an event that no file has.
    pub(super) async fn told_of(&self, environment: &Environment, event: &Value) -> Value {
        let outcome = environment.invoke(event).await.outcome;
        assert_eq!(outcome, Outcome::Response(Value::Null), "{}", environment.log_text());
        let told = self.desk.take_one();
        for name in ["StackId", "RequestId", "LogicalResourceId"] {
            assert_eq!(told[name], event[name], "{told}");
        }
        told
    }

    /// Why a request failed.
    pub(super) async fn reason(&self, environment: &Environment, name: &str) -> String {
        self.reason_of(environment, &self.event(name)).await
    }

    /// The same with an event that no file has.
    pub(super) async fn reason_of(&self, environment: &Environment, event: &Value) -> String {
        let told = self.told_of(environment, event).await;
        assert_eq!((&told["Status"], &told["Data"]), (&json!("FAILED"), &json!({})), "{told}");
        told["Reason"].as_str().expect("a sentence").to_owned()
    }

    pub(super) async fn execute(&self, sql: &str) {
        self.database.admin().execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    pub(super) async fn number(&self, sql: &str) -> u64 {
        self.database.admin().query_scalar_u64(sql).await.expect("a number")
    }
}

fn event(name: &str) -> Value {
    let text = fs::read_to_string(workspace().join("events").join(name));
    text.unwrap_or_else(|error| panic!("{name}: {error}")).parse().expect("JSON")
}

pub(super) async fn start(function: Function) -> Environment {
    let environment = RuntimeApi::start().environment(function).await.expect("it starts");
    environment.ready().await.unwrap_or_else(|error| panic!("{error}: {}", environment.log_text()));
    environment
}

/// Nothing of the address, of the password, or of a row.
pub(super) fn is_discreet(text: &str) {
    for secret in ["marker", PASSWORD, "customer.example"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn every_event_file_is_answered_as_written_down() {
    let site = Site::new().await;
    let environment = site.started().await;
    let expected = event("expected.json");
    let listed: BTreeSet<&String> = expected.as_object().expect("an object").keys().collect();
    let files_there: BTreeSet<String> = fs::read_dir(workspace().join("events"))
        .expect("events")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("migrate_"))
        .collect();
    assert_eq!(
        files_there.iter().collect::<BTreeSet<_>>(),
        listed.into_iter().filter(|name| name.starts_with("migrate_")).collect(),
        "expected.json speaks of every file"
    );
    let before = site.server.connections_made().await.expect("status");
    let mut needed = 0;
    for file in &files_there {
        let name = file.trim_start_matches("migrate_").trim_end_matches(".json");
        let request = site.event(name);
        let expected = &expected[file];
        if request.get("RequestType").is_none() {
            let mut answer = environment.invoke(&request).await.response();
            let applied = answer.as_object_mut().and_then(|answer| answer.remove("applied"));
            assert_eq!((&answer, applied), (&expected["answer"], Some(json!(files()))), "{file}");
            needed += 1;
            continue;
        }
        let mut told = site.told(&environment, name).await;
        // What it is belongs to the release; that there is one, for the template to use, is what counts.
        let configuration = told["Data"].as_object_mut().and_then(|data| data.remove("Configuration"));
        assert_eq!(
            configuration.is_some(),
            told["Status"] == "SUCCESS" && told["Data"] != json!({}),
            "{told}"
        );
        assert_eq!(
            (&told["Status"], &told["Data"]),
            (&expected["status"], &expected["data"]),
            "{file}: {told}"
        );
        let id = request.get("PhysicalResourceId").cloned().unwrap_or(json!("sendonce-schema"));
        assert_eq!(told["PhysicalResourceId"], id, "another name would mean that the schema was replaced");
        is_discreet(&told.to_string());
        needed += u64::from(told["Data"] != json!({}));
    }
    assert_eq!(site.server.connections_made().await.expect("status") - before, needed);
    assert_eq!(site.server.global_status("Aborted_clients").await.expect("status"), 0);
    assert_eq!(site.number("SELECT COUNT(*) FROM lane").await, 2, "and it was not deleted");
    let log = environment.log_text();
    assert!(log.contains("migrate.done"), "{log}");
    is_discreet(&log);
}

#[tokio::test]
async fn the_answer_goes_to_the_address_as_it_was_signed_and_again_where_nobody_took_it() {
    let site = Site::new().await;
    let environment = site.started().await;
    site.desk.refuse(&[503, 500]);
    let outcome = environment.invoke(&site.event("delete")).await.outcome;
    assert_eq!(outcome, Outcome::Response(Value::Null), "{}", environment.log_text());
    let handed = site.desk.take();
    assert_eq!(handed.len(), 3, "{handed:?}");
    for handed in handed {
        assert_eq!(
            handed.first, "PUT /stack%7CSchema?X-Amz-Signature=signature-marker%3D HTTP/1.1",
            "the path and the query are part of the signature"
        );
        assert!(!handed.headers.iter().any(|line| line.starts_with("content-type")), "{:?}", handed.headers);
        assert_eq!(handed.body["Status"], "SUCCESS");
    }
    // An address that has expired will not get better: somebody else has to see that nobody was told.
    site.desk.refuse(&[403]);
    let outcome = environment.invoke(&site.event("delete")).await.outcome;
    assert!(matches!(&outcome, Outcome::Error { message, .. } if message.contains("403")), "{outcome:?}");
    assert_eq!(site.desk.take().len(), 1);
    is_discreet(&environment.log_text());
}

#[tokio::test]
async fn a_refused_migration_fails_the_deploy_with_its_file_and_the_servers_words() {
    let site = Site::new().await;
    let environment = site.started().await;
    // Nothing was done: so it may be tried again, and then works.
    site.execute("CREATE TABLE email (id INT)").await;
    let reason = site.reason(&environment, "create").await;
    assert_eq!(
        reason,
        "0001_schema.sql failed with MySQL error 1050: Table 'email' already exists; nothing of it was done"
    );
    assert_eq!(site.number("SELECT COUNT(*) FROM _sqlx_migrations").await, 0);
    assert_eq!(
        site.number("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()").await,
        2
    );
    site.execute("DROP TABLE email").await;
    // Half of it was done: that is for somebody to look at, and nobody goes on over it.
    site.execute("CREATE TABLE email_event (id INT)").await;
    let reason = site.reason(&environment, "create").await;
    assert!(
        reason.starts_with(
            "0001_schema.sql failed with MySQL error 1050: Table 'email_event' already exists; its first 2 statements \
             were done."
        ),
        "{reason}"
    );
    let reason = site.reason(&environment, "update").await;
    assert!(reason.starts_with("0001_schema.sql was begun before and not seen to end."), "{reason}");
    // As the sentence says.
    site.execute("DROP TABLE attachment, email, email_event; DELETE FROM _sqlx_migrations").await;
    let told = site.told(&environment, "create").await;
    assert_eq!(told["Status"], "SUCCESS", "{told}");
    assert_eq!(environment.invoke(&json!({})).await.response()["applied"], json!([]));
    site.execute("UPDATE _sqlx_migrations SET checksum = 'x' WHERE version = 2").await;
    let reason = site.reason(&environment, "update").await;
    assert!(
        reason.starts_with("0002_state_lane_due_at.sql was changed after it had been applied"),
        "{reason}"
    );
    let by_hand = environment.invoke(&json!({})).await.outcome;
    assert!(
        matches!(&by_hand, Outcome::Error { message, .. } if message == &reason),
        "by hand the same sentence: {by_hand:?}"
    );
    is_discreet(&environment.log_text());
    assert_eq!(site.server.global_status("Aborted_clients").await.expect("status"), 0);
}

/// A release that is rolled back leaves its migrations behind, also one that failed.
#[tokio::test]
async fn an_older_release_accepts_a_newer_schema() {
    let site = Site::new().await;
    let environment = site.started().await;
    site.told(&environment, "create").await;
    for (version, success) in [(3, "TRUE"), (4, "FALSE")] {
        site.execute(&format!(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES ({version}, \
             'of a later release', {success}, 'x', 1)"
        ))
        .await;
    }
    let told = site.told(&environment, "update_back").await;
    assert_eq!((&told["Status"], &told["Data"]["Version"]), (&json!("SUCCESS"), &json!("4")), "{told}");
    assert!(told["Reason"].as_str().is_some_and(|reason| reason.contains("newer")), "{told}");
}

#[tokio::test]
async fn what_cannot_start_is_told_at_once() {
    let site = Site::new().await;
    let wrong = site
        .function()
        .env("DATABASE_URL", "mysql://mail:password-marker@127.0.0.1")
        .env("DATABASE_TLS", "?");
    let environment = start(wrong).await;
    let reason = site.reason(&environment, "create").await;
    assert!(
        reason.contains("DATABASE_URL has no database name") && reason.contains("DATABASE_TLS"),
        "{reason}"
    );
    let told = site.told(&environment, "delete").await;
    assert_eq!(told["Status"], "SUCCESS", "a stack that could not be created can be deleted: {told}");
    is_discreet(&environment.log_text());

    let url = site.database.url().replace(PASSWORD, "password-marker");
    let environment = start(site.function().env("DATABASE_URL", url)).await;
    let reason = site.reason(&environment, "create").await;
    assert!(reason.starts_with("the database refused the login (MySQL error 1045)"), "{reason}");
    site.server.stop().await.expect("it stops");
    assert_eq!(site.reason(&environment, "create").await, "the database cannot be reached");
    is_discreet(&environment.log_text());
}

#[tokio::test]
async fn an_update_that_does_not_concern_the_database_does_not_need_it() {
    let site = Site::new().await;
    let environment = site.started().await;
    let properties = |age: &str, rights: &str| {
        json!({
            "SchemaVersion": "2", "Rights": rights, "DatabaseMaxConnections": "20", "Connections": { "sweep": "2" },
            "Configuration": { "DatabaseName": "shop", "MaxAgeSeconds": age },
        })
    };
    let mut event = site.event("update");
    event["OldResourceProperties"] = properties("1", "a");
    event["ResourceProperties"] = properties("2", "a");
    let before = site.told_of(&environment, &event).await;
    site.server.stop().await.expect("it stops");

    let told = site.told_of(&environment, &event).await;
    assert_eq!((&told["Status"], &told["Data"]), (&json!("SUCCESS"), &before["Data"]), "{told}");
    assert!(told["Reason"].as_str().is_some_and(|reason| reason.contains("could not be reached")), "{told}");
    assert!(environment.log_text().contains("migrate.database_away"));

    event["ResourceProperties"] = properties("2", "b");
    assert_eq!(site.reason_of(&environment, &event).await, "the database cannot be reached");
    event["ResourceProperties"] = properties("2", "a");
    event["ResourceProperties"]["DatabaseMaxConnections"] = json!("21");
    let reason = site.reason_of(&environment, &event).await;
    assert_eq!(reason, "the database cannot be reached", "nobody knows whether it lets in as many");
    event["ResourceProperties"]["DatabaseMaxConnections"] = json!("1");
    let reason = site.reason_of(&environment, &event).await;
    assert!(reason.contains("2 connections"), "the sum is looked at all the same: {reason}");
}

/// A fail-over, or a secret that is being rotated, is over in a moment.
#[tokio::test]
async fn a_database_that_is_back_in_a_moment_is_waited_for() {
    let site = Site::new().await;
    let environment = start(site.function().timeout(Duration::from_mins(10))).await;
    site.server.stop().await.expect("it stops");
    let stand_in = TcpListener::bind(("127.0.0.1", site.server.port())).await.expect("its port");
    let flight = environment.begin(&site.event("create"));
    drop(stand_in.accept().await.expect("it asks, and is hung up on"));
    drop(stand_in);
    site.server.restart().await.expect("it is back");
    assert_eq!(flight.outcome().await.outcome, Outcome::Response(Value::Null), "{}", environment.log_text());
    let told = site.desk.take_one();
    assert_eq!(told["Status"], "SUCCESS", "{told}");
}

/// However its time runs out, CloudFormation is told before it does.
#[tokio::test]
async fn short_of_time_it_answers_all_the_same() {
    let site = Site::new().await;
    let environment = start(site.function().timeout(Duration::from_secs(8))).await;
    // Somebody else's migration, which holds the lock.
    let name = site.database.name();
    let holder = site.database.admin().clone();
    let lock = format!("SELECT GET_LOCK(CONCAT('sendonce:', LEFT(SHA2('{name}', 256), 40)), 0), SLEEP(60)");
    let held = tokio::spawn(async move { holder.rows(&lock).await });
    let taken =
        format!("SELECT IS_USED_LOCK(CONCAT('sendonce:', LEFT(SHA2('{name}', 256), 40))) IS NOT NULL");
    while site.number(&taken).await == 0 {
        tokio::task::yield_now().await;
    }
    let reason = site.reason(&environment, "create").await;
    assert!(reason.starts_with("another migration of this database is under way"), "{reason}");
    held.abort();
    // A server that says nothing more.
    site.server.suspend().expect("it stops");
    let reason = site.reason(&environment, "create").await;
    assert!(reason.starts_with("the database did not answer within"), "{reason}");
    site.server.resume().expect("it goes on");
}
