//! What a sweep costs, and that two of them, or one beside a producer, do no harm.

use std::time::{Duration, Instant};

use fastrand::Rng;
use outbox::store::Part;
use stack::database::{Options, Server};

use super::{RULES, sweep, sweeper};
use crate::{
    stage::{Stage, half_a_minute},
    world::{flavor, open, reach, soon},
};

/// Rows that a lost queue left behind, written by the server itself.
async fn backlog(stage: &Stage, rows: u32) {
    stage.insert_old(3, &[]).await;
    let mut have = 1;
    while have < rows {
        let more = have.min(rows - have);
        let copy = format!(
            "INSERT INTO email (sender, to_addresses, subject, text_body, due_at, state_at, created_at) \
             SELECT sender, to_addresses, subject, text_body, due_at, state_at, created_at FROM email LIMIT {more}"
        );
        stage.table.execute(&copy).await;
        have += more;
    }
}

#[tokio::test]
async fn more_than_one_page_is_swept_in_one_run() {
    let stage = Stage::new().await;
    backlog(&stage, 2_300).await;
    let swept = sweeper(&stage, RULES);
    let report = sweep(&swept).await;
    assert_eq!((report.rung, report.is_cut_off), (2_300, false));
    let mut ids: Vec<_> = swept.bell().rings().iter().map(|ring| ring.email_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2_300);
}

#[tokio::test]
async fn two_sweeps_at_once_ring_once() {
    let stage = Stage::new().await;
    backlog(&stage, 900).await;
    let sweepers: Vec<_> = (0..3).map(|_| sweeper(&stage, RULES)).collect();
    let (a, b, c) = tokio::join!(sweep(&sweepers[0]), sweep(&sweepers[1]), sweep(&sweepers[2]));
    assert_eq!(a.rung + b.rung + c.rung, 900, "{a:?} {b:?} {c:?}");
    let rings: usize = sweepers.iter().map(|sweeper| sweeper.bell().rings().len()).sum();
    assert_eq!(rings, 900);
}

