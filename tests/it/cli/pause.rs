//! `sendonce pause` and `sendonce resume`, with the real functions around them.

use std::time::Duration;

use serde_json::{Value, json};
use stack::{
    deploy::Cloud,
    gate::Gate,
    ministack::{Ministack, Options},
    runtime_api::Function,
    ses::{Fault, Match},
};

use super::{Said, run};
use crate::{
    function::{Site, all_done, event, ring},
    world::{Table, function_binary},
};

fn type_in(site: &Site, line: &str) -> Said {
    run(&[("DATABASE_URL", &site.database.url_of("operator")), ("DATABASE_TLS", "off")], line)
}

/// `dispatch-sqs`, or another function, with all the time it wants for SES.
fn patient(site: &Site, name: &'static str) -> Function {
    site.configured(Function::new(function_binary(name))).env("SES_TIMEOUT_MS", "10000")
}

async fn one(site: &Site, sql: &str) -> String {
    let rows = site.database.admin().rows(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    rows[0][0].clone().expect("a value")
}

async fn execute(site: &Site, sql: &str) {
    site.database.admin().execute(sql).await.expect("changed");
}

#[tokio::test]
async fn what_is_under_way_ends_and_nothing_else_begins() {
    let site = Site::new().await;
    let busy = site.start(patient(&site, "dispatch-sqs")).await;
    let other = site.start(patient(&site, "dispatch-sqs")).await;
    let sweep = site.start(patient(&site, "sweep")).await;
    // A lane in some doubt, so that a success would clear it, and with it the rest that there is.
    execute(&site, "UPDATE lane SET strikes = 2, struck_at = UTC_TIMESTAMP(6) WHERE name = 'urgent'").await;
    let gate = Gate::new();
    site.ses.script(Match::Any, 1, Fault::Gate(gate.clone()));
    let under_way = site.insert("ada@customer.example").await;
    let flight = busy.begin_within(&event(&[under_way.to_string()]), Duration::from_secs(30));
    gate.reached().await;
    let text = type_in(&site, "pause --lane urgent --for 1h").done();
    for part in [
        "is paused until 20",
        "(in 59 min)",
        "Under way, and not stopped: 1 email.",
        "sendonce resume --lane urgent",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let waits = site.insert("bob@customer.example").await;
    let overdue = site.insert("carl@customer.example").await;
    let then = "UTC_TIMESTAMP(6) - INTERVAL 1 HOUR";
    execute(
        &site,
        &format!(
            "UPDATE email SET created_at = {then}, state_at = {then}, due_at = {then} WHERE id = {overdue}"
        ),
    )
    .await;
    let bulk = site.insert("dora@customer.example").await;
    execute(&site, &format!("UPDATE email SET lane = 'bulk' WHERE id = {bulk}")).await;
    for id in [waits, bulk, waits] {
        assert_eq!(ring(&other, id).await, all_done());
    }
    assert_eq!(site.state(bulk).await, "sent", "the other lane goes on");
    let report = sweep.invoke(&json!({})).await.response();
    assert_eq!((&report["dispatched"], &report["rung"]), (&json!(0), &json!(0)), "{report}");
    // The email that was under way is sent, and that is no reason to begin another.
    gate.release();
    assert_eq!(flight.outcome().await.response(), all_done());
    assert_eq!(site.state(under_way).await, "sent");
    assert_eq!(ring(&other, waits).await, all_done());
    assert_eq!(sweep.invoke(&json!({})).await.response()["dispatched"], json!(0));
    for id in [waits, overdue] {
        let row =
            format!("SELECT CONCAT_WS(' ', state, attempts, attempt_id IS NULL) FROM email WHERE id = {id}");
        assert_eq!(one(&site, &row).await, "pending 0 1");
    }
    assert_eq!(site.ses.request_count(), 2);
    // Its other duties go on meanwhile: a time that passes ends an email, paused or not.
    let late = site.insert("late@customer.example").await;
    execute(&site, &format!("UPDATE email SET expires_at = UTC_TIMESTAMP(6) WHERE id = {late}")).await;
    assert_eq!(sweep.invoke(&json!({})).await.response()["expired"], json!(1));
    assert_eq!(site.state(late).await, "expired");
    // There is no queue here: what waited is sent by the sweep itself, at its first run.
    let text = type_in(&site, "resume").done();
    assert!(
        text.contains("urgent  goes on: it is open") && text.contains("bulk    was not paused"),
        "{text}"
    );
    let report = sweep.invoke(&json!({})).await.response();
    assert_eq!(report["dispatched"], json!(2), "{report}");
    for id in [under_way, waits, overdue, bulk] {
        assert_eq!((site.state(id).await.as_str(), site.ses.times_taken(id)), ("sent", 1));
    }
    site.nobody_is_connected().await;
    assert_eq!(site.server.global_status("Aborted_clients").await.expect("status"), 0);
}

#[tokio::test]
async fn doorbells_are_not_kept_and_the_sweep_rings_once_it_is_over() {
    let site = Site::new().await;
    let ministack = Ministack::start(Options::default()).await.expect("ministack starts");
    let cloud = Cloud::of(&ministack);
    let queue = cloud.sqs("CreateQueue", &json!({"QueueName": "urgent"})).await.expect("made");
    let url = queue["QueueUrl"].as_str().expect("a URL");
    let function = |name| {
        patient(&site, name)
            .env("AWS_REGION", ministack.region())
            .env("URGENT_QUEUE_URL", url)
            .env("AWS_ENDPOINT_URL_SQS", ministack.endpoint())
            .env("MAX_SEND_RATE", "20")
            .timeout(Duration::from_mins(1))
    };
    let messages = async || {
        let question = json!({"QueueUrl": url, "AttributeNames": ["All"]});
        let attributes = cloud.sqs("GetQueueAttributes", &question).await.expect("attributes");
        ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed"]
            .map(|name| attributes["Attributes"][name].as_str().expect("a number").to_owned())
    };
    let dispatch = site.start(function("dispatch-sqs")).await;
    let sweep = site.start(function("sweep")).await;
    // SES refuses what is faster, but for the four that may be under way at once: then there would be more requests than
    // emails.
    site.ses.rate_limit(Some(25.0));
    type_in(&site, "pause").done();
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(site.insert("ada@customer.example").await);
    }
    // Waited in line when the pause began, so that the next doorbell would be an hour away.
    execute(
        &site,
        "UPDATE email SET due_at = UTC_TIMESTAMP(6) - INTERVAL 2 HOUR, rung_at = UTC_TIMESTAMP(6) WHERE id <= 10",
    )
    .await;
    let bodies: Vec<String> = ids.iter().map(u64::to_string).collect();
    assert_eq!(dispatch.invoke(&event(&bodies)).await.response(), all_done());
    assert_eq!(sweep.invoke(&json!({})).await.response()["rung"], json!(0));
    assert_eq!(messages().await, ["0", "0"], "nothing goes round while nothing can come of it");
    assert_eq!(site.ses.request_count(), 0);
    // A pause that is over by itself is as good as one that was ended.
    execute(&site, "UPDATE lane SET rest_until = UTC_TIMESTAMP(6), struck_at = UTC_TIMESTAMP(6)").await;
    assert_eq!(sweep.invoke(&json!({})).await.response()["rung"], json!(40));
    assert_eq!(sweep.invoke(&json!({})).await.response()["rung"], json!(0), "each has its doorbell now");
    let mut rung = Vec::new();
    while rung.len() < 40 {
        let question = json!({"QueueUrl": url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 5});
        let received: Value = cloud.sqs("ReceiveMessage", &question).await.expect("messages");
        for message in received["Messages"].as_array().expect("each is there") {
            rung.push(message["Body"].as_str().expect("a body").to_owned());
        }
    }
    // More than go out in a second: the others wait in line, as after any backlog.
    assert_eq!(dispatch.invoke(&event(&rung)).await.response(), all_done());
    let mut left = ids;
    while !left.is_empty() {
        execute(&site, "UPDATE email SET rung_at = UTC_TIMESTAMP(6) WHERE state = 'pending'").await;
        let bodies: Vec<String> = left.iter().map(u64::to_string).collect();
        assert_eq!(dispatch.invoke(&event(&bodies)).await.response(), all_done());
        let mut waiting = Vec::new();
        for id in left {
            match site.state(id).await.as_str() {
                "sent" => assert_eq!(site.ses.times_taken(id), 1),
                _ => waiting.push(id),
            }
        }
        left = waiting;
    }
    assert_eq!(site.ses.request_count(), 40, "SES was asked once for each, and never too fast");
}

#[tokio::test]
async fn a_pause_is_told_from_a_rest() {
    let table = Table::new().await;
    let id = table.insert(&[]).await;
    table
        .execute("UPDATE lane SET strikes = 5, struck_at = UTC_TIMESTAMP(6), rest_until = UTC_TIMESTAMP(6) + INTERVAL 5 MINUTE WHERE name = 'bulk'")
        .await;
    let before = table.value("SELECT GROUP_CONCAT(rest_until, struck_at ORDER BY name) FROM lane").await;
    let text = table.type_in("pause --for 2h --dry-run").done();
    for part in ["urgent  would be paused until 20", "No email is under way", "nothing was changed"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let text = table.type_in("resume --dry-run").done();
    assert!(text.contains("bulk    was not paused; it is resting until"), "{text}");
    let after = table.value("SELECT GROUP_CONCAT(rest_until, struck_at ORDER BY name) FROM lane").await;
    assert_eq!(before, after);
    let rests = table.ask("stats", 0);
    assert_eq!(
        (&rests["lanes"][1]["name"], &rests["lanes"][1]["is_paused"]),
        (&json!("bulk"), &json!(false))
    );
    // Until it is resumed: in the words of every command.
    let document = table.ask("pause", 0);
    for lane in document["lanes"].as_array().expect("two") {
        assert_eq!((&lane["outcome"], &lane["is_paused"]), (&json!("paused"), &json!(true)), "{document}");
        assert_eq!(lane["rests_until"], "9999-12-31T00:00:00.000000Z");
    }
    assert_eq!(document["sending"], 0);
    let text = table.type_in("stats").done();
    for part in ["urgent  paused until it is resumed  sendonce resume --lane urgent", "5 failures in a row"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(table.ask("stats", 0)["lanes"][0]["is_paused"], json!(true));
    let text = table.type_in(&format!("show {id}")).done();
    for part in ["Its lane is paused until it is resumed", "sendonce resume --lane urgent"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(table.ask(&format!("show {id}"), 0)["next"]["at"], Value::Null);
    // The later one counts, also when it is the shorter one.
    let text = table.type_in("pause --lane bulk --for 30m").done();
    assert!(
        text.contains("is paused until 20") && text.contains("; it was paused until it is resumed"),
        "{text}"
    );
    let document = table.ask("resume", 0);
    for (serial, is_probed) in [false, true].into_iter().enumerate() {
        let lane = &document["lanes"][serial];
        assert_eq!((&lane["outcome"], &lane["was_paused"]), (&json!("resumed"), &json!(true)), "{document}");
        assert_eq!(
            (&lane["rests_until"], &lane["is_probed"]),
            (&Value::Null, &json!(is_probed)),
            "{document}"
        );
    }
    assert_eq!(table.ask("resume", 0)["lanes"][0]["outcome"], "not_paused");
    assert!(!table.type_in("resume").done().contains("next sweep"), "there is nothing to wait for");
}

#[tokio::test]
async fn what_cannot_be_paused_is_said() {
    let table = Table::new().await;
    for (line, said) in [
        ("pause --for 0s", "sendonce resume ends one"),
        ("pause --for tomorrow", "90s, 15m"),
        ("pause --lane urgnet", "possible values: urgent, bulk, all"),
        ("resume --for 1h", "unexpected argument"),
    ] {
        let refused = table.type_in(line);
        assert!(refused.code == 2 && refused.err.contains(said), "{line}: {refused:?}");
    }
    // With no row of its own nothing holds a lane back.
    table.execute("DELETE FROM lane WHERE name = 'bulk'").await;
    let document = table.ask("pause", 1);
    let outcomes: Vec<_> =
        document["lanes"].as_array().expect("two").iter().map(|lane| &lane["outcome"]).collect();
    assert_eq!(outcomes, ["paused", "missing"]);
    // A reader's rights do to look, and not to pause.
    let who = format!("`{}`.lane FROM 'sendonce_operator'@'%'", table.database.name());
    table.execute(&format!("REVOKE UPDATE (rest_until, struck_at) ON {who}")).await;
    table.ask("pause --dry-run", 1);
    let refused = table.type_in("pause");
    assert!(refused.code == 5 && refused.err.contains("lacks a right"), "{refused:?}");
}
