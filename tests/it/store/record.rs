//! The write after a send: fenced, honest, repeatable.

use std::time::Duration;

use outbox::{
    mailer::Reason,
    state::{AttemptId, State},
    store::{ClaimRequest, LaneReport, Record, Session, Verdict},
};

use crate::world::{Table, open, soon};

async fn claim(session: &mut Session, id: u64, attempt: &AttemptId) {
    let request = ClaimRequest { id, attempt, lease: Duration::from_mins(1), pace: None, probe: false };
    session.claim(request, soon()).await.expect("an answer");
}

async fn record(session: &mut Session, id: u64, attempt: &AttemptId, verdict: Verdict<'_>) -> Option<State> {
    session.record(Record { id, attempt, verdict, lane: None }, soon()).await.expect("recorded")
}

#[tokio::test]
async fn every_verdict_leads_to_its_state() {
    let table = Table::new().await;
    let reason = Reason::new("some_kind", "Some sentence.");
    let reason = &reason;
    let wait = Duration::from_secs(40);
    let mut session = open(&table.plain()).await;
    let cases = [
        (Verdict::Accepted { message_id: "0102-x" }, State::Sent, 1),
        (Verdict::Retry { wait, give_back: false, reason }, State::Pending, 1),
        (Verdict::Retry { wait, give_back: true, reason }, State::Pending, 0),
        (Verdict::Release { wait }, State::Pending, 0),
        (Verdict::Withdraw { wait }, State::Pending, 0),
        (Verdict::Fail { reason }, State::Failed, 1),
        (Verdict::Suppress, State::Suppressed, 1),
        (Verdict::Unknown { reason }, State::Unknown, 1),
    ];
    for (serial, (verdict, state, attempts)) in (1..).zip(cases) {
        let id = table.insert(&[]).await;
        let attempt = AttemptId::new(1, serial);
        claim(&mut session, id, &attempt).await;
        assert_eq!(record(&mut session, id, &attempt, verdict).await, Some(state), "{verdict:?}");
        assert_eq!(table.state(id).await, state.as_str());
        assert_eq!(table.column(id, "attempts").await, Some(attempts.to_string()), "{verdict:?}");
        assert_eq!(table.column(id, "lease_until").await, None);
        if matches!(verdict, Verdict::Accepted { .. }) {
            assert_eq!(table.column(id, "ses_message_id").await.as_deref(), Some("0102-x"));
            // The answer to the first write may have been lost: the second one is no harm.
            assert_eq!(record(&mut session, id, &attempt, verdict).await, Some(state));
        }
        if matches!(verdict, Verdict::Retry { .. }) {
            let rung = table.column(id, "TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(6), rung_at)").await;
            assert!(rung.is_some_and(|seconds| (30..=40).contains(&seconds.parse::<i64>().unwrap_or(0))));
        }
    }
    session.close().await;
}

#[tokio::test]
async fn an_attempt_that_lost_its_row_changes_nothing_of_another() {
    let table = Table::new().await;
    let id = table.insert(&[]).await;
    let mut session = open(&table.plain()).await;
    let (old, new) = (AttemptId::new(1, 1), AttemptId::new(1, 2));
    claim(&mut session, id, &old).await;
    table.execute(&format!("UPDATE email SET state = 'pending', resends = 1 WHERE id = {id}")).await;
    claim(&mut session, id, &new).await;
    let reason = Reason::new("late", "Late.");
    for verdict in
        [Verdict::Fail { reason: &reason }, Verdict::Unknown { reason: &reason }, Verdict::Suppress]
    {
        record(&mut session, id, &old, verdict).await;
        assert_eq!(table.state(id).await, "sending");
    }
    // What it knows of its own is not thrown away: it is kept, and decides what the other attempt's refusal leads to.
    record(&mut session, id, &old, Verdict::Accepted { message_id: "0102-old" }).await;
    assert_eq!(table.state(id).await, "sending");
    assert_eq!(table.column(id, "attempt_id").await.as_deref(), Some(new.as_str()));
    let kept = table.value("SELECT CONCAT(kind, ' ', attempt_id) FROM email_event").await;
    assert_eq!(kept, Some(format!("accepted {old}")));
    assert_eq!(record(&mut session, id, &new, Verdict::Fail { reason: &reason }).await, Some(State::Sent));
    session.close().await;
}

#[tokio::test]
async fn an_unresolved_earlier_attempt_makes_every_end_an_honest_one() {
    let table = Table::new().await;
    let mut session = open(&table.plain()).await;
    let reason = Reason::new("rejected", "Rejected.");
    let reason = &reason;
    let verdicts = [Verdict::Fail { reason }, Verdict::Suppress];
    for (serial, verdict) in (1..).zip(verdicts) {
        let id = table.insert(&[("resends", "1")]).await;
        let attempt = AttemptId::new(1, serial);
        claim(&mut session, id, &attempt).await;
        assert_eq!(record(&mut session, id, &attempt, verdict).await, Some(State::Unknown), "{verdict:?}");
    }
    let id = table.insert(&[("resends", "1"), ("expires_at", "UTC_TIMESTAMP(6) - INTERVAL 1 SECOND")]).await;
    assert_eq!(session.expire(id, reason, soon()).await.expect("ended"), Some(State::Unknown));
    session.close().await;
}

#[tokio::test]
async fn a_row_that_is_gone_is_no_error() {
    let table = Table::new().await;
    let id = table.insert(&[]).await;
    let mut session = open(&table.plain()).await;
    let attempt = AttemptId::new(1, 1);
    claim(&mut session, id, &attempt).await;
    table.execute(&format!("DELETE FROM email WHERE id = {id}")).await;
    let reason = Reason::new("x", "");
    assert_eq!(record(&mut session, id, &attempt, Verdict::Fail { reason: &reason }).await, None);
    assert_eq!(record(&mut session, id, &attempt, Verdict::Accepted { message_id: "1" }).await, None);
    session.close().await;
}

#[tokio::test]
async fn an_endless_provider_message_is_clipped() {
    let table = Table::new().await;
    let id = table.insert(&[]).await;
    let mut session = open(&table.plain()).await;
    let attempt = AttemptId::new(1, 1);
    claim(&mut session, id, &attempt).await;
    let reason = Reason::new("long", "é".repeat(100_000));
    let report = Some(("urgent", LaneReport::Healthy));
    let record = Record { id, attempt: &attempt, verdict: Verdict::Fail { reason: &reason }, lane: report };
    assert_eq!(session.record(record, soon()).await.expect("recorded"), Some(State::Failed));
    session.close().await;
}
