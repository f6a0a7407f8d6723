//! Rows that nobody meant to write, queues that are ill, resends that were cut in two: none of them stops a sweep, or makes
//! it do what nobody wants.

use std::time::{Duration, Instant};

use fastrand::Rng;
use outbox::{
    mailer::Reason,
    state::AttemptId,
    store::{Record, SweepRules, Verdict, operator::Command},
    sweep::Sweeper,
};
use stack::database::Flavor;

use super::sweeper;
use crate::{
    stage::{POLICY, Stage, half_a_minute},
    world::{flavor, open, soon},
};

const RULES: SweepRules = SweepRules { resend_by_default: true, max_resends: 3, ..super::RULES };

const ATTEMPT: &str = "01JDCB8Q6Y3V0K9M2T4W6X8Z1A";
const EARLIER: &str = "01JDCB8Q6Y3V0K9M2T4W6X8Z19";

#[tokio::test]
async fn a_zero_date_of_one_producer_does_not_stop_the_sweep() {
    let stage = Stage::new().await;
    if flavor() == Flavor::MySql {
        // Its default sql_mode takes no zero date; a session's may.
        return;
    }
    let then = "UTC_TIMESTAMP(6) - INTERVAL 5 MINUTE";
    let old = [("due_at", then), ("state_at", then), ("created_at", then)];
    stage.table.insert(&old).await;
    stage.table.insert(&[("due_at", "'0000-00-00 00:00:00'"), old[1], old[2]]).await;
    let swept = sweeper(&stage, RULES).sweep(half_a_minute(), &mut Rng::new()).await;
    assert_eq!(swept.expect("it runs").rung, 2);
}

#[tokio::test]
async fn an_unknown_without_an_attempt_does_not_stop_the_sweep() {
    let stage = Stage::new().await;
    let then = "UTC_TIMESTAMP(6) - INTERVAL 15 MINUTE";
    let old = [("due_at", then), ("state_at", then), ("created_at", then)];
    stage.table.insert(&old).await;
    stage.table.insert(&[("state", "'unknown'"), old[0], old[1], old[2]]).await;
    let swept = sweeper(&stage, RULES).sweep(half_a_minute(), &mut Rng::new()).await;
    assert_eq!(swept.expect("it runs").rung, 1);
}

#[tokio::test]
async fn what_an_operator_cancelled_is_not_sent_again() {
    let stage = Stage::new().await;
    let attempt = format!("'{ATTEMPT}'");
    let id = stage.table.insert(&[("attempt_id", &attempt), ("resends", "1"), ("attempts", "1")]).await;
    stage
        .table
        .execute(&format!(
            "INSERT INTO email_event (email_id, kind, attempt_id) VALUES ({id}, 'resent', '{ATTEMPT}')"
        ))
        .await;
    let mut session = open(&stage.table.plain()).await;
    let mut outcomes = Vec::new();
    session.command(Command::Cancel, &[id], &mut outcomes, soon()).await.expect("done");
    session.close().await;
    assert_eq!(stage.table.state(id).await, "unknown");
    stage.table.execute("UPDATE email SET state_at = state_at - INTERVAL 11 MINUTE").await;
    sweeper(&stage, RULES).sweep(half_a_minute(), &mut Rng::new()).await.expect("it runs");
    assert_eq!(stage.table.state(id).await, "unknown");
}

#[tokio::test]
async fn a_resend_cut_in_two_still_ends_honestly() {
    let stage = Stage::new().await;
    let attempt = format!("'{ATTEMPT}'");
    // An earlier attempt was given up; the current one is unknown, and the sweep died after it wrote `resent` for it.
    let id = stage
        .table
        .insert(&[("state", "'unknown'"), ("attempt_id", &attempt), ("resends", "1"), ("attempts", "2")])
        .await;
    for given_up in [EARLIER, ATTEMPT] {
        stage
            .table
            .execute(&format!(
                "INSERT INTO email_event (email_id, kind, attempt_id) VALUES ({id}, 'resent', '{given_up}')"
            ))
            .await;
    }
    let event = serde_json::json!({"eventType": "Reject", "mail": {"messageId": "m", "tags": {
        "email_id": [id.to_string()], "attempt_id": [ATTEMPT]}}, "reject": {"reason": "Bad content"}});
    let feedback = outbox::feedback::Feedback::new(stage.table.plain(), None);
    let arrived = outbox::feedback::envelope::open(event);
    feedback.take(arrived.deliveries, half_a_minute(), &mut Rng::new()).await;
    // EARLIER may have reached its recipients.
    assert_eq!(stage.table.state(id).await, "unknown");
}

