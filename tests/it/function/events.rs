//! Every file of `events/` that is for this function, against `events/expected.json`.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::Site;

#[tokio::test]
async fn every_event_file_is_answered_as_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events");
    let read = |name: &str| -> Value {
        let text = fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let expected = read("expected.json");
    let expected = expected.as_object().expect("an object");
    let files: BTreeSet<String> = fs::read_dir(&folder)
        .expect("events")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("sqs_"))
        .collect();
    let listed: BTreeSet<String> = expected.keys().filter(|name| name.starts_with("sqs_")).cloned().collect();
    assert_eq!(files, listed, "expected.json speaks of every file");
    let site = Site::new().await;
    let environment = site.start(site.function()).await;
    let before = site.server.connections_made().await.expect("status");
    let mut needed = 0;
    for name in &files {
        let event = read(name);
        let records = event["Records"].as_array().map_or(0, Vec::len);
        let response = environment.invoke(&event).await.response();
        let failed: Vec<&str> = response["batchItemFailures"]
            .as_array()
            .unwrap_or_else(|| panic!("{name}: {response}"))
            .iter()
            .map(|item| item["itemIdentifier"].as_str().expect("an identifier"))
            .collect();
        let wanted: Vec<&str> =
            expected[name].as_array().expect("a list").iter().map(|id| id.as_str().expect("an id")).collect();
        assert_eq!(failed, wanted, "{name}");
        needed += u64::from(failed.len() < records);
    }
    assert!(environment.is_running(), "one process handled them all");
    assert_eq!(site.server.connections_made().await.expect("status") - before, needed);
    assert_eq!(site.server.global_status("Aborted_clients").await.expect("status"), 0);
}
