//! Doorbells for rows that are not to be sent now: nobody waits, nothing is lost, one doorbell a row.

use std::time::Duration;

use doorbell::Lane;
use fastrand::Rng;
use outbox::{
    dispatch::{Answer, Doorbell},
    store::Pace,
};

use crate::stage::{Stage, doorbell, half_a_minute, ring};

#[tokio::test]
async fn a_row_that_is_not_there_is_rung_for_three_times_then_left_to_the_sweep() {
    let stage = Stage::new().await;
    let dispatcher = stage.dispatcher();
    for tries in 0..5 {
        let doorbell = Doorbell { tries, lane: Lane::Bulk, ..doorbell(4711) };
        let answers = dispatcher.dispatch(&[doorbell], half_a_minute(), &mut Rng::new()).await;
        assert_eq!(answers, [Answer::Done]);
    }
    let rings: Vec<_> =
        dispatcher.bell().rings().iter().map(|ring| (ring.delay.as_secs(), ring.tries, ring.lane)).collect();
    assert_eq!(rings, [(1, 1, Lane::Bulk), (2, 2, Lane::Bulk), (4, 3, Lane::Bulk)]);
}

#[tokio::test]
async fn rung_within_the_producers_open_transaction() {
    let stage = Stage::new().await;
    let mut producer = stage.table.database.admin().connect().await.expect("connected");
    sqlx::raw_sql(
        "BEGIN; INSERT INTO email (sender, to_addresses, subject, text_body) \
         VALUES ('a@shop.example', JSON_ARRAY('b@customer.example'), 'Hello', 'Hello')",
    )
    .execute(&mut producer)
    .await
    .expect("written");
    let id: u64 =
        sqlx::query_scalar("SELECT LAST_INSERT_ID()").fetch_one(&mut producer).await.expect("an id");
    // The claim comes back at once: its bound is 5 s, the server's patience with locks is 50 s.
    let (answer, rings) = stage.ring(id).await;
    assert_eq!((answer, rings.len()), (Answer::Done, 1));
    assert_eq!(stage.ses.request_count(), 0);
    sqlx::raw_sql("COMMIT").execute(&mut producer).await.expect("committed");
    let (answer, rings) = stage.ring(id).await;
    assert_eq!((answer, rings.len()), (Answer::Done, 0));
    stage.ring(id).await;
    assert_eq!(stage.table.state(id).await, "sent");
    assert_eq!(stage.ses.times_taken(id), 1);
}

#[tokio::test]
async fn a_scheduled_email_keeps_one_doorbell() {
    let stage = Stage::new().await;
    let soon = stage.table.insert(&[("due_at", "UTC_TIMESTAMP(6) + INTERVAL 100 SECOND")]).await;
    let far = stage.table.insert(&[("due_at", "UTC_TIMESTAMP(6) + INTERVAL 1 DAY")]).await;
    let dispatcher = stage.dispatcher();
    for _ in 0..3 {
        assert_eq!(ring(&dispatcher, soon).await, Answer::Done);
        assert_eq!(ring(&dispatcher, far).await, Answer::Done);
    }
    let rings = dispatcher.bell().rings();
    assert_eq!(rings.len(), 1, "{rings:?}");
    assert_eq!(rings[0].email_id, soon);
    assert!((80..=100).contains(&rings[0].delay.as_secs()), "{rings:?}");
    // It comes when it should.
    stage.table.execute("UPDATE email SET due_at = UTC_TIMESTAMP(6), rung_at = UTC_TIMESTAMP(6)").await;
    ring(&dispatcher, soon).await;
    assert_eq!(stage.table.state(soon).await, "sent");
}

