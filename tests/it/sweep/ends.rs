//! Leases that ran out, emails that nobody could resolve, and those whose time is over.

use std::time::Duration;

use outbox::store::SweepRules;

use super::{RULES, ago, sweep, sweeper};
use crate::stage::Stage;

const ATTEMPT: &str = "01JDCB8Q6Y3V0K9M2T4W6X8Z1A";
const EARLIER: &str = "01JDCB8Q6Y3V0K9M2T4W6X8Z19";

impl Stage {
    /// A row that an attempt holds, or held.
    async fn insert_attempted(&self, state: &str, changes: &[(&str, &str)]) -> u64 {
        let (state, attempt) = (format!("'{state}'"), format!("'{ATTEMPT}'"));
        let mut columns = vec![
            ("state", state.as_str()),
            ("attempt_id", attempt.as_str()),
            ("attempts", "1"),
            ("lease_until", "UTC_TIMESTAMP(6) - INTERVAL 1 SECOND"),
        ];
        columns.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        columns.extend(changes);
        self.insert_old(11, &columns).await
    }

    async fn event(&self, id: u64, kind: &str, attempt: &str) {
        let sql = format!(
            "INSERT INTO email_event (email_id, kind, attempt_id) VALUES ({id}, '{kind}', '{attempt}')"
        );
        self.table.execute(&sql).await;
    }

    async fn events(&self, id: u64, kind: &str) -> String {
        let sql = format!("SELECT COUNT(*) FROM email_event WHERE email_id = {id} AND kind = '{kind}'");
        self.table.value(&sql).await.expect("a count")
    }
}

#[tokio::test]
async fn a_lease_that_ran_out_leaves_an_unknown() {
    let stage = Stage::new().await;
    let dead = stage.insert_attempted("sending", &[]).await;
    let alive =
        stage.insert_attempted("sending", &[("lease_until", "UTC_TIMESTAMP(6) + INTERVAL 20 SECOND")]).await;
    let taken = stage.insert_attempted("sending", &[]).await;
    stage.event(taken, "send", EARLIER).await;
    let dropped = stage.insert_attempted("sending", &[]).await;
    stage.event(dropped, "reject", EARLIER).await;
    stage.event(dropped, "send", EARLIER).await;
    let report = sweep(&sweeper(&stage, RULES)).await;
    assert_eq!((report.leases_ended, report.settled), (2, 1));
    for (id, state) in [(dead, "unknown"), (alive, "sending"), (taken, "sent"), (dropped, "unknown")] {
        assert_eq!(stage.table.state(id).await, state);
    }
    assert_eq!(stage.table.column(dead, "error_kind").await.as_deref(), Some("lease_expired"));
    assert_eq!(stage.table.column(dead, "lease_until").await, None);
    assert_eq!(stage.ses.request_count(), 0);
}

#[tokio::test]
async fn an_unknown_is_sent_again_only_where_its_owner_asked_for_it() {
    let stage = Stage::new().await;
    let resend = ("on_unknown", "'resend'");
    let cases = [
        ("held", vec![("on_unknown", "'hold'")], "unknown"),
        ("says nothing", vec![], "unknown"),
        ("resend", vec![resend], "pending"),
        (
            "waits for its event",
            vec![resend, ("state_at", "UTC_TIMESTAMP(6) - INTERVAL 9 MINUTE")],
            "unknown",
        ),
        ("was sent again already", vec![resend, ("resends", "1")], "unknown"),
        ("is of no use any more", vec![resend, ("expires_at", "UTC_TIMESTAMP(6)")], "unknown"),
    ];
    let mut ids = Vec::new();
    for (name, changes, state) in &cases {
        ids.push((stage.insert_attempted("unknown", changes).await, *name, *state));
    }
    let known = stage.insert_attempted("unknown", &[resend]).await;
    stage.event(known, "delivery", ATTEMPT).await;
    ids.push((known, "an event knows better", "sent"));
    // Whoever wrote the event down died before it moved the row.
    let held = stage.insert_attempted("unknown", &[("on_unknown", "'hold'")]).await;
    stage.event(held, "accepted", ATTEMPT).await;
    ids.push((held, "held, and known all the same", "sent"));
    let swept = sweeper(&stage, RULES);
    let report = sweep(&swept).await;
    assert_eq!((report.resent, report.settled, report.rung), (1, 2, 1));
    for (id, name, state) in &ids {
        assert_eq!(stage.table.state(*id).await, *state, "{name}");
    }
    let again = ids[2].0;
    assert_eq!(swept.bell().rings().iter().map(|ring| ring.email_id).collect::<Vec<_>>(), [again]);
    assert_eq!(stage.table.column(again, "resends").await.as_deref(), Some("1"));
    assert_eq!(stage.events(again, "resent").await, "1");
    stage.ring(again).await;
    assert_eq!((stage.table.state(again).await.as_str(), stage.ses.times_taken(again)), ("sent", 1));
}

