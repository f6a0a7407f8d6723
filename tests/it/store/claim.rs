//! Who gets a row, what else is said, and that nobody waits for a lock.

use std::time::{Duration, Instant};

use outbox::{
    state::{AttemptId, State},
    store::{Claim, ClaimRequest, Claimed, NotClaimed, Pace, Session},
};

use crate::world::{Table, open, soon};

async fn claim(session: &mut Session, id: u64, attempt: &AttemptId) -> Claim {
    let request = ClaimRequest { id, attempt, lease: Duration::from_mins(1), pace: None, probe: false };
    session.claim(request, soon()).await.expect("an answer")
}

fn claimed(claim: Claim) -> Claimed {
    match claim {
        Claim::Claimed(claimed) => *claimed,
        Claim::NotClaimed(why) => panic!("{why:?}"),
    }
}

fn refused(claim: Claim) -> NotClaimed {
    match claim {
        Claim::Claimed(_) => panic!("claimed"),
        Claim::NotClaimed(why) => why,
    }
}

#[tokio::test]
async fn a_claim_reads_everything_that_a_send_needs() {
    let table = Table::new().await;
    let id = table
        .insert(&[
            ("reply_to", "JSON_ARRAY('help@shop.example')"),
            ("to_addresses", "JSON_ARRAY('Ada Lövelace <Ada@Customer.example>', 'b@customer.example')"),
            ("cc_addresses", "JSON_ARRAY('C <c@customer.example>')"),
            ("subject", "'Grüße 🎉'"),
            ("html_body", "'<p>ü</p>'"),
            ("headers", r#"'{"X-Order": "7"}'"#),
            ("tags", r#"'{"campaign": "spring"}'"#),
            ("list_name", "'news'"),
        ])
        .await;
    table
        .execute(&format!(
            "INSERT INTO attachment (email_id, name, content_type, content_id, content) VALUES \
             ({id}, 'a.pdf', 'application/pdf', NULL, x'00ff27'), ({id}, 'l.png', 'image/png', 'logo', x'')"
        ))
        .await;
    table
        .execute(
            "INSERT INTO suppression (address, list_name, reason) VALUES ('ada@customer.example', '', 'bounce'), \
             ('c@customer.example', 'news', 'unsubscribed'), ('b@customer.example', 'other', 'unsubscribed')",
        )
        .await;
    let mut session = open(&table.plain()).await;
    let attempt = AttemptId::new(1, 2);
    let claimed = claimed(claim(&mut session, id, &attempt).await);
    session.close().await;
    assert_eq!((claimed.attempts, claimed.resends, claimed.lane.as_str()), (1, 0, "urgent"));
    let row = claimed.row.expect("content");
    assert_eq!(row.subject, "Grüße 🎉");
    assert_eq!(row.html_body.as_deref(), Some("<p>ü</p>"));
    assert_eq!(row.text_body.as_deref(), Some("Thank you."));
    assert!(row.to_addresses.contains("Lövelace"), "{}", row.to_addresses);
    assert_eq!(row.bcc_addresses, None);
    assert_eq!(row.attachments.len(), 2);
    assert_eq!(row.attachments[0].content, [0, 255, 39]);
    assert_eq!(row.attachments[1].content_id.as_deref(), Some("logo"));
    let mut suppressed = row.suppressed;
    suppressed.sort();
    assert_eq!(suppressed, ["ada@customer.example", "c@customer.example"]);
    assert_eq!(table.state(id).await, "sending");
    assert_eq!(table.column(id, "attempt_id").await.as_deref(), Some(attempt.as_str()));
}

#[tokio::test]
async fn of_two_at_once_one_gets_it() {
    let table = Table::new().await;
    let id = table.insert(&[]).await;
    let (mut one, mut two) = (open(&table.plain()).await, open(&table.plain()).await);
    let (first, second) = (AttemptId::new(1, 1), AttemptId::new(1, 2));
    let (a, b) = tokio::join!(claim(&mut one, id, &first), claim(&mut two, id, &second));
    one.close().await;
    two.close().await;
    let winners = [&a, &b].iter().filter(|claim| matches!(claim, Claim::Claimed(_))).count();
    assert_eq!(winners, 1, "{a:?} {b:?}");
    assert_eq!(table.column(id, "attempts").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn what_a_row_answers_when_it_is_not_for_now() {
    let table = Table::new().await;
    let mut session = open(&table.plain()).await;
    let attempt = AttemptId::new(1, 1);
    assert_eq!(refused(claim(&mut session, 999, &attempt).await), NotClaimed::Missing);
    for (state, why) in [
        ("'sent', sent_at = UTC_TIMESTAMP(6)", NotClaimed::Terminal(State::Sent)),
        ("'failed', error_kind = 'x'", NotClaimed::Terminal(State::Failed)),
        ("'cancelled'", NotClaimed::Terminal(State::Cancelled)),
        ("'unknown'", NotClaimed::Busy(State::Unknown)),
        ("'sending', attempt_id = '0', lease_until = UTC_TIMESTAMP(6)", NotClaimed::Busy(State::Sending)),
    ] {
        let id = table.insert(&[]).await;
        table.execute(&format!("UPDATE email SET state = {state} WHERE id = {id}")).await;
        assert_eq!(refused(claim(&mut session, id, &attempt).await), why, "{state}");
    }
    let id = table.insert(&[("due_at", "UTC_TIMESTAMP(6) + INTERVAL 90 SECOND")]).await;
    match refused(claim(&mut session, id, &attempt).await) {
        NotClaimed::NotDue { due_in, .. } => {
            assert!((60..=90).contains(&due_in.as_secs()), "{due_in:?}");
        }
        other => panic!("{other:?}"),
    }
    table.execute(&format!("UPDATE email SET rung_at = due_at WHERE id = {id}")).await;
    assert_eq!(refused(claim(&mut session, id, &attempt).await), NotClaimed::RungLater);
    let id = table.insert(&[("expires_at", "UTC_TIMESTAMP(6) - INTERVAL 1 SECOND")]).await;
    assert_eq!(refused(claim(&mut session, id, &attempt).await), NotClaimed::Expired { resends: 0 });
    let id = table.insert(&[]).await;
    table.execute(&format!("INSERT INTO email_event (email_id, kind) VALUES ({id}, 'delivery')")).await;
    assert_eq!(refused(claim(&mut session, id, &attempt).await), NotClaimed::Locked);
    assert_eq!(session.settle(id, soon()).await.expect("settled"), Some(State::Sent));
    session.close().await;
}

#[tokio::test]
async fn a_locked_row_is_not_waited_for() {
    let table = Table::new().await;
    let id = table.insert(&[]).await;
    let mut producer = table.database.admin().connect().await.expect("connected");
    sqlx::raw_sql("BEGIN").execute(&mut producer).await.expect("begun");
    let lock = format!("UPDATE email SET subject = 'changed' WHERE id = {id}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut producer).await.expect("locked");
    let mut session = open(&table.plain()).await;
    // A claim that waited would run into its own bound, 5 s, well before the server's 50 s.
    assert_eq!(refused(claim(&mut session, id, &AttemptId::new(1, 1)).await), NotClaimed::Locked);
    sqlx::raw_sql("COMMIT").execute(&mut producer).await.expect("committed");
    assert!(matches!(claim(&mut session, id, &AttemptId::new(1, 2)).await, Claim::Claimed(_)));
    session.close().await;
}

#[tokio::test]
async fn content_beyond_the_limit_is_not_fetched() {
    let table = Table::new().await;
    let id =
        table.insert(&[("text_body", "REPEAT('x', 20000000)"), ("html_body", "REPEAT('y', 20000000)")]).await;
    let (proxy, url) = table.proxied().await;
    let mut session = open(&crate::world::reach(&url, outbox::store::Tls::Off)).await;
    let claimed = claimed(claim(&mut session, id, &AttemptId::new(1, 1)).await);
    session.close().await;
    assert!(claimed.row.is_none());
    proxy.idle().await;
    assert!(proxy.totals().bytes_down < 100_000, "{:?}", proxy.totals());
}

#[tokio::test]
async fn the_rate_is_shared_and_bulk_leaves_room() {
    let table = Table::new().await;
    let pace = Pace::new(10);
    let mut waiting = [Vec::new(), Vec::new()];
    for (ids, lane) in waiting.iter_mut().zip(["'bulk'", "'urgent'"]) {
        for _ in 0..14 {
            ids.push(table.insert(&[("lane", lane)]).await);
        }
    }
    let mut session = open(&table.plain()).await;
    let mut admitted = [0_u32, 0];
    let began = Instant::now();
    for (count, ids) in admitted.iter_mut().zip(waiting) {
        for id in ids {
            let attempt = AttemptId::new(2, id.into());
            let request =
                ClaimRequest { id, attempt: &attempt, lease: Duration::from_mins(1), pace, probe: false };
            match session.claim(request, soon()).await.expect("an answer") {
                Claim::Claimed(_) => *count += 1,
                Claim::NotClaimed(NotClaimed::NoSlot { free_in, .. }) => {
                    assert!(free_in <= Duration::from_millis(500), "{free_in:?}");
                    break;
                }
                Claim::NotClaimed(other) => panic!("{other:?}"),
            }
        }
    }
    let elapsed = began.elapsed().as_secs_f64();
    session.close().await;
    // What comes free while the loop runs is admitted too.
    let most = |burst: f64| burst + 10.0 * elapsed;
    let [bulk, all] = [f64::from(admitted[0]), f64::from(admitted[0] + admitted[1])];
    assert!((8.0..=most(8.0)).contains(&bulk), "bulk below four fifths: {admitted:?} in {elapsed} s");
    assert!((bulk + 1.0..=most(10.0)).contains(&all), "urgent still finds room: {admitted:?} in {elapsed} s");
}

/// Claims `id` at this rate, however often it takes; panics when it takes longer than the rate's horizon could explain.
async fn claim_in_the_end(session: &mut Session, id: u64, pace: Pace) {
    for serial in 0..60 {
        let attempt = AttemptId::new(3, serial);
        let lease = Duration::from_mins(1);
        let request = ClaimRequest { id, attempt: &attempt, lease, pace: Some(pace), probe: false };
        match session.claim(request, soon()).await.expect("an answer") {
            Claim::Claimed(_) => return,
            Claim::NotClaimed(NotClaimed::NoSlot { free_in, .. }) => {
                assert!(free_in <= Duration::from_secs(1), "{free_in:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Claim::NotClaimed(other) => panic!("{other:?}"),
        }
    }
    panic!("sending is frozen");
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_freeze_sending() {
    let table = Table::new().await;
    let pace = Pace::new(100).expect("a pace");
    let mut session = open(&table.plain()).await;
    table.execute("UPDATE send_rate SET tat = UTC_TIMESTAMP(6) + INTERVAL 1 DAY").await;
    let id = table.insert(&[]).await;
    claim_in_the_end(&mut session, id, pace).await;
    // Nor does a row that pretends to have a thousand recipients.
    let many = "(WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
        SELECT JSON_ARRAYAGG(CONCAT('a', i, '@customer.example')) FROM n)";
    let id = table.insert(&[("to_addresses", many)]).await;
    claim_in_the_end(&mut session, id, pace).await;
    let id = table.insert(&[]).await;
    claim_in_the_end(&mut session, id, pace).await;
    session.close().await;
}

#[tokio::test]
async fn a_claim_that_waited_too_long_claims_nothing() {
    let table = Table::new().await;
    let id = table.insert(&[]).await;
    let mut rival = table.database.admin().connect().await.expect("connected");
    sqlx::raw_sql("BEGIN; UPDATE send_rate SET tat = UTC_TIMESTAMP(6)")
        .execute(&mut rival)
        .await
        .expect("locked");
    let mut session = open(&table.plain()).await;
    let attempt = AttemptId::new(1, 1);
    let lease = Duration::from_mins(1);
    let request = ClaimRequest { id, attempt: &attempt, lease, pace: Pace::new(100), probe: false };
    let patience = std::time::Instant::now() + Duration::from_millis(600);
    let error = session.claim(request, patience).await.expect_err("it waits for the rate's row");
    assert!(matches!(error, outbox::store::StoreError::TimedOut(_)), "{error:?}");
    session.close().await;
    sqlx::raw_sql("COMMIT").execute(&mut rival).await.expect("released");
    // The server goes on with what nobody waits for any more; when it is through, a new claim finds the row free.
    let mut session = open(&table.plain()).await;
    claim_in_the_end(&mut session, id, Pace::new(100).expect("a pace")).await;
    session.close().await;
    assert_eq!(table.column(id, "attempts").await.as_deref(), Some("1"));
}
