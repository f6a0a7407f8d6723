//! `sendonce retry` and `sendonce cancel`.

use std::time::Duration;

use outbox::{
    state::AttemptId,
    store::{Claim, ClaimRequest},
};
use sqlx::Connection as _;

use super::attempt;
use crate::world::{Table, open, soon};

#[tokio::test]
async fn what_ended_is_tried_again_from_the_beginning() {
    let table = Table::new().await;
    for (serial, state) in (1..).zip(["failed", "expired", "cancelled", "suppressed"]) {
        let id = table.in_state(state, serial).await;
        table
            .execute(&format!("UPDATE email SET attempts = 8, error_kind = 'rejected' WHERE id = {id}"))
            .await;
        let text = table.type_in(&format!("retry {id}")).done();
        assert!(text.contains("became pending") && text.contains("next sweep"), "{text}");
        let row = table
            .column(id, "CONCAT_WS(' ', state, attempts, first_attempt_at IS NULL, rung_at < due_at)")
            .await;
        assert_eq!(row.as_deref(), Some("pending 0 1 1"), "{state}");
        assert_eq!(table.column(id, "error_kind").await, None);
        assert_eq!(table.kinds(id).await, "retried");
        let event = format!(
            "SELECT CONCAT_WS(' ', attempt_id, CAST(detail AS CHAR)) FROM email_event WHERE email_id = {id}"
        );
        let event = table.value(&event).await.expect("an event");
        assert!(event.contains(&attempt(serial)) && event.contains("operator"), "{event}");
        // It can be claimed at once.
        let mut session = open(&table.plain()).await;
        let (attempt, lease) = (AttemptId::new(9, u128::from(serial)), Duration::from_mins(1));
        let request = ClaimRequest { id, attempt: &attempt, lease, pace: None, probe: false };
        let claim = session.claim(request, soon()).await.expect("an answer");
        assert!(matches!(claim, Claim::Claimed(_)), "{claim:?}");
        session.close().await;
    }
}

#[tokio::test]
async fn what_must_not_be_tried_again_is_not() {
    let table = Table::new().await;
    for (serial, state) in (1..).zip(["pending", "sending", "sent", "unknown"]) {
        let id = table.in_state(state, serial).await;
        let document = table.ask(&format!("retry {id}"), 1);
        assert_eq!(document["emails"][0]["outcome"], "wrong_state", "{document}");
        assert_eq!(document["emails"][0]["state"], state);
        assert_eq!((table.state(id).await.as_str(), table.kinds(id).await.as_str()), (state, ""));
        let said = table.type_in(&format!("retry {id}"));
        assert!(said.out.contains("not changed") && said.code == 1, "{said:?}");
    }
    // An event shows that it was sent after all.
    let id = table.in_state("cancelled", 5).await;
    table.event(id, "delivery", 4).await;
    let document = table.ask(&format!("retry {id}"), 0);
    assert_eq!(document["emails"][0]["outcome"], "shown_sent");
    assert_eq!((table.state(id).await.as_str(), table.kinds(id).await.as_str()), ("sent", "delivery"));
}

#[tokio::test]
async fn an_expiry_that_is_past_is_dropped_only_when_asked() {
    let table = Table::new().await;
    let id = table.in_state("expired", 1).await;
    table.execute("UPDATE email SET expires_at = UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE").await;
    let document = table.ask(&format!("retry {id} --dry-run"), 1);
    assert_eq!(document["emails"][0]["outcome"], "expiry_passed");
    let said = table.type_in(&format!("retry {id}"));
    assert!(said.code == 1 && said.out.contains("--drop-expiry"), "{said:?}");
    assert_eq!(table.state(id).await, "expired");
    table.type_in(&format!("retry {id} --drop-expiry")).done();
    assert_eq!((table.state(id).await.as_str(), table.column(id, "expires_at").await), ("pending", None));
    // One that is not past stays.
    let id = table.in_state("failed", 2).await;
    table.execute(&format!("UPDATE email SET expires_at = '2999-01-01' WHERE id = {id}")).await;
    table.type_in(&format!("retry {id} --drop-expiry")).done();
    assert!(table.column(id, "expires_at").await.is_some());
}

#[tokio::test]
async fn a_cancelled_email_ends_honestly() {
    let table = Table::new().await;
    let plain = table.insert(&[]).await;
    // An earlier attempt was given up as unresolved; of the next one, all were dropped by SES; the last was delivered.
    let unresolved = table.in_state("pending", 2).await;
    let dropped = table.in_state("pending", 4).await;
    let delivered = table.in_state("pending", 6).await;
    for id in [unresolved, dropped, delivered] {
        table.execute(&format!("UPDATE email SET resends = 1 WHERE id = {id}")).await;
    }
    table.event(dropped, "resent", 3).await;
    table.event(dropped, "reject", 3).await;
    table.event(delivered, "send", 5).await;
    let line = format!("cancel {plain} {unresolved} {dropped} {delivered}");
    let rehearsed = table.ask(&format!("{line} --dry-run"), 1);
    for id in [plain, unresolved, dropped, delivered] {
        assert_eq!(table.state(id).await, "pending");
    }
    // Two of them were not withdrawn, and that is said.
    let done = table.ask(&line, 1);
    for (serial, (id, state, kinds)) in [
        (plain, "cancelled", "cancelled"),
        (unresolved, "unknown", "cancelled"),
        (dropped, "cancelled", "resent,reject,cancelled"),
        (delivered, "sent", "send"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(table.state(id).await, state);
        assert_eq!(table.kinds(id).await, kinds);
        for document in [&rehearsed, &done] {
            assert_eq!(document["emails"][serial]["state"], state, "{document}");
        }
    }
    assert_eq!((&rehearsed["dry_run"], &done["dry_run"]), (&true.into(), &false.into()));
    let said = table.type_in(&format!("cancel {plain} {delivered} 4711"));
    assert_eq!(said.code, 1);
    for part in ["it is cancelled", "it is sent", "there is no such email"] {
        assert!(said.out.contains(part), "{part} in {said:?}");
    }
}

#[tokio::test]
async fn a_row_that_somebody_holds_is_reported_and_not_waited_for() {
    let table = Table::new().await;
    let (held, free) = (table.insert(&[]).await, table.insert(&[]).await);
    let mut producer = table.database.admin().connect().await.expect("a connection");
    let lock = format!("BEGIN; UPDATE email SET subject = 'x' WHERE id = {held}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut producer).await.expect("locked");
    let document = table.ask(&format!("cancel {held} {free}"), 1);
    assert_eq!(document["emails"][0]["outcome"], "locked", "{document}");
    assert_eq!(document["emails"][1]["outcome"], "done", "{document}");
    let said = table.type_in(&format!("cancel {held}"));
    assert!(said.code == 1 && said.out.contains("open transaction"), "{said:?}");
    producer.close().await.expect("closed");
    assert_eq!((table.state(held).await.as_str(), table.kinds(held).await.as_str()), ("pending", ""));
    table.type_in(&format!("cancel {held}")).done();
}
