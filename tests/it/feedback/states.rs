//! Every event in every state: the rows of the design's table.

use outbox::state::State;

use super::{KINDS, attempt, event, everything, kinds, place, took};
use crate::world::Table;

const TAKING: [&str; 5] = ["send", "delivery", "bounce", "complaint", "delivery_delay"];
const DROPPING: [&str; 2] = ["reject", "rendering_failure"];

/// Where an event leads when the history knows nothing else.
fn expected(state: State, kind: &str, of_the_current_attempt: bool) -> State {
    match state {
        State::Pending | State::Unknown | State::Failed if TAKING.contains(&kind) => State::Sent,
        // Another attempt is sending: its own end will see the history.
        State::Sending if TAKING.contains(&kind) && of_the_current_attempt => State::Sent,
        State::Sent | State::Sending | State::Unknown
            if DROPPING.contains(&kind) && of_the_current_attempt =>
        {
            State::Failed
        }
        unchanged => unchanged,
    }
}

#[tokio::test]
async fn every_event_leads_every_state_where_the_design_says() {
    let table = Table::new().await;
    let mut cases = Vec::new();
    let mut events = Vec::new();
    let mut serial = 0;
    for state in State::ALL {
        for (name, _, kind) in KINDS {
            for of_the_current_attempt in [true, false] {
                serial += 2;
                let (current, earlier) = (attempt(serial), attempt(serial + 1));
                let id = place(&table, state.as_str(), &current, &[]).await;
                let before = table.column(id, "state_at").await;
                let speaks_of = if of_the_current_attempt { &current } else { &earlier };
                events.push(event(name, id, speaks_of));
                cases.push((id, state, kind, of_the_current_attempt, before));
            }
        }
    }
    took(&table, &events).await;
    for (id, state, kind, current, before) in cases {
        let case = format!("{state}, {kind}, of the current attempt: {current}");
        let expected = expected(state, kind, current);
        assert_eq!(table.state(id).await, expected.as_str(), "{case}");
        assert_eq!(kinds(&table, id).await, kind, "{case}");
        let error = table.column(id, "error_kind").await;
        if expected == state {
            assert_eq!(table.column(id, "state_at").await, before, "{case}");
            continue;
        }
        assert_ne!(table.column(id, "state_at").await, before, "{case}");
        for gone in ["lease_until", "rung_at"] {
            assert_eq!(table.column(id, gone).await, None, "{case}: {gone}");
        }
        assert!(table.column(id, "ses_message_id").await.is_some_and(|it| it.starts_with("0102-")), "{case}");
        if expected == State::Sent {
            assert_eq!(error, None, "{case}");
            let sent_at = table.column(id, "sent_at").await;
            assert_eq!(sent_at.as_deref(), Some("2026-01-02 03:04:05.678000"), "{case}: when SES took it");
        } else {
            let wanted = if kind == "reject" { "ses_rejected" } else { "ses_rendering_failed" };
            assert_eq!(error.as_deref(), Some(wanted), "{case}");
            let detail = table.column(id, "error_detail").await.expect("a sentence");
            assert!(detail.contains("reason-marker"), "{case}: {detail}");
            assert_eq!(table.column(id, "sent_at").await, None, "{case}");
        }
    }
    // All of it again: nothing moves.
    let before = everything(&table).await;
    took(&table, &events).await;
    events.reverse();
    took(&table, &events).await;
    assert_eq!(everything(&table).await, before);
}

#[tokio::test]
async fn taken_and_dropped_is_the_same_in_either_order() {
    let table = Table::new().await;
    let mut serial = 500;
    for state in ["sending", "unknown", "sent", "failed"] {
        for dropping in ["Reject", "Rendering Failure"] {
            for order in [["Send", dropping], [dropping, "Send"]] {
                serial += 1;
                let current = attempt(serial);
                let id = place(&table, state, &current, &[]).await;
                for name in order {
                    took(&table, &[event(name, id, &current)]).await;
                }
                assert_eq!(table.state(id).await, "failed", "{state}, {order:?}");
                // Once more the other one, as a queue may deliver it.
                took(&table, &[event("Send", id, &current)]).await;
                assert_eq!(table.state(id).await, "failed", "{state}, {order:?}");
            }
        }
    }
}

