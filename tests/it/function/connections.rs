//! One connection an invocation, always closed; one request to SES, never a second one.

use serde_json::json;
use stack::{
    gate::Gate,
    proxy::Proxy,
    ses::{Fault, Match, SesError},
};

use super::{Site, all_done, event, ring};

#[tokio::test]
async fn whatever_happens_the_connection_is_closed_properly() {
    let site = Site::new().await;
    let environment = site.start(site.function()).await;
    let aborted = site.server.global_status("Aborted_clients").await.expect("status");
    let before = site.server.connections_made().await.expect("status");
    let mut ids = Vec::new();
    for serial in 0..5 {
        ids.push(site.insert(&format!("recipient-marker{serial}@customer.example")).await);
    }
    let [sent, rejected, doubtful, slow, invalid] = ids[..] else { unreachable!("five") };
    site.ses.script(Match::EmailId(rejected), 1, Fault::Refuse(SesError::MessageRejected));
    site.ses.script(Match::EmailId(doubtful), 1, Fault::CloseAfterRead { taken: true });
    site.ses.script(Match::EmailId(slow), 1, Fault::HangForever { taken: true });
    let sql = format!("UPDATE email SET to_addresses = JSON_ARRAY('recipient-marker') WHERE id = {invalid}");
    site.database.admin().execute(&sql).await.expect("changed");
    for (id, state) in
        [(sent, "sent"), (rejected, "failed"), (doubtful, "unknown"), (slow, "unknown"), (invalid, "failed")]
    {
        assert_eq!(ring(&environment, id).await, all_done(), "{state}");
        assert_eq!(site.state(id).await, state);
        site.nobody_is_connected().await;
        assert_eq!(site.ses.requests_for(id).len(), usize::from(id != invalid), "{state}");
    }
    assert_eq!(site.server.connections_made().await.expect("status") - before, 5);
    // An event with nothing to read opens none.
    let poison = event(&["poison body-marker".to_owned()]);
    let response = environment.invoke(&poison).await.response();
    assert_eq!(response, json!({"batchItemFailures": [{"itemIdentifier": "message-0"}]}));
    assert_eq!(site.server.connections_made().await.expect("status") - before, 5);
    assert_eq!(site.server.global_status("Aborted_clients").await.expect("status"), aborted);
    // Nothing personal and nothing secret is logged, at debug level, of any of this.
    let log = environment.log_text();
    assert!(log.contains("email.sent") && log.contains("\"email_id\""), "{log}");
    let url = site.database.url();
    let password = url.split(['/', '@', ':']).nth(4).expect("a password");
    assert!(password.len() > 3, "{url}");
    for secret in ["marker", "Marker", "customer.example", "shop.example", "aws-secret", "AKID", password] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test]
async fn with_tls_it_is_the_same() {
    let site = Site::new().await;
    let function = site
        .function()
        .env("DATABASE_TLS", "verify")
        .env("DATABASE_CA_FILE", site.server.ca_file().to_string_lossy());
    let environment = site.start(function).await;
    let id = site.insert("ada@customer.example").await;
    assert_eq!(ring(&environment, id).await, all_done());
    assert_eq!(site.state(id).await, "sent");
    site.nobody_is_connected().await;
    assert_eq!(site.server.global_status("Aborted_clients").await.expect("status"), 0);
}

#[tokio::test]
async fn a_batch_takes_one_connection_and_a_broken_one_is_replaced() {
    let site = Site::new().await;
    let proxy = Proxy::start(([127, 0, 0, 1], site.server.port()).into()).await.expect("a free port");
    let url = site.database.url().replace(&site.server.port().to_string(), &proxy.port().to_string());
    let function = site.function().env("DATABASE_URL", &url).env("SEND_CONCURRENCY", "1");
    let environment = site.start(function).await;
    let before = site.server.connections_made().await.expect("status");
    // Flight 2 is the record of the first email, and flight 3 the claim of the second.
    for (broken, connections) in [(false, 1), (true, 2)] {
        proxy.reset();
        if broken {
            proxy.lose_answer(2);
        }
        let mut bodies = Vec::new();
        for _ in 0..4 {
            bodies.push(site.insert("ada@customer.example").await.to_string());
        }
        assert_eq!(environment.invoke(&event(&bodies)).await.response(), all_done());
        proxy.idle().await;
        assert_eq!((proxy.totals().connections, proxy.totals().peak_open), (connections, 1), "{broken}");
        for body in bodies {
            let id = body.parse().expect("an id");
            assert_eq!((site.state(id).await.as_str(), site.ses.times_taken(id)), ("sent", 1), "{broken}");
        }
    }
    assert_eq!(site.server.connections_made().await.expect("status") - before, 3);
    site.nobody_is_connected().await;
}

#[tokio::test]
async fn three_environments_hold_three_connections_at_most() {
    let site = Site::new().await;
    let proxy = Proxy::start(([127, 0, 0, 1], site.server.port()).into()).await.expect("a free port");
    let url = site.database.url().replace(&site.server.port().to_string(), &proxy.port().to_string());
    let mut environments = Vec::new();
    for _ in 0..3 {
        environments.push(site.start(site.function().env("DATABASE_URL", &url)).await);
    }
    let gate = Gate::new();
    site.ses.script(Match::Any, 12, Fault::Gate(gate.clone()));
    let mut bodies = Vec::new();
    for _ in 0..12 {
        bodies.push(site.insert("ada@customer.example").await.to_string());
    }
    // The same twelve doorbells for each of the three: every email is sent once all the same.
    let batch = event(&bodies);
    let flights: Vec<_> = environments.iter().map(|environment| environment.begin(&batch)).collect();
    gate.reached_by(3).await;
    gate.release();
    for flight in flights {
        let _ = flight.outcome().await.response();
    }
    proxy.idle().await;
    assert_eq!((proxy.totals().peak_open, proxy.totals().connections), (3, 3));
    let sent =
        site.database.admin().query_scalar_u64("SELECT COUNT(*) FROM email WHERE state = 'sent'").await;
    assert_eq!(sent.expect("read"), 12);
    assert_eq!(site.ses.taken().len(), 12);
}

#[tokio::test]
async fn a_connection_to_ses_that_died_while_frozen_costs_nothing() {
    let site = Site::new().await;
    let environment = site.start(site.function().freeze_between()).await;
    for _ in 0..4 {
        let id = site.insert("ada@customer.example").await;
        assert_eq!(ring(&environment, id).await, all_done());
        assert_eq!(site.state(id).await, "sent");
        // SES hangs up while the process is frozen; it sees that when it thaws.
        site.ses.close_idle();
    }
    assert_eq!((site.ses.request_count(), site.ses.taken().len()), (4, 4));
}
