//! What is measured, counted over what was done, and that alarms and dashboard look at that and at nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use outbox::measure::Metric;
use serde_json::{Value, json};
use stack::{
    install::workspace,
    runtime_api::{Environment, Function, Outcome},
    ses::{Fault, Match, SesError},
};

use super::documents;
use crate::{function::Site, world::function_binary};

const ADA: &str = "recipient-marker@customer.example";

fn function(site: &Site, name: &'static str) -> Function {
    site.configured(Function::new(function_binary(name))).env("STACK_NAME", "shop")
}

/// An SQS event that rings for these, each rung so often in vain.
fn event(doorbells: &[(u64, u32)]) -> Value {
    let records = doorbells.iter().map(|(id, tries)| {
        json!({
            "messageId": format!("message-{id}"),
            "body": id.to_string(),
            "attributes": {},
            "messageAttributes": {"tries": {"stringValue": tries.to_string(), "dataType": "Number"}},
            "eventSourceARN": "arn:aws:sqs:eu-west-1:111122223333:urgent"
        })
    });
    json!({"Records": records.collect::<Vec<_>>()})
}

fn counts(document: &BTreeMap<&'static str, Vec<f64>>) -> Vec<(&'static str, f64)> {
    let counts = document.iter().filter(|(name, _)| !name.ends_with("Ms"));
    counts.map(|(name, values)| (*name, values.iter().sum())).collect()
}

fn measured(document: &BTreeMap<&'static str, Vec<f64>>) -> Vec<(&'static str, usize)> {
    let times = document.iter().filter(|(name, _)| name.ends_with("Ms"));
    times
        .map(|(name, values)| {
            assert!(values.iter().all(|value| (0.0..60_000.0).contains(value)), "{name}: {values:?}");
            (*name, values.len())
        })
        .collect()
}

async fn execute(site: &Site, sql: &str) {
    site.database.admin().execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

async fn done(environment: &Environment, event: &Value) -> Value {
    environment.invoke(event).await.response()
}

#[tokio::test]
async fn every_way_of_an_email_is_counted_once() {
    let site = Site::new().await;
    let environment = site.start(function(&site, "dispatch-sqs").env("SEND_CONCURRENCY", "1")).await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(site.insert(ADA).await);
    }
    let suppressed = site.insert("gone-marker@customer.example").await;
    execute(
        &site,
        "INSERT INTO suppression (address, reason) VALUES ('gone-marker@customer.example', 'bounce')",
    )
    .await;
    site.ses.script(Match::EmailId(ids[1]), 1, Fault::Refuse(SesError::MessageRejected));
    site.ses.script(Match::EmailId(ids[2]), 1, Fault::status(500));
    site.ses.script(Match::EmailId(ids[3]), 1, Fault::status(409));
    // Wrong before it ever comes to a call.
    execute(&site, &format!("UPDATE email SET lane = 'express' WHERE id = {}", ids[4])).await;
    let doorbells = [
        (ids[0], 0),
        (ids[1], 0),
        (ids[2], 0),
        (ids[3], 0),
        (ids[4], 0),
        (suppressed, 0),
        (ids[5], 0),
        // Of its end already, not there yet, and not there for the last time.
        (ids[0], 0),
        (4711, 0),
        (4712, 255),
    ];
    done(&environment, &event(&doorbells)).await;
    for (id, state) in
        [(ids[0], "sent"), (ids[2], "unknown"), (ids[3], "pending"), (suppressed, "suppressed")]
    {
        assert_eq!(site.state(id).await, state);
    }
    let documents = documents(&environment).await;
    assert_eq!(documents.len(), 1, "one an invocation: {documents:?}");
    assert_eq!(
        counts(&documents[0]),
        [
            ("Failed", 2.0),
            // Without a queue, one that is not there yet cannot be rung for again either, but nobody gave up on it.
            ("Orphaned", 1.0),
            ("Retries", 1.0),
            ("Sent", 2.0),
            ("Suppressed", 1.0),
            ("Unknown", 1.0)
        ]
    );
    let times = measured(&documents[0]);
    let of = |name| times.iter().find(|(found, _)| *found == name).map(|(_, values)| *values);
    assert_eq!((of("ConnectMs"), of("SendMs"), of("RecordMs")), (Some(1), Some(5), Some(7)), "{times:?}");
    // One that is locked or not there is looked at twice.
    assert!(of("ClaimMs").is_some_and(|claims| claims >= 10), "{times:?}");
    let log = environment.log_text();
    for personal in ["marker", "Marker", "aws-secret", "express"] {
        assert!(!log.contains(personal), "{personal} in {log}");
    }
}