#[tokio::test]
async fn a_resend_that_was_overtaken_counts_for_no_other() {
    let stage = Stage::new().await;
    let attempt = format!("'{ATTEMPT}'");
    let lease = ("lease_until", "UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE");
    let changes = [("state", "'sending'"), ("attempt_id", attempt.as_str()), ("resends", "1"), lease];
    let id = stage.table.insert(&changes).await;
    // Of the first the sweep wrote `resent`, but its worker's certain no moved the row before `resends` was counted. The
    // second was given up as it should be, and may have reached its recipients. The third is sending.
    let first = "01JDCB8Q6Y3V0K9M2T4W6X8Z18";
    for (kind, of) in [("resent", first), ("not_sent", first), ("resent", EARLIER)] {
        let sql =
            format!("INSERT INTO email_event (email_id, kind, attempt_id) VALUES ({id}, '{kind}', '{of}')");
        stage.table.execute(&sql).await;
    }
    let reason = Reason::new("x", "y");
    let third = AttemptId::new(1, 1);
    stage.table.execute(&format!("UPDATE email SET attempt_id = '{third}'")).await;
    let record = Record { id, attempt: &third, verdict: Verdict::Fail { reason: &reason }, lane: None };
    let mut session = open(&stage.table.plain()).await;
    session.record(record, soon()).await.expect("written");
    session.close().await;
    assert_eq!(stage.table.state(id).await, "unknown");
}

/// A queue that once refuses one entry of a batch, as SQS may.
struct Picky {
    refused: std::sync::atomic::AtomicBool,
    taken: std::sync::atomic::AtomicUsize,
}

impl doorbell::Bell for Picky {
    async fn ring(&self, ring: doorbell::Ring) -> Result<doorbell::Rung, doorbell::RingError> {
        use std::sync::atomic::Ordering::SeqCst;
        if !self.refused.swap(true, SeqCst) {
            return Err(doorbell::RingError { lane: ring.lane, source: "InternalError".into() });
        }
        self.taken.fetch_add(1, SeqCst);
        Ok(doorbell::Rung::Yes)
    }

    fn lane_of_queue(&self, _: &str) -> doorbell::Lane {
        doorbell::Lane::Urgent
    }
}

#[tokio::test]
async fn one_entry_refused_does_not_close_the_queue() {
    let stage = Stage::new().await;
    let then = "UTC_TIMESTAMP(6) - INTERVAL 5 MINUTE";
    for _ in 0..300 {
        stage.table.insert(&[("due_at", then), ("state_at", then), ("created_at", then)]).await;
    }
    let picky = Picky { refused: false.into(), taken: 0.into() };
    let swept = Sweeper::new(stage.table.plain(), stage.mailer(), picky, POLICY, RULES);
    let report = swept.sweep(half_a_minute(), &mut Rng::new()).await.expect("it runs");
    assert_eq!(report.rung, 299);
}

/// A queue that answers nothing until the client gives up.
struct Hanging;

impl doorbell::Bell for Hanging {
    async fn ring(&self, ring: doorbell::Ring) -> Result<doorbell::Rung, doorbell::RingError> {
        tokio::time::sleep(Duration::from_secs(4)).await;
        Err(doorbell::RingError { lane: ring.lane, source: "timed out".into() })
    }

    async fn ring_all(&self, rings: &[doorbell::Ring]) -> Vec<Result<doorbell::Rung, doorbell::RingError>> {
        tokio::time::sleep(Duration::from_secs(4)).await;
        rings
            .iter()
            .map(|ring| Err(doorbell::RingError { lane: ring.lane, source: "timed out".into() }))
            .collect()
    }

    fn lane_of_queue(&self, _: &str) -> doorbell::Lane {
        doorbell::Lane::Urgent
    }
}

#[tokio::test]
async fn a_hanging_queue_and_a_resting_lane() {
    let stage = Stage::new().await;
    let then = "UTC_TIMESTAMP(6) - INTERVAL 5 MINUTE";
    let old = [("due_at", then), ("state_at", then), ("created_at", then)];
    stage
        .table
        .execute("UPDATE lane SET rest_until = UTC_TIMESTAMP(6) + INTERVAL 5 MINUTE WHERE name = 'urgent'")
        .await;
    for serial in 0..100 {
        let lane = if serial < 50 { "'urgent'" } else { "'bulk'" };
        stage.table.insert(&[("lane", lane), old[0], old[1], old[2]]).await;
    }
    let swept = Sweeper::new(stage.table.plain(), stage.mailer(), Hanging, POLICY, RULES);
    let until = Instant::now() + Duration::from_secs(30);
    swept.sweep(until, &mut Rng::new()).await.expect("it runs");
    let sent = stage.table.value("SELECT CAST(COUNT(*) AS CHAR) FROM email WHERE state = 'sent'").await;
    assert_eq!(sent.as_deref(), Some("50"), "nothing keeps bulk");
}
