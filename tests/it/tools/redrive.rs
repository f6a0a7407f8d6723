//! What is done about dead letters, on real queues and a real table, and when it is interrupted.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::json;
use stack::{deploy::Depth, proxy::Proxy};

use super::{Queues, Said, run, xtask};
use crate::world::Table;

/// Somebody's letter, in the wrong queue: it must not be shown.
const LETTER: &str = "Dear ada@customer.example, body-marker";

/// Dead letters of every sort, and the rows that they ring for.
struct Site {
    table: Table,
    queues: Queues,
}

impl Site {
    async fn new() -> Self {
        Self { table: Table::new().await, queues: Queues::new().await }
    }

    /// Types the command, with the queue service at this address and these settings.
    async fn type_in(&self, endpoint: &str, database: &str, more: &[&str]) -> Said {
        let (variables, arguments) = self.line(endpoint, database, more);
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        run(&variables, &arguments).await
    }

    fn line<'a>(
        &'a self,
        endpoint: &str,
        database: &str,
        more: &[&'a str],
    ) -> (Vec<(&'static str, String)>, Vec<&'a str>) {
        let variables = vec![
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "aws-secret-marker".to_owned()),
            ("AWS_REGION", self.queues.ministack.region().to_owned()),
            ("AWS_ENDPOINT_URL_SQS", endpoint.to_owned()),
            ("DATABASE_URL", database.to_owned()),
            ("DATABASE_TLS", "off".to_owned()),
            ("URGENT_QUEUE_URL", self.queues.urgent.clone()),
            ("BULK_QUEUE_URL", self.queues.bulk.clone()),
        ];
        (variables, [&["redrive", self.queues.dead.as_str()], more].concat())
    }

    async fn redrive(&self, more: &[&str]) -> Said {
        self.type_in(&self.queues.ministack.endpoint(), self.table.database.url(), more).await
    }

    async fn email(&self, state: &str, lane: &str) -> u64 {
        let (state_text, lane_text) = (format!("'{state}'"), format!("'{lane}'"));
        let mut changes = vec![("state", state_text.as_str()), ("lane", lane_text.as_str())];
        match state {
            "sending" => changes.extend([
                ("attempt_id", "'01JDCB8Q6Y3V0K9M2T4W6X8Z1A'"),
                ("lease_until", "UTC_TIMESTAMP(6)"),
            ]),
            "sent" => changes.push(("sent_at", "UTC_TIMESTAMP(6)")),
            "failed" => changes.push(("error_kind", "'rejected'")),
            _ => {}
        }
        self.table.insert(&changes).await
    }

    async fn depth(&self) -> Depth {
        self.queues.depth(&self.queues.dead).await
    }

