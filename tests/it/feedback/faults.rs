//! A database that is slow, busy, cut off or misconfigured; an invocation without time.

use std::time::{Duration, Instant};

use fastrand::Rng;
use outbox::{
    feedback::{Answer, Feedback, envelope},
    store::Tls,
};
use serde_json::json;
use stack::{
    database::{Options, Server},
    proxy::{Action, How, On, Point},
};

use super::{attempt, event, kinds, place, queued, take};
use crate::world::{Table, flavor, reach};

/// A table on a server of its own.
async fn ill_treated(arguments: &[&str]) -> Table {
    let options = arguments.iter().fold(Options::new(flavor()), |options, argument| options.arg(*argument));
    let server = Box::leak(Box::new(Server::start(options).await.expect("the server starts")));
    let database = server.create_database().await.expect("the schema applies");
    Table { server, database }
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_on_another_connection() {
    let table = Table::new().await;
    let (proxy, url) = table.proxied().await;
    let feedback = Feedback::new(reach(&url, Tls::Off), None);
    let (first, second) = (attempt(1), attempt(2));
    let lost = place(&table, "sending", &first, &[]).await;
    let next = place(&table, "sending", &second, &[]).await;
    let batch = queued(&[event("Send", lost, &first), event("Send", next, &second)]);
    proxy.lose_answer(1);
    assert_eq!(take(&feedback, batch).await, [Answer::Done, Answer::Done]);
    proxy.idle().await;
    assert_eq!((proxy.totals().connections, proxy.totals().peak_open), (2, 1));
    for id in [lost, next] {
        assert_eq!((table.state(id).await.as_str(), kinds(&table, id).await.as_str()), ("sent", "send"));
    }
}

#[tokio::test]
async fn a_database_that_hangs_up_each_time_is_not_asked_for_ever() {
    let table = Table::new().await;
    let (proxy, url) = table.proxied().await;
    let feedback = Feedback::new(reach(&url, Tls::Off), None);
    let current = attempt(1);
    let id = place(&table, "sending", &current, &[]).await;
    let event = event("Send", id, &current);
    proxy.script(On::Every, Point::Request(1), Action::Cut(How::Reset));
    let batch = queued(&vec![event; 20]);
    assert_eq!(take(&feedback, batch.clone()).await, [Answer::Again; 20]);
    proxy.idle().await;
    assert!(proxy.totals().connections <= 4, "{:?}", proxy.totals());
    assert_eq!(table.state(id).await, "sending");
    proxy.reset();
    assert_eq!(take(&feedback, batch).await, [Answer::Done; 20]);
    assert_eq!(kinds(&table, id).await, "send");
}

#[tokio::test]
async fn a_locked_row_is_waited_for_and_given_back_in_the_end() {
    let table = ill_treated(&["--innodb-lock-wait-timeout=1"]).await;
    let feedback = Feedback::new(table.plain_as("feedback"), None);
    let current = attempt(1);
    let id = place(&table, "unknown", &current, &[]).await;
    let batch = queued(&[event("Send", id, &current)]);
    let mut holder = table.database.admin().connect().await.expect("connected");
    hold(&mut holder, id).await;
    let deadline = Instant::now() + Duration::from_secs(3);
    let answers = feedback.take(envelope::open(batch.clone()).deliveries, deadline, &mut Rng::new()).await;
    assert_eq!(answers, [Answer::Again]);
    // Once more, and the lock is let go while it waits for the second time.
    let waits = table.server.global_status("Innodb_row_lock_waits").await.expect("status");
    let mut taking = Box::pin(take(&feedback, batch));
    while table.server.global_status("Innodb_row_lock_waits").await.expect("status") < waits + 2 {
        let pause = tokio::time::sleep(Duration::from_millis(20));
        tokio::select! {
            answers = &mut taking => panic!("it gave up after one wait: {answers:?}"),
            () = pause => {}
        }
    }
    sqlx::Connection::close(holder).await.expect("closed");
    assert_eq!(taking.await, [Answer::Done]);
    assert_eq!((table.state(id).await.as_str(), kinds(&table, id).await.as_str()), ("sent", "send"));
}

/// Holds a row as a transaction does that goes on for long.
async fn hold(connection: &mut sqlx::MySqlConnection, id: u64) {
    let sql = format!("START TRANSACTION; UPDATE email SET rung_at = UTC_TIMESTAMP(6) WHERE id = {id}");
    sqlx::Executor::execute(connection, sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.expect("held");
}

#[tokio::test]
async fn a_server_that_would_take_it_back_is_refused() {
    let table = ill_treated(&[]).await;
    let feedback = Feedback::new(table.plain_as("feedback"), None);
    let current = attempt(1);
    let id = place(&table, "unknown", &current, &[]).await;
    let batch = queued(&[event("Send", id, &current)]);
    table.execute("SET GLOBAL autocommit = 0").await;
    assert_eq!(take(&feedback, batch.clone()).await, [Answer::Again]);
    table.execute("SET GLOBAL autocommit = 1").await;
    assert_eq!((table.state(id).await.as_str(), kinds(&table, id).await.as_str()), ("unknown", ""));
    assert_eq!(take(&feedback, batch).await, [Answer::Done]);
    assert_eq!(table.state(id).await, "sent");
}

#[tokio::test]
async fn without_time_nothing_is_begun() {
    let table = Table::new().await;
    let (proxy, url) = table.proxied().await;
    let feedback = Feedback::new(reach(&url, Tls::Off), None);
    let current = attempt(1);
    let id = place(&table, "unknown", &current, &[]).await;
    let mut foreign = event("Send", id, &current);
    foreign["mail"]["tags"] = json!({});
    let batch = queued(&[event("Send", id, &current), foreign, event("Delivery", id, &current)]);
    let deliveries = envelope::open(batch).deliveries;
    let answers = feedback.take(deliveries, Instant::now(), &mut Rng::new()).await;
    assert_eq!(answers, [Answer::Again, Answer::Done, Answer::Again]);
    assert_eq!(proxy.totals().connections, 0);
    assert_eq!(table.state(id).await, "unknown");
}