#[tokio::test]
async fn the_deployment_decides_for_those_that_say_nothing() {
    let stage = Stage::new().await;
    let silent = stage.insert_attempted("unknown", &[]).await;
    let held = stage.insert_attempted("unknown", &[("on_unknown", "'hold'")]).await;
    let rules = SweepRules { resend_by_default: true, max_resends: 2, ..RULES };
    sweep(&sweeper(&stage, rules)).await;
    assert_eq!(stage.table.state(silent).await, "pending");
    assert_eq!(stage.table.state(held).await, "unknown");
    // A second time, and no third.
    for (resends, state) in [("1", "pending"), ("2", "unknown")] {
        let sql = format!(
            "UPDATE email SET state = 'unknown', state_at = {}, resends = {resends}, \
             attempt_id = '01JDCB8Q6Y3V0K9M2T4W6X8Z2{resends}' WHERE id = {silent}",
            ago(11)
        );
        stage.table.execute(&sql).await;
        sweep(&sweeper(&stage, rules)).await;
        assert_eq!(stage.table.state(silent).await, state, "{resends}");
    }
}

#[tokio::test]
async fn what_is_over_ends_honestly() {
    let stage = Stage::new().await;
    let past = ("expires_at", "UTC_TIMESTAMP(6) - INTERVAL 1 SECOND");
    let week = 7 * 24 * 60 + 1;
    let attempt = format!("'{ATTEMPT}'");
    let unresolved = [("resends", "1"), ("attempt_id", attempt.as_str())];
    let cases = [
        ("expired", stage.insert_old(1, &[past]).await, "expired", Some("expired")),
        (
            "even though a doorbell waits",
            stage.insert_old(1, &[past, ("rung_at", "UTC_TIMESTAMP(6) + INTERVAL 9 MINUTE")]).await,
            "expired",
            Some("expired"),
        ),
        ("too old", stage.insert_old(week, &[]).await, "expired", Some("too_old")),
        ("just not too old", stage.insert_old(week - 5, &[]).await, "pending", None),
        (
            "due long before it was written",
            stage.insert_old(1, &[("due_at", "'2001-01-01'")]).await,
            "pending",
            None,
        ),
        (
            "an earlier attempt may have arrived",
            stage.insert_old(1, &[past, unresolved[0], unresolved[1]]).await,
            "unknown",
            Some("expired"),
        ),
        ("too old, the same", stage.insert_old(week, &unresolved).await, "unknown", Some("too_old")),
        ("it did arrive", stage.insert_old(week, &[past]).await, "sent", None),
        (
            "the earlier attempt was dropped by SES",
            stage.insert_old(1, &[past, unresolved[0], unresolved[1]]).await,
            "expired",
            Some("expired"),
        ),
    ];
    stage.event(cases[7].1, "send", EARLIER).await;
    stage.event(cases[8].1, "resent", EARLIER).await;
    stage.event(cases[8].1, "reject", EARLIER).await;
    let report = sweep(&sweeper(&stage, RULES)).await;
    assert_eq!((report.expired, report.settled), (6, 1));
    for (name, id, state, kind) in cases {
        assert_eq!(stage.table.state(id).await, state, "{name}");
        assert_eq!(stage.table.column(id, "error_kind").await.as_deref(), kind, "{name}");
    }
    assert_eq!(stage.ses.request_count(), 0);
}

#[tokio::test]
async fn whoever_never_gets_anywhere_does_not_go_round_for_ever() {
    let stage = Stage::new().await;
    // Given back a minute ago, as it is again and again; its time was a week ago all the same.
    let id = stage.insert_old(7 * 24 * 60 + 1, &[("state_at", "UTC_TIMESTAMP(6) - INTERVAL 1 MINUTE")]).await;
    sweep(&sweeper(&stage, RULES)).await;
    assert_eq!(stage.table.column(id, "error_kind").await.as_deref(), Some("too_old"));
}

#[tokio::test]
async fn a_worker_that_comes_back_finds_what_the_sweep_made_of_its_row() {
    use outbox::{
        mailer::Reason,
        state::{AttemptId, State},
        store::{Record, Verdict},
    };
    let stage = Stage::new().await;
    let refused = Reason::new("ses_message_rejected", "No.");
    for (verdict, state) in [
        (Verdict::Accepted { message_id: "0102" }, State::Sent),
        (Verdict::Fail { reason: &refused }, State::Failed),
        (Verdict::Retry { wait: Duration::ZERO, give_back: false, reason: &refused }, State::Pending),
        (Verdict::Release { wait: Duration::ZERO }, State::Pending),
    ] {
        let attempt = AttemptId::new(1, 7);
        let held = format!("'{attempt}'");
        let id = stage.insert_attempted("sending", &[("attempt_id", held.as_str())]).await;
        sweep(&sweeper(&stage, RULES)).await;
        assert_eq!(stage.table.state(id).await, "unknown");
        let mut session = crate::world::open(&stage.table.plain()).await;
        let record = Record { id, attempt: &attempt, verdict, lane: None };
        assert_eq!(session.record(record, crate::world::soon()).await.expect("written"), Some(state));
        session.close().await;
    }
}
