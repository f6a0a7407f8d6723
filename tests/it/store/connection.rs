//! Round trips, TLS, and how a connection ends.

use std::time::{Duration, Instant};

use outbox::{
    state::AttemptId,
    store::{ClaimRequest, Record, StoreError, Tls, Verdict},
};
use stack::database::{Flavor, Options, Server};

use crate::world::{Table, flavor, open, reach, soon};

/// One email over one connection, as the hot path does it, and what passed through the proxy.
async fn round_trips(tls: impl FnOnce(&Table) -> Tls) -> (usize, usize) {
    let table = Table::new().await;
    let (proxy, url) = table.proxied().await;
    let database = reach(&url, tls(&table));
    let id = table.insert(&[]).await;
    let attempt = AttemptId::new(1, 1);
    let mut session = open(&database).await;
    let claim =
        ClaimRequest { id, attempt: &attempt, lease: Duration::from_mins(1), pace: None, probe: false };
    session.claim(claim, soon()).await.expect("claimed");
    let verdict = Verdict::Accepted { message_id: "0102" };
    session.record(Record { id, attempt: &attempt, verdict, lane: None }, soon()).await.expect("recorded");
    session.close().await;
    proxy.idle().await;
    assert_eq!(table.state(id).await, "sent");
    let connections = proxy.connections();
    assert_eq!(connections.len(), 1);
    (connections[0].round_trips, connections[0].unanswered_requests())
}

#[tokio::test]
async fn three_round_trips_in_plaintext() {
    let (round_trips, unanswered) = round_trips(|_| Tls::Off).await;
    assert_eq!(round_trips, 3, "log in, claim, record");
    assert_eq!(unanswered, 1, "COM_QUIT");
}

#[tokio::test]
async fn four_round_trips_with_tls_and_five_on_mysql() {
    let tls = |table: &Table| Tls::Verify { ca_file: table.server.ca_file().to_owned() };
    let expected = match flavor() {
        Flavor::MariaDb => 4,
        // Its `caching_sha2_password` says that it knows the password before it says that all is well.
        Flavor::MySql => 5,
    };
    assert_eq!(round_trips(tls).await.0, expected, "TLS, log in, claim, record");
}

#[tokio::test]
async fn connecting_with_tls_does_not_stall() {
    let table = Table::new().await;
    let (plain, encrypted) = (table.plain(), table.encrypted());
    let mut totals = [Duration::ZERO; 2];
    for _ in 0..12 {
        for (total, database) in totals.iter_mut().zip([&plain, &encrypted]) {
            let began = Instant::now();
            let session = open(database).await;
            *total += began.elapsed();
            session.close().await;
        }
    }
    let ratio = totals[1].as_secs_f64() / totals[0].as_secs_f64();
    // The work of a handshake, unoptimised, is some ten times a plaintext connect; the stall that the relay avoids is
    // a hundred times.
    assert!(ratio < 40.0, "TLS takes {ratio:.1} times as long as plaintext: {totals:?}");
}

#[tokio::test]
async fn closing_leaves_nothing_behind() {
    // A server of its own: other tests cut connections to the shared one on purpose, and it counts them.
    let server = Server::start(Options::new(flavor())).await.expect("the server starts");
    let database = server.create_database().await.expect("the schema applies");
    let aborted = server.global_status("Aborted_clients").await.expect("status");
    let before = server.connections_made().await.expect("status");
    for tls in [Tls::Off, Tls::Verify { ca_file: server.ca_file().to_owned() }] {
        open(&reach(database.url(), tls)).await.close().await;
    }
    let mut connected = server.processlist().await.expect("processes");
    // The server hangs up first and forgets the connection a moment later.
    for _ in 0..100 {
        if connected.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        connected = server.processlist().await.expect("processes");
    }
    assert!(connected.is_empty(), "{connected:?}");
    assert_eq!(server.connections_made().await.expect("status") - before, 2);
    assert_eq!(server.global_status("Aborted_clients").await.expect("status"), aborted);
}

#[tokio::test]
async fn a_wrong_password_says_so() {
    let table = Table::new().await;
    let url = table.database.url().replace(stack::database::PASSWORD, "wrong");
    let encrypted = Tls::Verify { ca_file: table.server.ca_file().to_owned() };
    let error = reach(&url, encrypted).connect(soon()).await.expect_err("refused");
    assert!(matches!(error, StoreError::AccessDenied { code: 1045 }), "{error:?}");
    let error = reach(&url, Tls::Off).connect(soon()).await.expect_err("refused");
    match flavor() {
        Flavor::MariaDb => assert!(matches!(error, StoreError::AccessDenied { code: 1045 }), "{error:?}"),
        // It wants the password itself then, and is not told in plaintext.
        Flavor::MySql => assert!(matches!(error, StoreError::Tls(_)), "{error:?}"),
    }
}

#[tokio::test]
async fn no_server_says_so() {
    let closed = crate::world::closed_address();
    let url = format!("mysql://mail:x@127.0.0.1:{}/mail", closed.port());
    let error = reach(&url, Tls::Off).connect(soon()).await.expect_err("refused");
    assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let table = Table::new().await;
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/doorbell/src/aws/amazon-trust-services.pem");
    let error = reach(table.database.url(), Tls::Verify { ca_file: other.into() }).connect(soon()).await;
    assert!(matches!(error.expect_err("refused"), StoreError::Tls(_)));
}
