//! `sendonce resolve`.

use serde_json::Value;

use super::attempt;
use crate::world::Table;

#[tokio::test]
async fn assumed_sent_is_sent_and_says_who_assumed_it() {
    let table = Table::new().await;
    let id = table.in_state("unknown", 1).await;
    table.execute("UPDATE email SET error_kind = 'lease_expired'").await;
    let text = table.type_in(&format!("resolve {id} --assume-sent")).done();
    assert!(text.contains("became sent") && text.contains("its recipients never get"), "{text}");
    let row = table
        .column(id, "CONCAT_WS(' ', state, sent_at IS NOT NULL, error_kind IS NULL, rung_at IS NULL)")
        .await;
    assert_eq!(row.as_deref(), Some("sent 1 1 1"));
    let event =
        table.value("SELECT CONCAT_WS(' ', kind, attempt_id, CAST(detail AS CHAR)) FROM email_event").await;
    let event = event.expect("an event");
    assert!(
        event.starts_with(&format!("assumed_sent {} ", attempt(1))) && event.contains("operator"),
        "{event}"
    );
    // Once: it is not unknown any more.
    let document = table.ask(&format!("resolve {id} --assume-sent"), 1);
    assert_eq!(document["emails"][0]["outcome"], "wrong_state");
    assert_eq!(table.kinds(id).await, "assumed_sent");
}

#[tokio::test]
async fn a_resend_goes_beyond_the_limits_and_leaves_its_trace() {
    let table = Table::new().await;
    let id = table.in_state("unknown", 1).await;
    table.execute("UPDATE email SET resends = 3, on_unknown = 'hold'").await;
    let text = table.type_in(&format!("resolve {id} --resend")).done();
    assert!(text.contains("may arrive once more") && text.contains("next sweep"), "{text}");
    let row = table.column(id, "CONCAT_WS(' ', state, resends, rung_at, due_at <= UTC_TIMESTAMP(6))").await;
    assert_eq!(row.as_deref(), Some("pending 4 1970-01-01 00:00:00.000000 1"));
    assert_eq!(table.kinds(id).await, "resent");
    // The sweep rings for such a row at its next run.
    let swept = super::run(
        &[
            ("DATABASE_URL", table.database.url()),
            ("DATABASE_TLS", "off"),
            ("URGENT_QUEUE_URL", "https://sqs.example/1/urgent"),
        ],
        "sweep --dry-run --json",
    );
    assert_eq!(swept.json()["rung"], 1, "{swept:?}");
    assert!(table.type_in(&format!("show {id}")).done().contains("the sweep rings for it within a minute"));
}

#[tokio::test]
async fn what_an_event_shows_as_sent_is_never_sent_again() {
    let table = Table::new().await;
    for (serial, kind) in (1..).zip(["accepted", "send", "delivery", "bounce", "complaint", "delivery_delay"])
    {
        let id = table.in_state("unknown", serial).await;
        table.event(id, kind, serial).await;
        let rehearsed = table.ask(&format!("resolve {id} --resend --dry-run"), 0);
        assert_eq!(rehearsed["shown_sent"], 1, "{rehearsed}");
        assert_eq!(table.state(id).await, "unknown");
        let text = table.type_in(&format!("resolve {id} --resend")).done();
        assert!(text.contains("an SES event shows"), "{text}");
        let row = table.column(id, "CONCAT_WS(' ', state, resends)").await;
        assert_eq!(row.as_deref(), Some("sent 0"), "{kind}");
        assert_eq!(table.kinds(id).await, kind);
    }
    // SES dropped it after all.
    let id = table.in_state("unknown", 20).await;
    table.event(id, "send", 20).await;
    table.event(id, "reject", 20).await;
    table.type_in(&format!("resolve {id} --resend")).done();
    assert_eq!(table.state(id).await, "pending");
}