#[tokio::test]
async fn who_waits_for_the_rate_is_counted_and_an_invocation_is_told_of_itself_alone() {
    let site = Site::new().await;
    let environment = site.start(function(&site, "dispatch-sqs").env("MAX_SEND_RATE", "1")).await;
    let first = site.insert(ADA).await;
    let crowd: Vec<_> = (0..40).map(|serial| format!("a{serial}@customer.example")).collect();
    execute(&site, &format!("UPDATE email SET to_addresses = '{}' WHERE id = {first}", json!(crowd))).await;
    let (second, third) = (site.insert(ADA).await, site.insert(ADA).await);
    done(&environment, &event(&[(first, 0), (second, 0), (third, 0)])).await;
    done(&environment, &json!({"Records": []})).await;
    done(&environment, &event(&[(second, 0)])).await;
    done(&environment, &event(&[(first, 0)])).await;
    let documents = documents(&environment).await;
    let counted: Vec<_> = documents.iter().map(counts).collect();
    assert_eq!(counted[0], [("RateWaits", 2.0), ("Sent", 1.0)]);
    // One that is rung for already, and one that is at its end; and nothing of the invocation that did nothing.
    assert!(counted[1..].iter().all(Vec::is_empty), "{counted:?}");
    assert_eq!(counted.len(), 3, "{counted:?}");
    assert_eq!(measured(&documents[2]), [("ClaimMs", 1), ("ConnectMs", 1)]);
}

#[tokio::test]
async fn what_was_done_before_an_error_is_told_all_the_same() {
    let site = Site::new().await;
    let away = "http://127.0.0.1:9";
    let function = function(&site, "dispatch-rabbitmq")
        .env("URGENT_QUEUE_URL", format!("{away}/000000000000/urgent"))
        .env("AWS_ENDPOINT_URL_SQS", away)
        .timeout(std::time::Duration::from_secs(12));
    let environment = site.start(function).await;
    let id = site.insert(ADA).await;
    let message = |id: u64| {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        json!({"data": STANDARD.encode(id.to_string())})
    };
    // There is no such row: it would have to be rung for again.
    let batch = json!({"rmqMessagesByQueue": {"mail::/": [message(id), message(4711)]}});
    let outcome = environment.invoke(&batch).await.outcome;
    assert!(matches!(outcome, Outcome::Error { .. }), "{outcome:?}");
    let documents = documents(&environment).await;
    assert_eq!(documents.iter().map(counts).collect::<Vec<_>>(), [[("Sent", 1.0)]]);
}

#[tokio::test]
async fn without_a_name_nothing_is_measured() {
    let site = Site::new().await;
    let environment = site.start(function(&site, "dispatch-sqs").env("STACK_NAME", "")).await;
    let id = site.insert(ADA).await;
    done(&environment, &event(&[(id, 0)])).await;
    assert_eq!(site.state(id).await, "sent");
    assert!(documents(&environment).await.is_empty());
}

#[tokio::test]
async fn the_sweep_tells_what_waits_also_when_nothing_does() {
    let site = Site::new().await;
    let environment = site.start(function(&site, "sweep")).await;
    done(&environment, &json!({})).await;
    let (due, dead, doubted) = (site.insert(ADA).await, site.insert(ADA).await, site.insert(ADA).await);
    let attempt = "attempt_id = '01JDCB8Q6Y3V0K9M2T4W6X8Z1A'";
    let past = "UTC_TIMESTAMP(6) - INTERVAL 600 SECOND";
    execute(&site, &format!("UPDATE email SET due_at = {past}, created_at = {past} WHERE id = {due}")).await;
    execute(
        &site,
        &format!("UPDATE email SET state = 'sending', {attempt}, lease_until = {past} WHERE id = {dead}"),
    )
    .await;
    execute(&site, &format!("UPDATE email SET state = 'unknown', {attempt} WHERE id = {doubted}")).await;
    // A look alone is nobody's minute.
    done(&environment, &json!({"dry_run": true})).await;
    done(&environment, &json!({})).await;
    site.server.stop().await.expect("it stops");
    let outcome = environment.invoke(&json!({})).await.outcome;
    assert!(matches!(outcome, Outcome::Error { .. }), "{outcome:?}");
    site.server.restart().await.expect("it starts");
    execute(&site, &format!("UPDATE email SET on_unknown = 'resend', state_at = {past}")).await;
    done(&environment, &json!({})).await;
    let documents = documents(&environment).await;
    let told: Vec<_> = documents.iter().map(counts).collect();
    assert_eq!(told[0], [("OldestDueSeconds", 0.0), ("UnknownEmails", 0.0)]);
    // What it began with: the dead one counts among the unknown from the next minute on.
    let age = documents[1]["OldestDueSeconds"][0];
    assert!((600.0..900.0).contains(&age), "{age}");
    assert_eq!(told[1][1..], [("Sent", 1.0), ("Unknown", 1.0), ("UnknownEmails", 1.0)]);
    // Of the run that failed there is nothing, and no gauge from before either.
    assert_eq!(told[2], [("OldestDueSeconds", 0.0), ("Retries", 2.0), ("Sent", 2.0), ("UnknownEmails", 2.0)]);
    assert_eq!(told.len(), 3, "{told:?}");
}

