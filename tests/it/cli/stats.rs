//! `sendonce stats` and `sendonce sweep --dry-run`.

use serde_json::Value;
use stack::database::{Options, Server};

use super::run;
use crate::world::{Table, flavor};

fn count(document: &Value, state: &str, lane: &str) -> Option<u64> {
    let counts = document["counts"].as_array().expect("a list");
    let count = counts.iter().find(|count| count["state"] == state && count["lane"] == lane)?;
    count["emails"].as_u64()
}

#[tokio::test]
async fn what_stands_where_is_counted() {
    let table = Table::new().await;
    assert!(table.type_in("stats").done().contains("No email waits"), "an empty table is no error");
    for (serial, state) in (1..).zip(["pending", "pending", "sending", "unknown", "sent", "sent", "failed"]) {
        table.in_state(state, serial).await;
    }
    table
        .execute(
            "UPDATE email SET lane = 'bulk', due_at = UTC_TIMESTAMP(6) - INTERVAL 2 HOUR WHERE state = 'pending' LIMIT 1; \
             UPDATE email SET lease_until = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND WHERE state = 'sending'; \
             UPDATE email SET due_at = UTC_TIMESTAMP(6) - INTERVAL 3 DAY WHERE state = 'sent' LIMIT 1; \
             UPDATE lane SET strikes = 3, rest_until = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR WHERE name = 'bulk'",
        )
        .await;
    let document = table.ask("stats", 0);
    for (state, lane, emails) in [
        ("pending", "urgent", Some(1)),
        ("pending", "bulk", Some(1)),
        ("sending", "urgent", Some(1)),
        ("unknown", "urgent", Some(1)),
        ("failed", "urgent", Some(1)),
        // The other one was due before the window.
        ("sent", "urgent", Some(1)),
        ("sent", "bulk", None),
    ] {
        assert_eq!(count(&document, state, lane), emails, "{state} {lane}: {document}");
    }
    assert_eq!(document["dead_leases"], 1);
    assert!((7_200..7_300).contains(&document["oldest_due_s"].as_u64().expect("seconds")), "{document}");
    assert_eq!(document["lanes"][1]["name"], "bulk");
    assert_eq!(document["lanes"][1]["strikes"], 3);
    assert!(document["lanes"][1]["rests_until"].is_string() && document["lanes"][0]["rests_until"].is_null());
    let text = table.type_in("stats").done();
    for part in ["2 h ago", "lane bulk", "lease that is over", "3 failures in a row", "not paced"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn old_sent_emails_cost_nothing() {
    let server = Server::start(Options::new(flavor())).await.expect("the server starts");
    let database = server.create_database().await.expect("the schema applies");
    let admin = database.admin();
    admin
        .execute(
            "INSERT INTO email (sender, to_addresses, subject, state, sent_at, due_at) WITH RECURSIVE n AS \
             (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
             SELECT 'x', '[]', 'x', 'sent', UTC_TIMESTAMP(6), '2020-01-01' FROM n AS a JOIN n AS b WHERE a.i <= 60; \
             INSERT INTO email (sender, to_addresses, subject, state) SELECT 'x', '[]', 'x', 'unknown' FROM email LIMIT 5; \
             ANALYZE TABLE email",
        )
        .await
        .expect("written");
    let variables = [("DATABASE_URL", database.url()), ("DATABASE_TLS", "off")];
    for line in
        ["stats --json", "list --state unknown --json", "resolve --since 1h --resend --dry-run --json"]
    {
        let before = rows_read(&server).await;
        let said = run(&variables, line);
        assert_eq!(said.code, 0, "{said:?}");
        let read = rows_read(&server).await - before;
        assert!(read < 5_000, "{line} read {read} rows of a table of 54,000");
    }
}

/// Rows that the engine has read so far.
async fn rows_read(server: &Server) -> u64 {
    let mut sum = 0;
    for counter in [
        "Handler_read_first",
        "Handler_read_key",
        "Handler_read_next",
        "Handler_read_prev",
        "Handler_read_rnd_next",
    ] {
        sum += server.global_status(counter).await.expect("a counter");
    }
    sum
}

#[tokio::test]
async fn a_dry_sweep_only_looks() {
    let table = Table::new().await;
    table.in_state("sending", 1).await;
    table
        .execute(
            "UPDATE email SET lease_until = UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE; \
             INSERT INTO email (sender, to_addresses, subject, due_at) \
             VALUES ('x', '[]', 'x', UTC_TIMESTAMP(6) - INTERVAL 1 HOUR)",
        )
        .await;
    let before = table.checksum().await;
    let document = table.ask("sweep --dry-run", 0);
    assert_eq!((&document["leases_ended"], &document["dispatched"]), (&1.into(), &1.into()), "{document}");
    let with_queue = run(
        &[
            ("DATABASE_URL", table.database.url()),
            ("DATABASE_TLS", "off"),
            ("URGENT_QUEUE_URL", "https://sqs.example/1/urgent"),
        ],
        "sweep --dry-run --json",
    )
    .json();
    assert_eq!((&with_queue["rung"], &with_queue["dispatched"]), (&1.into(), &0.into()), "{with_queue}");
    let text = table.type_in("sweep --dry-run").done();
    for part in ["Nothing was changed", "URGENT_QUEUE_URL and BULK_QUEUE_URL are not set here"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(table.checksum().await, before);
    // The sweep itself is not for here.
    let said = table.type_in("sweep");
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("--dry-run"), "{said:?}");
}