#[tokio::test]
async fn what_is_over_is_acknowledged() {
    let stage = Stage::new().await;
    let expired = stage.table.insert(&[("expires_at", "UTC_TIMESTAMP(6) - INTERVAL 1 SECOND")]).await;
    assert_eq!(stage.ring(expired).await, (Answer::Done, vec![]));
    assert_eq!(stage.table.state(expired).await, "expired");
    let accepted = stage.table.insert(&[]).await;
    stage
        .table
        .execute(&format!("INSERT INTO email_event (email_id, kind) VALUES ({accepted}, 'send')"))
        .await;
    assert_eq!(stage.ring(accepted).await, (Answer::Done, vec![]));
    assert_eq!(stage.table.state(accepted).await, "sent");
    let cancelled = stage.table.insert(&[("state", "'cancelled'")]).await;
    assert_eq!(stage.ring(cancelled).await, (Answer::Done, vec![]));
    assert_eq!(stage.ses.request_count(), 0);
}

#[tokio::test]
async fn what_an_event_shows_to_be_sent_is_not_sent_again() {
    let stage = Stage::new().await;
    let pending = stage.table.insert(&[]).await;
    let expired = stage.table.insert(&[("expires_at", "UTC_TIMESTAMP(6)")]).await;
    let dropped = stage.table.insert(&[]).await;
    for (id, kind) in [(pending, "send"), (expired, "bounce"), (dropped, "send"), (dropped, "reject")] {
        let sql = format!(
            "INSERT INTO email_event (email_id, kind, attempt_id) VALUES ({id}, '{kind}', '01JDCB8Q6Y3V0K9M2T4W6X8Z1A')"
        );
        stage.table.execute(&sql).await;
    }
    for (id, requests) in [(pending, 0), (expired, 0), (dropped, 1)] {
        assert_eq!(stage.ring(id).await, (Answer::Done, vec![]));
        assert_eq!(stage.table.state(id).await, "sent");
        assert_eq!(stage.ses.requests_for(id).len(), requests);
    }
}

#[tokio::test]
async fn without_a_slot_the_doorbell_waits_in_line() {
    let mut stage = Stage::new().await;
    stage.policy.pace = Pace::new(1);
    let dispatcher = stage.dispatcher();
    let mut ids = Vec::new();
    for _ in 0..6 {
        let id = stage.table.insert(&[("lane", "'bulk'")]).await;
        ids.push(id);
        ring(&dispatcher, id).await;
    }
    let rings = dispatcher.bell().rings();
    // At one recipient a second some were sent at once or after a short wait; each of the others waits behind the last.
    assert!(rings.len() >= 3, "{rings:?}");
    assert_eq!(rings.len() + stage.ses.request_count(), 6);
    assert!(rings.windows(2).all(|pair| pair[1].delay > pair[0].delay), "{rings:?}");
    // A second doorbell for one that waits adds nothing.
    ring(&dispatcher, rings[rings.len() - 1].email_id).await;
    assert_eq!(dispatcher.bell().rings().len(), rings.len());
}

#[tokio::test]
async fn a_queue_that_is_away_makes_the_message_come_again() {
    let stage = Stage::new().await;
    let dispatcher = stage.dispatcher();
    dispatcher.bell().break_queue();
    let id = stage.table.insert(&[("due_at", "UTC_TIMESTAMP(6) + INTERVAL 100 SECOND")]).await;
    assert_eq!(ring(&dispatcher, id).await, Answer::Again);
    // Nobody believes that another doorbell will sound.
    assert_eq!(stage.table.column(id, "rung_at").await, None);
    assert_eq!(ring(&dispatcher, 4711).await, Answer::Again);
}

#[tokio::test]
async fn short_of_time_claims_nothing_and_gives_the_rest_back() {
    let stage = Stage::new().await;
    let id = stage.table.insert(&[]).await;
    let dispatcher = stage.dispatcher();
    let deadline = std::time::Instant::now() + Duration::from_millis(1500);
    let answers = dispatcher.dispatch(&[doorbell(id)], deadline, &mut Rng::new()).await;
    assert_eq!(answers, [Answer::Done]);
    assert_eq!(dispatcher.bell().rings().len(), 1);
    assert_eq!(stage.table.column(id, "attempt_id").await, None);
    assert_eq!(stage.ses.request_count(), 0);
}
