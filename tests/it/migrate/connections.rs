//! A deploy whose functions could hold more connections than there are, as CloudFormation asks the real binary for it.

use serde_json::{Value, json};

use super::function::{Site, is_discreet};

const TABLES: &str = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()";

/// `migrate_update_connections.json`, for as many as this, and before for as many as that.
fn update(site: &Site, most: &str, before: Option<&str>) -> Value {
    let mut event = site.event("update_connections");
    event["ResourceProperties"]["DatabaseMaxConnections"] = json!(most);
    if let Some(before) = before {
        event["OldResourceProperties"]["DatabaseMaxConnections"] = json!(before);
    }
    event
}

#[tokio::test]
async fn a_deploy_that_does_not_fit_is_refused_with_the_arithmetic() {
    let site = Site::new().await;
    let environment = site.started().await;
    let before = site.server.connections_made().await.expect("status");
    assert_eq!(
        site.reason(&environment, "create_too_many_connections").await,
        "the functions may hold 21 connections at the same time (UrgentMaximumConcurrency 10 + BulkMaximumConcurrency 5 + \
         FeedbackMaximumConcurrency 2 + sweep 2 + RabbitmqBridgeInvocations 1 + migrate 1), and DatabaseMaxConnections is \
         20: lower one of them, or raise it"
    );
    let unread = site.reason_of(&environment, &update(&site, "plenty", None)).await;
    assert_eq!(unread, "the property DatabaseMaxConnections is not a whole number");
    let mut event = update(&site, "60", None);
    event["ResourceProperties"]["Connections"]["sweep"] = json!("?");
    let unread = site.reason_of(&environment, &event).await;
    assert_eq!(unread, "the property Connections.sweep is not a whole number");
    assert_eq!(site.server.connections_made().await.expect("status"), before, "nobody was asked");
    assert_eq!(site.number(TABLES).await, 0);
    let log = environment.log_text();
    assert!(log.contains("migrate.failed") && log.contains("DatabaseMaxConnections is 20"), "{log}");
    is_discreet(&log);
    let told = site.told_of(&environment, &update(&site, "21", None)).await;
    assert_eq!(told["Status"], "SUCCESS", "just enough: {told}");
}

/// What the server itself does not let in nobody can be given. But a rollback to what was accepted once goes through.
#[tokio::test]
async fn more_than_the_server_has_is_refused_unless_it_may_be_a_rollback() {
    let site = Site::new().await;
    let environment = site.started().await;
    site.execute("SET GLOBAL max_connections = 100").await;
    for before in [None, Some("0"), Some("100"), Some("?")] {
        assert_eq!(
            site.reason_of(&environment, &update(&site, "101", before)).await,
            "DatabaseMaxConnections is 101, but this server lets in 100 connections at the same time (max_connections): \
             lower the one, or raise the other",
            "{before:?}"
        );
    }
    assert_eq!(site.number(TABLES).await, 0, "and nothing was touched");
    let told = site.told_of(&environment, &update(&site, "100", None)).await;
    assert_eq!(told["Status"], "SUCCESS", "{told}");
    assert!(!environment.log_text().contains("migrate.server_too_small"));
    // Somebody made the server smaller; then a deploy is rolled back, or changes something else.
    site.execute("SET GLOBAL max_connections = 90").await;
    for before in ["100", "300"] {
        let told = site.told_of(&environment, &update(&site, "100", Some(before))).await;
        assert_eq!(told["Status"], "SUCCESS", "{before}: {told}");
    }
    let log = environment.log_text();
    assert_eq!(log.matches("migrate.server_too_small").count(), 2, "{log}");
    let told = site.told_of(&environment, &update(&site, "0", Some("100"))).await;
    assert_eq!(told["Status"], "SUCCESS", "not checked any more: {told}");
    is_discreet(&environment.log_text());
}
