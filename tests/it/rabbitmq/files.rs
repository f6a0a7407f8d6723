//! Every file of `events/` that comes from RabbitMQ, through both real binaries, against `events/expected.json`.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use stack::runtime_api::{Environment, Function, Outcome};

use super::{Queues, is_discreet, start};
use crate::{function::Site, world::function_binary};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")
}

fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every file, and what is expected of it.
fn cases() -> Vec<(String, Value)> {
    let expected: Value = read("expected.json").parse().expect("JSON");
    let files: BTreeSet<String> = fs::read_dir(folder())
        .expect("events")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("rabbitmq_"))
        .collect();
    let listed = expected.as_object().expect("an object").keys().filter(|name| name.starts_with("rabbitmq_"));
    assert_eq!(files, listed.cloned().collect(), "expected.json speaks of every file");
    files.into_iter().map(|name| (name.clone(), expected[&name].clone())).collect()
}

/// Replays a file as it is written: the order of the queues counts.
async fn replay(environment: &Environment, name: &str, expected: &Value) {
    let outcome = environment.invoke_raw(read(name)).await.outcome;
    match &expected["answer"] {
        Value::Null => assert_eq!(outcome, Outcome::Response(Value::Null), "{name}"),
        _ => assert!(matches!(outcome, Outcome::Error { .. }), "{name}: {outcome:?}"),
    }
}

fn sorted(reasons: &Value) -> Value {
    let mut reasons: Vec<&str> =
        reasons.as_array().expect("a list").iter().map(|reason| reason.as_str().expect("a reason")).collect();
    reasons.sort_unstable();
    json!(reasons)
}

#[tokio::test]
async fn the_relay_does_with_every_file_what_is_written_down() {
    let queues = Queues::new().await;
    let environment = start(queues.relay()).await;
    for (name, expected) in cases() {
        replay(&environment, &name, &expected).await;
        assert_eq!(json!(queues.take_ids(&queues.urgent).await), expected["urgent"], "{name}");
        assert_eq!(json!(queues.take_ids(&queues.bulk).await), expected["bulk"], "{name}");
        assert_eq!(json!(queues.take_reasons().await), sorted(&expected["dead"]), "{name}");
    }
    assert!(environment.is_running(), "one process handled them all");
    assert!(environment.log_text().contains("doorbell.dead_lettered"));
    is_discreet(&environment);
}

#[tokio::test]
async fn the_dispatch_does_with_every_file_what_is_written_down() {
    let (site, queues) = (Site::new().await, Queues::new().await);
    let function = queues.dead_letters(site.configured(Function::new(function_binary("dispatch-rabbitmq"))));
    let environment = start(function).await;
    let before = site.server.connections_made().await.expect("status");
    let mut needed = 0;
    for (name, expected) in cases() {
        replay(&environment, &name, &expected).await;
        assert_eq!(json!(queues.take_reasons().await), sorted(&expected["dead"]), "{name}");
        let readable = [&expected["urgent"], &expected["bulk"]].map(|ids| ids.as_array().map_or(0, Vec::len));
        needed += u64::from(readable != [0, 0]);
    }
    assert!(environment.is_running(), "one process handled them all");
    assert_eq!(site.server.connections_made().await.expect("status") - before, needed);
    site.nobody_is_connected().await;
    assert_eq!(site.server.global_status("Aborted_clients").await.expect("status"), 0);
    is_discreet(&environment);
}