    /// Waits until what was taken from the dead-letter queue shows again.
    async fn shows_again(&self, messages: u64) {
        let begun = Instant::now();
        while self.depth().await.visible < messages {
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "it never shows again: {:?}",
                self.depth().await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn states_are_shown_first_and_only_what_is_not_at_its_end_is_rung_for() {
    let site = Site::new().await;
    let (proxy, url) = site.table.proxied().await;
    let endpoint = site.queues.ministack.endpoint();
    let mut messages = Vec::new();
    for (state, lane, plan) in [
        ("pending", "urgent", "ring (urgent)"),
        ("pending", "bulk", "ring (bulk)"),
        ("sending", "urgent", "ring (urgent)"),
        ("unknown", "bulk", "ring (bulk)"),
        ("sent", "urgent", "remove: it is at its end"),
        ("failed", "urgent", "remove: it is at its end"),
        ("suppressed", "bulk", "remove: it is at its end"),
        ("cancelled", "urgent", "remove: it is at its end"),
        ("expired", "urgent", "remove: it is at its end"),
    ] {
        let id = site.email(state, lane).await;
        messages.push((site.queues.bury(&json!({ "email_id": id }).to_string()).await, id, state, plan));
    }
    let again = site.queues.bury(&messages[0].1.to_string()).await;
    let nobody = site.queues.bury("4711").await;
    let letter = site.queues.bury(LETTER).await;
    let rows = site.table.value("SELECT GROUP_CONCAT(CONCAT(id, state, state_at)) FROM email").await;

    let looked = site.type_in(&endpoint, &url, &[]).await;
    assert_eq!(looked.code, Some(0), "{looked:?}");
    for (message, id, state, plan) in &messages {
        let line = looked.line(&[message]);
        assert!(line.contains(&format!(" {id} ")) && line.contains(state) && line.contains(plan), "{line}");
    }
    assert!(looked.line(&[&nobody]).contains("keep: there is no such email"));
    assert!(looked.line(&[&letter]).contains("keep: nobody can read it"));
    looked.line(&["nothing was changed", "4 to ring for, 10 to remove, 2 to keep"]);
    assert!(
        [looked.line(&[&again]), looked.line(&[&messages[0].0])]
            .iter()
            .any(|line| line.contains("the same email"))
    );
    let all = Depth { visible: 12, ..Depth::default() };
    assert_eq!(site.depth().await, all, "everything shows again at once");
    assert!(site.queues.depth(&site.queues.urgent).await.is_empty());

    let done = site.type_in(&endpoint, &url, &["--yes"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    done.line(&["4 rung for, 10 removed, 2 kept, 0 failed"]);
    assert_eq!(site.queues.ids(&site.queues.urgent).await, [messages[0].1, messages[2].1]);
    assert_eq!(site.queues.ids(&site.queues.bulk).await, [messages[1].1, messages[3].1]);
    assert_eq!(site.depth().await, Depth { visible: 2, ..Depth::default() });
    assert_eq!(site.table.value("SELECT GROUP_CONCAT(CONCAT(id, state, state_at)) FROM email").await, rows);
    proxy.idle().await;
    assert_eq!((proxy.totals().peak_open, proxy.connections().len()), (1, 2), "one connection a run");
    for said in [looked, done] {
        for secret in ["marker", "ada@", "customer.example", "receipt"] {
            assert!(!said.out.contains(secret) && !said.err.contains(secret), "{secret} in {said:?}");
        }
    }
}

/// Calls of one run over its one connection: two to take what is there, one to ring, one to remove.
const REMOVAL: usize = 3;

#[tokio::test]
async fn killed_between_ringing_and_removing_it_loses_nothing() {
    let site = Site::new().await;
    let id = site.email("pending", "urgent").await;
    site.queues.bury(&id.to_string()).await;
    let proxy =
        Proxy::start(([127, 0, 0, 1], site.queues.ministack.port()).into()).await.expect("a free port");
    let gate = proxy.hold(REMOVAL);
    let endpoint = format!("http://{}", proxy.address());
    let (variables, arguments) = site.line(&endpoint, site.table.database.url(), &["--yes", "--hide", "3"]);
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut process = xtask(&variables, &arguments).stdout(Stdio::null()).spawn().expect("it runs");
    gate.reached().await;
    process.kill().await.expect("killed");
    assert_eq!(site.queues.ids(&site.queues.urgent).await, [id], "it was rung for");
    let depth = site.depth().await;
    assert_eq!(depth.visible + depth.in_flight, 1, "and not removed: {depth:?}");
    // Without it, or what was held would be passed on after all.
    drop(proxy);

    site.shows_again(1).await;
    let again = site.redrive(&["--yes"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    again.line(&["1 rung for, 1 removed"]);
    assert!(site.depth().await.is_empty());
    assert_eq!(site.queues.ids(&site.queues.urgent).await, [id, id], "twice does no harm");
}

#[tokio::test]
async fn killed_before_ringing_it_loses_nothing() {
    let site = Site::new().await;
    let id = site.email("pending", "urgent").await;
    site.queues.bury(&id.to_string()).await;
    let proxy =
        Proxy::start(([127, 0, 0, 1], site.queues.ministack.port()).into()).await.expect("a free port");
    let gate = proxy.hold(REMOVAL - 1);
    let endpoint = format!("http://{}", proxy.address());
    let (variables, arguments) = site.line(&endpoint, site.table.database.url(), &["--yes", "--hide", "3"]);
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut process = xtask(&variables, &arguments).stdout(Stdio::null()).spawn().expect("it runs");
    gate.reached().await;
    process.kill().await.expect("killed");
    assert!(site.queues.depth(&site.queues.urgent).await.is_empty());
    site.shows_again(1).await;
}

#[tokio::test]
async fn without_the_table_nothing_is_done() {
    let site = Site::new().await;
    site.queues.bury("1").await;
    let endpoint = site.queues.ministack.endpoint();
    let said = site.type_in(&endpoint, "mysql://nobody@127.0.0.1:1/nothing", &["--yes"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("database"), "{said:?}");
    assert_eq!(site.depth().await, Depth { visible: 1, ..Depth::default() }, "it shows again at once");
}

#[tokio::test]
async fn a_lane_whose_queue_is_not_there_keeps_its_letters() {
    let site = Site::new().await;
    let (urgent, bulk) = (site.email("pending", "urgent").await, site.email("pending", "bulk").await);
    for id in [bulk, urgent, bulk] {
        site.queues.bury(&id.to_string()).await;
    }
    let gone = format!("{}-of-yesterday", site.queues.bulk);
    let said = site.redrive(&["--yes", "--bulk", &gone]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    said.line(&["1 rung for, 1 removed, 0 kept, 2 failed"]);
    assert_eq!(said.err.lines().filter(|line| line.contains("not rung for")).count(), 2, "{said:?}");
    assert_eq!(site.depth().await, Depth { visible: 2, ..Depth::default() });
    assert_eq!(site.queues.ids(&site.queues.urgent).await, [urgent]);
}

#[tokio::test]
async fn what_is_missing_is_told_at_once_and_a_lane_is_not_emptied() {
    let site = Site::new().await;
    let endpoint = site.queues.ministack.endpoint();
    let nothing = run(&[("AWS_ENDPOINT_URL_SQS", endpoint.as_str())], &["redrive", "dead", "--yes"]).await;
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
    for name in ["QUEUE_URL must be", "DATABASE_URL is not set", "URGENT_QUEUE_URL"] {
        assert!(nothing.err.contains(name), "{name}: {nothing:?}");
    }
    let live = site.redrive(&["--yes", "--urgent", &site.queues.dead]).await;
    assert!(live.code == Some(1) && live.err.contains("the queue of a lane"), "{live:?}");
}

#[tokio::test]
async fn events_of_ses_are_moved_back_as_they_are() {
    let site = Site::new().await;
    let event = json!({ "eventType": "Send", "mail": { "messageId": "0102" } }).to_string();
    let attributes = json!({ "origin": { "DataType": "String.label", "StringValue": "a rule" } });
    let message =
        json!({ "QueueUrl": site.queues.dead, "MessageBody": event, "MessageAttributes": attributes });
    site.queues.sqs("SendMessage", message).await;
    // It is called the bulk queue here; any will do.
    let to = site.queues.bulk.as_str();
    let looked = site.redrive(&["--move-to", to]).await;
    looked.line(&["nothing was changed; with --yes: 1 to move"]);
    assert_eq!(site.depth().await.visible, 1);
    let done = site.redrive(&["--yes", "--move-to", to]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(site.depth().await.is_empty());
    let all = json!({ "QueueUrl": to, "MessageAttributeNames": ["All"] });
    let received = site.queues.sqs("ReceiveMessage", all).await;
    let moved = &received["Messages"][0];
    assert_eq!(moved["Body"], event);
    assert_eq!(moved["MessageAttributes"]["origin"]["StringValue"], "a rule");
    assert_eq!(moved["MessageAttributes"]["origin"]["DataType"], "String.label");
    let same = site.redrive(&["--yes", "--move-to", &site.queues.dead]).await;
    assert!(same.code == Some(1) && same.err.contains("to be emptied"), "{same:?}");
}
