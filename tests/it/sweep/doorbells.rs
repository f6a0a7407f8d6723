//! Rows that wait, and whom the sweep rings for.

use std::time::Duration;

use doorbell::Lane;

use super::{RULES, ago, sweep, sweeper};
use crate::stage::Stage;

#[tokio::test]
async fn a_lost_doorbell_is_rung_once_and_then_left_its_time() {
    let stage = Stage::new().await;
    let id = stage.insert_old(3, &[]).await;
    let swept = sweeper(&stage, RULES);
    assert_eq!(sweep(&swept).await.rung, 1);
    assert_eq!(sweep(&swept).await.rung, 0, "it has a doorbell now");
    let rings = swept.bell().rings();
    assert_eq!((rings.len(), rings[0].email_id, rings[0].delay), (1, id, Duration::ZERO));
    // The distance between two doorbells doubles: it had waited for three minutes, so it is left three more.
    stage.table.execute(&format!("UPDATE email SET rung_at = {}, due_at = {}", ago(2), ago(5))).await;
    assert_eq!(sweep(&swept).await.rung, 0);
    stage.table.execute(&format!("UPDATE email SET rung_at = {}, due_at = {}", ago(4), ago(7))).await;
    assert_eq!(sweep(&swept).await.rung, 1);
    // But never longer than an hour.
    stage.table.execute(&format!("UPDATE email SET rung_at = {}, due_at = {}", ago(59), ago(600))).await;
    assert_eq!(sweep(&swept).await.rung, 0);
    stage.table.execute(&format!("UPDATE email SET rung_at = {}, due_at = {}", ago(61), ago(600))).await;
    assert_eq!(sweep(&swept).await.rung, 1);
}

#[tokio::test]
async fn what_is_not_overdue_is_left_alone() {
    let stage = Stage::new().await;
    stage.table.insert(&[]).await;
    stage.table.insert(&[("due_at", "UTC_TIMESTAMP(6) + INTERVAL 30 SECOND")]).await;
    stage.insert_old(60, &[("due_at", "UTC_TIMESTAMP(6) + INTERVAL 2 MINUTE")]).await;
    stage.insert_old(60, &[("rung_at", "UTC_TIMESTAMP(6) + INTERVAL 5 MINUTE")]).await;
    for state in ["sent", "failed", "suppressed", "cancelled", "expired"] {
        let state = format!("'{state}'");
        let ended = [("state", state.as_str()), ("sent_at", "UTC_TIMESTAMP(6)"), ("error_kind", "'x'")];
        stage.insert_old(60, &ended).await;
    }
    let swept = sweeper(&stage, RULES);
    let report = sweep(&swept).await;
    assert_eq!((report.rung, report.expired, report.left, swept.bell().rings().len()), (0, 0, 0, 0));
}

#[tokio::test]
async fn what_is_due_within_the_minute_is_rung_for_to_the_second() {
    let stage = Stage::new().await;
    // Written an hour ago for now: its first doorbell found it not due, and too far away for the queue.
    let id = stage.insert_old(60, &[("due_at", "UTC_TIMESTAMP(6) + INTERVAL 40 SECOND")]).await;
    let swept = sweeper(&stage, RULES);
    assert_eq!(sweep(&swept).await.rung, 1);
    let rings = swept.bell().rings();
    assert_eq!(rings[0].email_id, id);
    assert!(
        rings[0].delay > Duration::from_secs(20) && rings[0].delay <= Duration::from_secs(40),
        "{rings:?}"
    );
    assert_eq!(sweep(&swept).await.rung, 0);
    // A doorbell that comes meanwhile knows that another will sound.
    let (_, rung) = stage.ring(id).await;
    assert_eq!((stage.table.state(id).await.as_str(), rung.len()), ("pending", 0));
}

#[tokio::test]
async fn each_lane_gets_its_own_and_an_unknown_lane_is_rung_too() {
    let stage = Stage::new().await;
    let bulk = stage.insert_old(3, &[("lane", "'bulk'")]).await;
    let urgent = stage.insert_old(3, &[]).await;
    let wrong = stage.insert_old(3, &[("lane", "'urgnet'")]).await;
    let swept = sweeper(&stage, RULES);
    sweep(&swept).await;
    let mut rings: Vec<_> = swept.bell().rings().iter().map(|ring| (ring.email_id, ring.lane)).collect();
    rings.sort_by_key(|(id, _)| *id);
    assert_eq!(rings, [(bulk, Lane::Bulk), (urgent, Lane::Urgent), (wrong, Lane::Urgent)]);
    stage.ring(wrong).await;
    assert_eq!(stage.table.column(wrong, "error_kind").await.as_deref(), Some("lane_unknown"));
}

#[tokio::test]
async fn where_the_queue_cannot_be_reached_emails_are_sent_from_here() {
    let stage = Stage::new().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(stage.insert_old(3, &[]).await);
    }
    let later = stage.insert_old(60, &[("due_at", "UTC_TIMESTAMP(6) + INTERVAL 40 SECOND")]).await;
    let swept = sweeper(&stage, RULES);
    swept.bell().break_queue();
    let report = sweep(&swept).await;
    assert_eq!((report.rung, report.dispatched), (0, 3));
    assert_eq!(report.unreachable_queues, ["urgent"]);
    for id in ids {
        assert_eq!((stage.table.state(id).await.as_str(), stage.ses.times_taken(id)), ("sent", 1));
    }
    // What is not due yet waits for the next run, and nothing says that a doorbell will sound.
    assert_eq!(stage.table.state(later).await, "pending");
    assert_eq!(stage.table.column(later, "rung_at").await, None);
}

#[tokio::test]
async fn without_a_queue_emails_are_sent_from_here_at_once() {
    let stage = Stage::new().await;
    let id = stage.table.insert(&[]).await;
    let bulk = stage.insert_old(3, &[("lane", "'bulk'")]).await;
    let swept = sweeper(&stage, outbox::store::SweepRules { urgent_has_queue: false, ..RULES });
    let report = sweep(&swept).await;
    assert_eq!((report.rung, report.dispatched), (1, 1));
    assert_eq!((stage.table.state(id).await.as_str(), stage.ses.times_taken(id)), ("sent", 1));
    assert_eq!(stage.table.state(bulk).await, "pending");
}
