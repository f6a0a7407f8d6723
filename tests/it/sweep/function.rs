//! The real binary of `sweep` under a Lambda Runtime API.

use serde_json::{Value, json};
use stack::{install::workspace, runtime_api::Function};

use crate::{function::Site, world::function_binary};

fn sweep(site: &Site) -> Function {
    site.configured(Function::new(function_binary("sweep")))
}

#[tokio::test]
async fn the_schedule_runs_it_and_a_dry_run_only_tells() {
    let site = Site::new().await;
    let environment = site.start(sweep(&site)).await;
    let before = site.server.connections_made().await.expect("status");
    let id = site.insert("recipient-marker@customer.example").await;
    let dry = environment.invoke(&json!({"dry_run": true})).await.response();
    assert_eq!((&dry["dry_run"], &dry["dispatched"]), (&json!(true), &json!(1)), "{dry}");
    assert_eq!(site.state(id).await, "pending");
    // The payloads of EventBridge's scheduler and of its rules.
    let file = workspace().join("events/scheduler_default_payload.json");
    let event: Value = serde_json::from_slice(&std::fs::read(file).expect("read")).expect("JSON");
    let report = environment.invoke(&event).await.response();
    assert_eq!((&report["dry_run"], &report["dispatched"]), (&json!(false), &json!(1)), "{report}");
    assert_eq!((site.state(id).await.as_str(), site.ses.times_taken(id)), ("sent", 1));
    let _ = environment.invoke(&json!({"source": "aws.events", "detail": {}})).await.response();
    site.nobody_is_connected().await;
    assert_eq!(site.server.connections_made().await.expect("status") - before, 3, "one an invocation");
    assert_eq!(site.server.global_status("Aborted_clients").await.expect("status"), 0);
    let log = environment.log_text();
    assert!(log.contains("sweep.done"), "{log}");
    for secret in ["marker", "Marker", "aws-secret"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test]
async fn without_a_database_it_fails_and_says_so() {
    let site = Site::new().await;
    let environment = site.start(sweep(&site)).await;
    site.server.stop().await.expect("stopped");
    let outcome = environment.invoke(&json!({})).await.outcome;
    assert!(format!("{outcome:?}").contains("database"), "{outcome:?}");
    assert!(environment.log_text().contains("database_unreachable"));
    site.server.restart().await.expect("it starts again");
    let report = environment.invoke(&json!({})).await.response();
    assert_eq!(report["dispatched"], json!(0));
}