#[tokio::test]
async fn of_more_than_a_hundred_values_none_is_lost() {
    let site = Site::new().await;
    let environment = site.start(function(&site, "sweep")).await;
    for _ in 0..8 {
        site.insert(ADA).await;
    }
    for _ in 0..4 {
        execute(
            &site,
            "INSERT INTO email (sender, to_addresses, subject, text_body) \
             SELECT sender, to_addresses, subject, text_body FROM email",
        )
        .await;
    }
    // Without a queue it sends them all.
    done(&environment, &json!({})).await;
    let documents = documents(&environment).await;
    assert_eq!(documents.len(), 2, "{documents:?}");
    assert_eq!(counts(&documents[0])[1..], [("Sent", 128.0), ("UnknownEmails", 0.0)]);
    assert!(counts(&documents[1]).is_empty(), "told once: {documents:?}");
    let sends: usize = documents.iter().map(|document| document["SendMs"].len()).sum();
    assert_eq!(sends, 128);
}

#[tokio::test]
async fn what_ses_says_later_is_counted_once() {
    let site = Site::new().await;
    let environment = site.start(function(&site, "feedback").env("CONFIGURATION_SET", "mail-events")).await;
    let read = |name: &str| -> Value {
        let text = fs::read_to_string(workspace().join("events").join(name)).expect("read");
        text.parse().expect("JSON")
    };
    execute(
        &site,
        "INSERT INTO email (id, sender, to_addresses, subject, text_body, state, attempt_id) VALUES \
         (41, 'Shop <orders@mail.shop.example>', JSON_ARRAY('ada@customer.example'), 'Your receipt', 'x', \
         'unknown', '01JDCB8Q6Y3V0K9M2T4W6X8Z1A')",
    )
    .await;
    for name in ["ses_eventbridge_send.json", "ses_eventbridge_reject.json", "ses_eventbridge_reject.json"] {
        done(&environment, &read(name)).await;
    }
    assert_eq!(site.state(41).await, "failed");
    let documents = documents(&environment).await;
    let counted: Vec<_> = documents.iter().map(counts).collect();
    assert_eq!(counted, [vec![("Sent", 1.0)], vec![("Failed", 1.0)], vec![]]);
    assert!(documents.iter().all(|document| measured(document) == [("ConnectMs", 1)]));
}

/// A dashboard draws an empty picture of a metric that nobody writes, and an alarm of it never goes off.
#[test]
fn alarms_and_dashboard_look_at_what_is_measured() {
    let template = fs::read_to_string(workspace().join("infra/observability.yaml")).expect("read");
    let mut looked_at = BTreeSet::new();
    let mut lines = template.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line == "Namespace: sendonce" {
            let name = lines.next().and_then(|line| line.strip_prefix("MetricName: "));
            looked_at.insert(name.expect("the name follows the namespace").to_owned());
        }
    }
    let alarms = looked_at.len();
    // The dashboard: `[ "sendonce", "Sent", "Stack", … ]`, and `[ ".", "Failed", ".", … ]` for the namespace before it.
    let mut ours = false;
    for entry in template.split('[').skip(1) {
        let mut words = entry.split(']').next().unwrap_or_default().split('"').skip(1).step_by(2);
        match (words.next(), words.next()) {
            (Some("sendonce"), Some(name)) => {
                ours = true;
                looked_at.insert(name.to_owned());
            }
            (Some("."), Some(name)) if ours && name != "." => drop(looked_at.insert(name.to_owned())),
            (Some("."), _) => {}
            _ => ours = false,
        }
    }
    assert!(alarms > 2 && looked_at.len() > alarms, "{looked_at:?}");
    let measured: BTreeSet<_> = Metric::ALL.iter().map(|metric| metric.name().to_owned()).collect();
    assert_eq!(looked_at, measured);
    let documented = fs::read_to_string(workspace().join("docs/OBSERVABILITY.md")).expect("read");
    for name in measured {
        assert!(
            documented.contains(&format!("| `{name}` |")),
            "docs/OBSERVABILITY.md does not speak of {name}"
        );
    }
}
