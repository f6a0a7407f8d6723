//! Every file of `events/` that is for this function, through the real binary, against `events/expected.json`.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use stack::runtime_api::Outcome;

use super::function::Site;

/// What the files speak of: an email that is being sent.
const EMAIL: &str = "DELETE FROM email_event; DELETE FROM email; \
    INSERT INTO email (id, sender, to_addresses, subject, text_body, state, attempt_id, lease_until) VALUES \
    (41, 'Shop <orders@mail.shop.example>', JSON_ARRAY('ada@customer.example'), 'Your receipt', 'Thank you.', \
    'sending', '01JDCB8Q6Y3V0K9M2T4W6X8Z1A', UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE)";

#[tokio::test]
async fn every_event_file_does_what_is_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events");
    let read = |name: &str| -> Value {
        let text = fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let expected = read("expected.json");
    let files: BTreeSet<String> = fs::read_dir(&folder)
        .expect("events")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("ses_"))
        .collect();
    let listed = expected.as_object().expect("an object").keys().filter(|name| name.starts_with("ses_"));
    assert_eq!(files, listed.cloned().collect(), "expected.json speaks of every file");
    let site = Site::new().await;
    let environment = site.start(site.function().env("CONFIGURATION_SET", "mail-events")).await;
    let admin = site.database.admin();
    let before = site.server.connections_made().await.expect("status");
    let mut needed = 0;
    for name in &files {
        let expected = &expected[name];
        admin.execute(EMAIL).await.expect("written");
        let outcome = environment.invoke(&read(name)).await.outcome;
        let failures =
            |ids: &Vec<Value>| -> Vec<Value> { ids.iter().map(|id| json!({"itemIdentifier": id})).collect() };
        match &expected["answer"] {
            Value::Array(ids) => {
                let answer = json!({"batchItemFailures": failures(ids)});
                assert_eq!(outcome, Outcome::Response(answer), "{name}");
            }
            Value::Null => assert_eq!(outcome, Outcome::Response(Value::Null), "{name}"),
            _ => assert!(matches!(outcome, Outcome::Error { .. }), "{name}: {outcome:?}"),
        }
        let rows = admin.rows("SELECT kind FROM email_event ORDER BY kind").await.expect("read");
        let kinds: Vec<_> = rows.into_iter().flatten().map(|kind| json!(kind)).collect();
        assert_eq!(json!(kinds), expected["events"], "{name}");
        let rows = admin.rows("SELECT CAST(id AS CHAR), state FROM email").await.expect("read");
        let state = rows[0][1].as_deref();
        assert_eq!((rows.len(), state), (1, expected["state"].as_str()), "{name}");
        // An event for an id that is not here has to ask, too.
        needed += u64::from(!kinds.is_empty() || name == "ses_eventbridge_unknown_id.json");
    }
    assert!(environment.is_running(), "one process handled them all");
    assert_eq!(site.server.connections_made().await.expect("status") - before, needed);
    site.nobody_is_connected().await;
    assert_eq!(site.server.global_status("Aborted_clients").await.expect("status"), 0);
    // Nothing that the files say about people, at debug level.
    let log = environment.log_text();
    assert!(log.contains("feedback.taken") && log.contains("feedback.unreadable"), "{log}");
    for personal in ["ada@", "customer.example", "shop.example", "receipt", "192.0.2", "Bad content", "Dear"]
    {
        assert!(!log.contains(personal), "{personal} in {log}");
    }
}
