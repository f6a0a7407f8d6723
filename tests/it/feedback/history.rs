//! One row an event, however often and in whatever order it comes, and only of emails that are here.

use std::time::Duration;

use outbox::{
    feedback::Feedback,
    mailer::Reason,
    state::State,
    store::{ClaimRequest, Record, Verdict},
};
use serde_json::{Value, json};
use stack::ses::{EventKind, Fault, Match};

use super::{attempt, bridged, event, everything, kinds, noticed, place, queued, take, took};
use crate::{
    stage::Stage,
    world::{Table, open, soon},
};

#[tokio::test]
async fn one_event_is_one_row_by_whatever_route() {
    let table = Table::new().await;
    let current = attempt(1);
    let id = place(&table, "unknown", &current, &[]).await;
    let event = event("Delivery", id, &current);
    took(&table, std::slice::from_ref(&event)).await;
    assert_eq!(table.state(id).await, "sent");
    let detail = "JSON_UNQUOTE(JSON_EXTRACT(detail, '$.delivery.recipients[0]'))";
    let kept = table.value(&format!("SELECT CONCAT({detail}, ' ', at) FROM email_event")).await;
    assert_eq!(kept.as_deref(), Some("recipient-marker@customer.example 2026-01-02 03:04:06.789000"));
    let before = everything(&table).await;
    // Raw, as EventBridge and as SNS wrap it, ten times each through a queue; and straight to the function.
    for _ in 0..10 {
        took(&table, &[event.clone(), bridged(&event), noticed(&event), noticed(&bridged(&event))]).await;
    }
    let feedback = Feedback::new(table.plain_as("feedback"), None);
    let straight = json!({"Records": [{"EventSource": "aws:sns", "Sns": noticed(&event)}]});
    for payload in [event.clone(), bridged(&event), straight] {
        take(&feedback, payload).await;
    }
    assert_eq!(everything(&table).await, before);
    // Another recipient's delivery is another event.
    let mut another = event;
    another["delivery"]["recipients"] = json!(["other@customer.example"]);
    took(&table, &[another]).await;
    assert_eq!(kinds(&table, id).await, "delivery,delivery");
}

#[tokio::test]
async fn an_event_of_an_email_that_is_not_here_leaves_no_trace() {
    let table = Table::new().await;
    let current = attempt(1);
    took(&table, &[event("Send", 1, &current), event("Reject", u64::MAX, &current)]).await;
    assert_eq!(everything(&table).await, Vec::<Vec<_>>::new());
    // What gets that id later is not marked as sent.
    let id = table.insert(&[]).await;
    assert_eq!(id, 1);
    let mut session = open(&table.plain()).await;
    let request =
        ClaimRequest { id, attempt: &attempt(2), lease: Duration::from_mins(1), pace: None, probe: false };
    session.claim(request, soon()).await.expect("an answer");
    session.close().await;
    assert_eq!(table.state(id).await, "sending");
}

#[tokio::test]
async fn an_event_before_the_record_is_stronger_than_the_record() {
    let table = Table::new().await;
    let reason = Reason::new("timed_out", "No answer.");
    let reason = &reason;
    let mut session = open(&table.plain()).await;
    let verdicts = [
        Verdict::Accepted { message_id: "0102-answer" },
        Verdict::Unknown { reason },
        Verdict::Fail { reason },
        Verdict::Suppress,
        Verdict::Retry { wait: Duration::ZERO, give_back: false, reason },
        Verdict::Release { wait: Duration::ZERO },
    ];
    for (serial, verdict) in (1..).zip(verdicts) {
        let current = attempt(serial);
        let id = place(&table, "sending", &current, &[]).await;
        took(&table, &[event("Send", id, &current)]).await;
        assert_eq!(table.state(id).await, "sent");
        let record = Record { id, attempt: &current, verdict, lane: None };
        assert_eq!(session.record(record, soon()).await.expect("recorded"), Some(State::Sent), "{verdict:?}");
        assert_eq!(table.column(id, "error_kind").await, None, "{verdict:?}");
    }
    session.close().await;
}

#[tokio::test]
async fn after_a_resend_the_old_attempts_event_waits_for_the_new_ones_end() {
    let table = Table::new().await;
    let reason = Reason::new("rejected", "Rejected.");
    let mut session = open(&table.plain()).await;
    let wait = Duration::ZERO;
    let verdicts = [
        Verdict::Fail { reason: &reason },
        Verdict::Retry { wait, give_back: false, reason: &reason },
        Verdict::Unknown { reason: &reason },
    ];
    for (serial, verdict) in (0..).zip(verdicts) {
        let (old, new) = (attempt(2 * serial + 1), attempt(2 * serial + 2));
        let id = place(&table, "sending", &new, &[("resends", "1")]).await;
        took(&table, &[event("Send", id, &old), event("Bounce", id, &old)]).await;
        assert_eq!(table.state(id).await, "sending");
        assert_eq!(table.column(id, "attempt_id").await.as_deref(), Some(new.as_str()));
        assert!(table.column(id, "lease_until").await.is_some());
        let record = Record { id, attempt: &new, verdict, lane: None };
        assert_eq!(session.record(record, soon()).await.expect("recorded"), Some(State::Sent), "{verdict:?}");
    }
    session.close().await;
}

#[tokio::test]
async fn another_configuration_sets_events_are_not_ours() {
    let table = Table::new().await;
    let current = attempt(1);
    let id = place(&table, "unknown", &current, &[]).await;
    let feedback = Feedback::new(table.plain_as("feedback"), Some("mail-events".to_owned()));
    let mut foreign = event("Send", id, &current);
    foreign["mail"]["tags"]["ses:configuration-set"] = json!(["newsletter"]);
    take(&feedback, queued(&[foreign.clone()])).await;
    assert_eq!((table.state(id).await.as_str(), kinds(&table, id).await.as_str()), ("unknown", ""));
    // One that does not say is not refused.
    foreign["mail"]["tags"]["ses:configuration-set"] = Value::Null;
    take(&feedback, queued(&[foreign])).await;
    assert_eq!(table.state(id).await, "sent");
}

#[tokio::test]
async fn what_a_send_was_tagged_with_comes_back_and_resolves_it() {
    let stage = Stage::new().await;
    for kind in [EventKind::Send, EventKind::Delivery, EventKind::SuppressedBounce, EventKind::Complaint] {
        let id = stage.table.insert(&[]).await;
        stage.ses.script(Match::EmailId(id), 1, Fault::CloseAfterRead { taken: true });
        stage.ring(id).await;
        assert_eq!(stage.table.state(id).await, "unknown");
        // Three such answers in a row would have the lane rest.
        stage.table.execute("UPDATE lane SET strikes = 0").await;
        let record = stage.ses.requests_for(id).remove(0);
        took(&stage.table, &[stack::ses::event(&record, kind)]).await;
        assert_eq!(stage.table.state(id).await, "sent", "{kind:?}");
        assert_eq!(stage.table.column(id, "ses_message_id").await, record.message_id);
        // A doorbell that comes now finds it sent.
        stage.ring(id).await;
        assert_eq!(stage.ses.requests_for(id).len(), 1, "{kind:?}");
    }
    let id = stage.table.insert(&[]).await;
    stage.ring(id).await;
    let record = stage.ses.requests_for(id).remove(0);
    took(&stage.table, &[stack::ses::event(&record, EventKind::Reject)]).await;
    assert_eq!(stage.table.state(id).await, "failed");
}