#[tokio::test]
async fn ends_are_honest() {
    let table = Table::new().await;
    let (first, second) = (attempt(1), attempt(2));
    let resent = [("resends", "1")];
    for state in ["sending", "sent", "unknown"] {
        let id = place(&table, state, &second, &resent).await;
        let given_up = format!(
            "INSERT INTO email_event (email_id, kind, attempt_id) VALUES ({id}, 'resent', '{first}')"
        );
        table.execute(&given_up).await;
        took(&table, &[event("Reject", id, &second)]).await;
        assert_eq!(table.state(id).await, "unknown", "{state}: nobody knows of the first attempt");
        assert_eq!(table.column(id, "error_kind").await.as_deref(), Some("ses_rejected"));
        let before = everything(&table).await;
        took(&table, &[event("Reject", id, &second)]).await;
        assert_eq!(everything(&table).await, before, "{state}: the same event again changes nothing");
        took(&table, &[event("Reject", id, &first)]).await;
        assert_eq!(table.state(id).await, "failed", "{state}: now both are known");
        assert_eq!(kinds(&table, id).await, "resent,reject,reject");
        table.execute("DELETE FROM email_event").await;
    }
    // The first attempt reached its recipients: then it does not matter what became of the second.
    let id = place(&table, "sending", &second, &resent).await;
    took(&table, &[event("Reject", id, &second), event("Delivery", id, &first)]).await;
    assert_eq!(table.state(id).await, "sent");
    table.execute("DELETE FROM email_event").await;
    let id = place(&table, "sending", &second, &resent).await;
    took(&table, &[event("Delivery", id, &first), event("Reject", id, &second)]).await;
    assert_eq!(table.state(id).await, "sending", "its own end will see the history");
    assert_eq!(kinds(&table, id).await, "delivery,reject");
}

#[tokio::test]
async fn an_event_finishes_what_an_earlier_one_could_not_move() {
    let table = Table::new().await;
    let current = attempt(1);
    // SES dropped it while it waited to be tried again; then the late answer of that attempt came: taken.
    let id = place(&table, "pending", &current, &[]).await;
    took(&table, &[event("Reject", id, &current)]).await;
    assert_eq!(table.state(id).await, "pending");
    table
        .execute(&format!("UPDATE email SET state = 'sent', sent_at = UTC_TIMESTAMP(6) WHERE id = {id}"))
        .await;
    took(&table, &[event("Send", id, &current)]).await;
    assert_eq!(table.state(id).await, "failed");
    assert_eq!(table.column(id, "error_kind").await.as_deref(), Some("ses_rejected"));
}

#[tokio::test]
async fn the_time_of_sending_is_plausible_and_the_first_one_stays() {
    let table = Table::new().await;
    let current = attempt(1);
    let mut serial = 0;
    for (taken, expected) in [
        ("1999-01-01T00:00:00Z", Some("2026-01-01 00:00:00.000000")),
        ("2026-01-02T03:04:05.678Z", Some("2026-01-02 03:04:05.678000")),
        ("9998-01-01T00:00:00Z", None),
        ("soon", None),
    ] {
        serial += 1;
        let id = place(&table, "unknown", &current, &[]).await;
        let mut event = event("Send", id, &current);
        event["mail"]["timestamp"] = taken.into();
        event["mail"]["messageId"] = format!("0102-{serial}").into();
        took(&table, &[event]).await;
        let now =
            "IF(sent_at BETWEEN UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE AND UTC_TIMESTAMP(6), 'now', sent_at)";
        let sent_at = table.column(id, now).await.expect("a time");
        assert_eq!(sent_at, expected.unwrap_or("now"), "{taken}");
    }
    let id = place(&table, "failed", &current, &[("sent_at", "'2026-01-01 12:00:00'")]).await;
    took(&table, &[event("Delivery", id, &current)]).await;
    assert_eq!(table.column(id, "sent_at").await.as_deref(), Some("2026-01-01 12:00:00.000000"));
}
