//! The schema as a deploy brings it: before anything needs it, or not at all.

use serde_json::json;
use stack::{
    database::{Options, Server},
    deploy::DeployError,
    install::workspace,
};

use super::{BINARIES, Deployed};
use crate::{grants::empty_for_migrate, world::flavor};

#[tokio::test]
async fn a_deploy_brings_the_schema_before_anything_needs_it() {
    let server = Server::start(Options::new(flavor())).await.expect("the server starts");
    let database = empty_for_migrate(&server).await;
    let url = database.url_of("migrate");
    let shop =
        Deployed::on(server, database, &BINARIES, &[("MigrateSchema", "yes"), ("MigrateDatabaseUrl", &url)])
            .await;
    let shop = shop.unwrap_or_else(|error| panic!("it deploys: {error}"));
    shop.insert(1, "pending").await;
    let unheard = "UPDATE email SET due_at = UTC_TIMESTAMP(6) - INTERVAL 3 MINUTE";
    shop.database.admin().execute(unheard).await.expect("written");
    shop.cloud.invoke(super::SWEEP, &json!({})).await.expect("it answers");
    shop.becomes(1, "sent").await;
    let log = shop.cloud.log("shop-migrate").await.expect("a log").join("\n");
    assert!(log.contains("0002_state_lane_due_at.sql") && log.contains("migrate.done"), "{log}");
    let again = shop.cloud.invoke(&shop.outputs["MigrateFunctionArn"], &json!({})).await.expect("it answers");
    assert_eq!(again["applied"], json!([]), "{again}");
    let variables = shop.cloud.variables("shop-migrate").await.expect("variables");
    let names: Vec<&str> = variables.keys().map(String::as_str).collect();
    let expected =
        ["DATABASE_AUTH", "DATABASE_CA_FILE", "DATABASE_TLS", "DATABASE_URL", "LOG_LEVEL", "STACK_NAME"];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_failed_migration_fails_the_deploy_with_its_message() {
    let server = Server::start(Options::new(flavor())).await.expect("the server starts");
    let database = empty_for_migrate(&server).await;
    database.admin().execute("CREATE TABLE email (id INT)").await.expect("a table in the way");
    let url = database.url_of("migrate");
    let refused =
        Deployed::on(server, database, &BINARIES, &[("MigrateSchema", "yes"), ("MigrateDatabaseUrl", &url)])
            .await;
    let Err(DeployError::Stack { events, .. }) = refused else { panic!("it should have failed") };
    assert!(events.contains("0001_schema.sql failed with MySQL error 1050"), "{events}");
    assert!(!events.contains("DispatchSqsFunction: CREATE_COMPLETE"), "{events}");
}

/// Whichever function has a database waits for the schema, and nothing else does.
#[test]
fn what_has_a_database_waits_for_the_schema() {
    let template = std::fs::read_to_string(workspace().join("template.yaml")).expect("the template");
    let mut waiting = Vec::new();
    let mut connected = Vec::new();
    for block in template.split("\n\n") {
        let is_function =
            |line: &&str| line.starts_with("  ") && line.ends_with("Function:") && !line.starts_with("   ");
        let Some(name) = block.lines().find(is_function) else { continue };
        if block.contains("            - !Ref DatabaseUrl\n") {
            connected.push(name.trim());
        }
        if block.contains("\n      Tags: { SchemaVersion: !GetAtt Schema.Version }\n") {
            waiting.push(name.trim());
        }
    }
    assert_eq!(waiting, connected);
    assert!(connected.len() >= 4, "{connected:?}");
}
