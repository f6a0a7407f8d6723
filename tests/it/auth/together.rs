//! Several that connect at the same time, and what each way of logging in costs.

use std::{sync::Arc, time::Duration};

use doorbell::aws::AwsAccess;
use futures_util::future::join_all;
use outbox::{
    credentials::{Secret, SecretArn, Tokens},
    state::AttemptId,
    store::{Carries, ClaimRequest, Database, DatabaseConfig, Record, StoreError, Tls, Verdict},
};
use stack::{
    database::{Flavor, PASSWORD, USER},
    gate::Gate,
    proxy::Proxy,
    rds::Rds,
    secrets::{Fault, Secrets},
};

use super::{REGION, login};
use crate::world::{Table, flavor, soon};

fn access() -> AwsAccess {
    let credentials = aws_credential_types::Credentials::new("key", "secret", None, None, "test");
    AwsAccess::new(REGION, credentials, None).expect("the embedded roots")
}

fn at(port: u16, table: &Table, user: &str, carries: Carries, ca_file: &std::path::Path) -> DatabaseConfig {
    let url = format!("mysql://{user}127.0.0.1:{port}/{}", table.database.name());
    let tls = Tls::Verify { ca_file: ca_file.to_owned() };
    DatabaseConfig::parse_carrying(&url, carries, tls).expect("the URL is right")
}

/// A database with a login from this secret, at this port.
fn with_secret(table: &Table, port: u16, secrets: &Secrets, arn: &str) -> Database {
    let arn = SecretArn::parse(arn).expect("an ARN");
    let secret = Secret::new(&access(), Some(&secrets.endpoint()), arn);
    let config = at(port, table, "", Carries::Nobody, table.server.ca_file());
    Database::new(config).logging_in_from(Arc::new(secret))
}

#[tokio::test]
async fn whoever_connects_at_the_same_time_shares_one_answer() {
    let table = Table::new().await;
    let secrets = Secrets::start().await.expect("a free port");
    let arn = secrets.put("together", &login(USER, PASSWORD));
    // Known, unknown: the answer is everybody's, whatever it is.
    for (deleted, asked) in [(false, 1), (true, 2)] {
        let database = with_secret(&table, table.server.port(), &secrets, &arn);
        let gate = Gate::new();
        secrets.set_fault(Some(Fault::Gate(gate.clone())));
        if deleted {
            secrets.delete("together");
        }
        // The eight have all asked before the first is answered: they are polled in turn, and this comes last.
        let connects = join_all((0..8).map(|_| database.connect(soon())));
        let answer = async {
            gate.reached().await;
            gate.release();
        };
        let (sessions, ()) = tokio::join!(connects, answer);
        for session in sessions {
            match session {
                Ok(session) if !deleted => session.close().await,
                Err(StoreError::NoLogin(error)) if deleted => {
                    assert!(error.to_string().contains("ResourceNotFoundException"), "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(secrets.asked(), asked, "deleted: {deleted}");
    }
}

#[tokio::test]
async fn whoever_is_refused_at_the_same_time_shares_the_new_password() {
    let table = Table::new().await;
    let secrets = Secrets::start().await.expect("a free port");
    let arn = secrets.put("turn", &login(USER, "old"));
    let database = with_secret(&table, table.server.port(), &secrets, &arn);
    let error = database.connect(soon()).await.expect_err("the password is wrong");
    assert!(matches!(error, StoreError::AccessDenied { code: 1045 }), "{error:?}");
    // Once to learn it, once more because it was refused.
    assert_eq!(secrets.asked(), 2);
    secrets.put("turn", &login(USER, PASSWORD));
    for session in join_all((0..8).map(|_| database.connect(soon()))).await {
        session.unwrap_or_else(|error| panic!("{error:?}")).close().await;
    }
    assert_eq!(secrets.asked(), 3);
}

/// One email over one connection, as the hot path does it: how often a packet was waited for.
async fn round_trips(table: &Table, proxy: &Proxy, database: &Database) -> usize {
    let id = table.insert(&[]).await;
    let attempt = AttemptId::new(1, id.into());
    let mut session = database.connect(soon()).await.unwrap_or_else(|error| panic!("{error:?}"));
    let claim =
        ClaimRequest { id, attempt: &attempt, lease: Duration::from_mins(1), pace: None, probe: false };
    session.claim(claim, soon()).await.expect("claimed");
    let verdict = Verdict::Accepted { message_id: "0102" };
    session.record(Record { id, attempt: &attempt, verdict, lane: None }, soon()).await.expect("recorded");
    session.close().await;
    proxy.idle().await;
    assert_eq!(table.state(id).await, "sent");
    let round_trips = proxy.connections().iter().map(|connection| connection.round_trips).sum();
    proxy.reset();
    round_trips
}

#[tokio::test]
async fn a_secret_costs_no_round_trip_and_a_token_one() {
    let table = Table::new().await;
    let secrets = Secrets::start().await.expect("a free port");
    let arn = secrets.put("cost", &login(USER, PASSWORD));
    let proxy = Proxy::start(([127, 0, 0, 1], table.server.port()).into()).await.expect("a free port");
    let database = with_secret(&table, proxy.port(), &secrets, &arn);
    let expected = match flavor() {
        Flavor::MariaDb => 4,
        Flavor::MySql => 5,
    };
    for _ in 0..2 {
        assert_eq!(round_trips(&table, &proxy, &database).await, expected, "TLS, log in, claim, record");
    }

    let admin = table.server.admin();
    let user = format!("token_{}", table.database.name());
    for sql in [
        format!("CREATE USER '{user}'@'%'"),
        format!("GRANT ALL ON `{}`.* TO '{user}'@'%'", table.database.name()),
    ] {
        admin.execute(&sql).await.expect("made");
    }
    let rds = Rds::before(table.server.port()).await.expect("a free port");
    let proxy = Proxy::start(([127, 0, 0, 1], rds.port()).into()).await.expect("a free port");
    let config = at(proxy.port(), &table, &format!("{user}@"), Carries::User, rds.ca_file());
    let tokens = Tokens::new(access(), &config);
    let database = Database::new(config).telling_in_clear_from(Arc::new(tokens)).expect("over TLS");
    for _ in 0..2 {
        let counted = round_trips(&table, &proxy, &database).await;
        assert_eq!(counted, 5, "TLS, log in, the token, claim, record");
    }
    // One for each connect.
    assert_eq!(rds.told().len(), 2);
}