#[tokio::test]
async fn an_email_past_its_expiry_is_not_resent_in_vain() {
    let table = Table::new().await;
    let id = table.in_state("unknown", 1).await;
    table.execute("UPDATE email SET expires_at = UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE").await;
    let said = table.type_in(&format!("resolve {id} --resend"));
    assert!(said.code == 1 && said.out.contains("--drop-expiry"), "{said:?}");
    assert_eq!((table.state(id).await.as_str(), table.kinds(id).await.as_str()), ("unknown", ""));
    table.type_in(&format!("resolve {id} --resend --drop-expiry")).done();
    assert_eq!((table.state(id).await.as_str(), table.column(id, "expires_at").await), ("pending", None));
}

#[tokio::test]
async fn a_thousand_are_resolved_at_once_after_an_outage() {
    let table = Table::new().await;
    table
        .execute(
            "INSERT INTO email (sender, to_addresses, subject, state, lane, error_kind, attempts, attempt_id) \
             WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
             SELECT 'x', '[]', 'x', 'unknown', IF(i % 2, 'urgent', 'bulk'), IF(i % 10, 'timed_out', 'lease_expired'), \
             1, LPAD(i, 26, '0') FROM n; \
             INSERT INTO email_event (email_id, kind, attempt_id) SELECT id, 'send', attempt_id FROM email WHERE id <= 30; \
             UPDATE email SET state_at = UTC_TIMESTAMP(6) - INTERVAL 5 HOUR WHERE id > 990",
        )
        .await;
    // Nobody is there to be asked.
    let said = table.type_in("resolve --since 3h --resend");
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
    assert!(said.err.contains("--dry-run") && said.err.contains("--yes"), "{said:?}");
    assert_eq!(table.type_in("resolve 1 2 --assume-sent").code, 2);

    let before = table.checksum().await;
    let dry = table.type_in("resolve --since 3h --resend --dry-run").done();
    for part in [
        "960 emails may arrive once more",
        "an SES event shows that SES took them: 30 emails",
        "nothing was changed",
    ] {
        assert!(dry.contains(part), "{part} in {dry}");
    }
    assert_eq!(
        table.ask("resolve --since 3h --resend --dry-run", 0)["emails"].as_array().map(Vec::len),
        Some(990)
    );
    assert_eq!(table.checksum().await, before);

    // A part first: one lane, one kind of reason.
    let part = table.ask("resolve --since 3h --lane bulk --error-kind lease_expired --assume-sent --yes", 0);
    assert_eq!((&part["changed"], &part["shown_sent"]), (&99.into(), &3.into()), "{part}");
    let rest = table.ask("resolve --since 3h --resend --yes", 0);
    assert_eq!(
        (&rest["changed"], &rest["shown_sent"], &rest["untouched"]),
        (&891.into(), &27.into(), &0.into()),
        "asked for {}",
        rest["asked_for"]
    );
    let states = "SELECT GROUP_CONCAT(CONCAT(state, ' ', n) ORDER BY state) FROM \
                  (SELECT state, COUNT(*) AS n FROM email GROUP BY state) AS s";
    assert_eq!(table.value(states).await.as_deref(), Some("pending 864,sent 126,unknown 10"));
    let kinds = "SELECT GROUP_CONCAT(CONCAT(kind, ' ', n) ORDER BY kind) FROM \
                 (SELECT kind, COUNT(*) AS n FROM email_event GROUP BY kind) AS s";
    assert_eq!(table.value(kinds).await.as_deref(), Some("assumed_sent 96,resent 864,send 30"));
    // Again: nothing is left to be done, and that is no error.
    let none = table.ask("resolve --since 3h --resend --yes", 0);
    assert_eq!((&none["asked_for"], &none["emails"]), (&0.into(), &Value::Array(Vec::new())));
    let until = table.ask("resolve --since 6h --until 3h --assume-sent --yes", 0);
    assert_eq!(until["changed"], 10);
}