#[tokio::test]
async fn a_row_that_somebody_holds_is_left_and_not_waited_for() {
    let stage = Stage::new().await;
    let held = stage.insert_old(3, &[]).await;
    let free = stage.insert_old(3, &[]).await;
    let mut holder = stage.table.database.admin().connect().await.expect("connected");
    let hold = format!("BEGIN; UPDATE email SET subject = subject WHERE id = {held}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(hold)).execute(&mut holder).await.expect("held");
    let swept = sweeper(&stage, RULES);
    let report = sweep(&swept).await;
    assert_eq!((report.rung, report.left), (1, 1));
    assert_eq!(swept.bell().rings()[0].email_id, free);
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.expect("let go");
    sqlx::Connection::close(holder).await.expect("closed");
    assert_eq!(sweep(&swept).await.rung, 1);
}

#[tokio::test]
async fn a_dry_run_tells_and_changes_nothing() {
    let stage = Stage::new().await;
    stage.insert_old(3, &[]).await;
    stage.insert_old(3, &[("expires_at", "UTC_TIMESTAMP(6)")]).await;
    let attempted = [("attempt_id", "'01JDCB8Q6Y3V0K9M2T4W6X8Z1A'"), ("lease_until", "UTC_TIMESTAMP(6)")];
    stage.insert_old(30, &[("state", "'sending'"), attempted[0], attempted[1]]).await;
    stage.insert_old(30, &[("state", "'unknown'"), ("on_unknown", "'resend'"), attempted[0]]).await;
    let whole =
        "SELECT GROUP_CONCAT(CONCAT_WS('|', id, state, state_at, rung_at, resends) ORDER BY id) FROM email";
    let before = stage.table.value(whole).await;
    let swept = sweeper(&stage, RULES);
    let report = swept.dry_run(half_a_minute()).await.expect("read");
    assert!(report.dry_run);
    assert_eq!((report.leases_ended, report.resent, report.expired, report.rung), (1, 1, 1, 1));
    assert!(report.oldest_due_s.is_some_and(|age| (170..600).contains(&age)), "{report:?}");
    assert_eq!((stage.table.value(whole).await, swept.bell().rings().len()), (before, 0));
}

#[tokio::test]
async fn a_run_that_is_short_of_time_leaves_the_rest_to_the_next() {
    let stage = Stage::new().await;
    backlog(&stage, 50).await;
    let swept = sweeper(&stage, RULES);
    let report =
        swept.sweep(Instant::now() + Duration::from_secs(2), &mut Rng::new()).await.expect("no error");
    assert_eq!((report.rung, report.is_cut_off), (0, true));
    assert_eq!(sweep(&swept).await.rung, 50);
}

#[tokio::test]
async fn old_rows_cost_nothing() {
    let server = Server::start(Options::new(flavor())).await.expect("it starts");
    let mut reads = Vec::new();
    for old in [64_u32, 8_192] {
        let database = server.create_database().await.expect("the schema applies");
        let admin = database.admin();
        let insert = "INSERT INTO email (sender, to_addresses, subject, text_body, state, sent_at, due_at, created_at) \
                      SELECT 'a@shop.example', JSON_ARRAY('b@customer.example'), 's', 't', s.state, UTC_TIMESTAMP(6), \
                      UTC_TIMESTAMP(6) - INTERVAL 30 DAY, UTC_TIMESTAMP(6) - INTERVAL 30 DAY FROM \
                      (SELECT 'sent' AS state UNION ALL SELECT 'cancelled' UNION ALL SELECT 'suppressed') AS s";
        admin.execute(insert).await.expect("written");
        let mut have = 3;
        while have < old {
            let copy = "INSERT INTO email (sender, to_addresses, subject, text_body, state, sent_at, due_at, created_at) \
                        SELECT sender, to_addresses, subject, text_body, state, sent_at, due_at, created_at FROM email";
            admin.execute(copy).await.expect("copied");
            have *= 2;
        }
        let waiting = "INSERT INTO email (sender, to_addresses, subject, text_body, due_at, state_at, created_at) \
                       SELECT sender, to_addresses, subject, text_body, UTC_TIMESTAMP(6) - INTERVAL 1 HOUR, \
                       UTC_TIMESTAMP(6) - INTERVAL 1 HOUR, UTC_TIMESTAMP(6) - INTERVAL 1 HOUR FROM email LIMIT 20";
        admin.execute(waiting).await.expect("copied");
        admin.execute("ANALYZE TABLE email").await.expect("analysed");
        let mut session = open(&reach(database.url(), outbox::store::Tls::Off)).await;
        let before = rows_read(&server).await;
        let mut found = 0;
        for part in Part::ALL {
            found += session.survey(part, &RULES, 1_000, soon()).await.expect("read").overdue.len();
        }
        let after = rows_read(&server).await;
        assert_eq!(found, 20);
        reads.push(after - before);
        session.close().await;
    }
    // The same but for what reading the counters costs.
    assert!(reads[1] <= reads[0] + reads[0] / 4, "{reads:?}");
}

async fn rows_read(server: &Server) -> u64 {
    let mut sum = 0;
    for counter in ["Handler_read_key", "Handler_read_next", "Handler_read_rnd_next", "Handler_read_rnd"] {
        sum += server.global_status(counter).await.expect("a counter");
    }
    sum
}

/// The gauges of the metrics, as `store::sweep` reads them once a minute.
#[tokio::test]
async fn what_is_unknown_is_counted_from_the_index_alone() {
    let stage = Stage::new().await;
    backlog(&stage, 3_000).await;
    let attempt = "attempt_id = '01JDCB8Q6Y3V0K9M2T4W6X8Z1A'";
    stage.table.execute(&format!("UPDATE email SET state = 'unknown', {attempt} LIMIT 1000")).await;
    stage.table.execute("ANALYZE TABLE email").await;
    let count = "SELECT COUNT(*) FROM (SELECT id FROM email WHERE state = 'unknown' LIMIT 10000) AS held";
    let plan = stage
        .table
        .database
        .admin()
        .rows(&format!("EXPLAIN FORMAT=TRADITIONAL {count}"))
        .await
        .expect("a plan");
    let of_the_table = plan.iter().find(|step| step.iter().flatten().any(|cell| cell == "email"));
    let of_the_table = of_the_table.expect("it reads the table");
    assert!(of_the_table.iter().flatten().any(|cell| cell.contains("Using index")), "{plan:?}");
    let mut session = open(&stage.table.plain_as("sweep")).await;
    let survey = session.survey(Part::Attempts, &RULES, 10, soon()).await.expect("read");
    session.close().await;
    assert_eq!(survey.unknown, 1_000);
    assert!(survey.oldest_due.is_some_and(|age| age.as_secs() >= 180), "{survey:?}");
}
