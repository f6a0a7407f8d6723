//! The function's time-out never cuts a send that began in time, and what cannot be finished is not begun.

use std::time::Duration;

use stack::{
    gate::Gate,
    runtime_api::Outcome,
    ses::{Fault, Match},
};

use super::{Site, all_done, event};

#[tokio::test]
async fn a_batch_that_is_short_of_time_gives_the_rest_back() {
    let site = Site::new().await;
    let function = site
        .function()
        .env("SES_TIMEOUT_MS", "1000")
        .env("SEND_CONCURRENCY", "4")
        .timeout(Duration::from_secs(6));
    let environment = site.start(function).await;
    site.ses.script(Match::Any, 100, Fault::Delay(Duration::from_millis(800)));
    let mut bodies = Vec::new();
    for _ in 0..40 {
        bodies.push(site.insert("ada@customer.example").await.to_string());
    }
    // Two seconds are kept for the records, one for the good-bye: a few rounds of four begin, and never ten.
    let response = environment.invoke(&event(&bodies)).await.response();
    assert_eq!(response, all_done());
    let (mut sent, mut pending) = (0, 0);
    for body in &bodies {
        let id = body.parse().expect("an id");
        match site.state(id).await.as_str() {
            "sent" => {
                sent += 1;
                assert_eq!(site.ses.times_taken(id), 1);
            }
            "pending" => {
                pending += 1;
                assert_eq!(site.ses.requests_for(id).len(), 0, "it was given back unsent");
            }
            other => panic!("{other}: it was begun and not finished"),
        }
    }
    assert!(sent >= 4 && pending >= 4, "{sent} sent, {pending} given back");
    let attempts = site.database.admin().query_scalar_u64("SELECT SUM(attempts) FROM email").await;
    assert_eq!(attempts.expect("read"), sent, "what was given back cost no attempt");
    site.nobody_is_connected().await;
}

#[tokio::test]
async fn a_call_is_given_up_before_the_function_is() {
    let site = Site::new().await;
    // A time-out of SES that no invocation could outlast.
    let functions = [3, 4, 6]
        .map(|seconds| site.function().env("SES_TIMEOUT_MS", "60000").timeout(Duration::from_secs(seconds)));
    site.ses.script(Match::Any, 3, Fault::HangForever { taken: true });
    let mut flights = Vec::new();
    for function in functions {
        let environment = site.start(function).await;
        let id = site.insert("ada@customer.example").await;
        let flight = environment.begin(&event(&[id.to_string()]));
        flights.push((id, environment, flight));
    }
    for (id, environment, flight) in flights {
        let outcome = flight.outcome().await.outcome;
        assert!(matches!(outcome, Outcome::Response(_)), "{outcome:?}: {}", environment.log_text());
        assert_eq!((site.state(id).await.as_str(), site.ses.requests_for(id).len()), ("unknown", 1));
    }
    site.nobody_is_connected().await;
    assert_eq!(site.server.global_status("Aborted_clients").await.expect("status"), 0);
}

#[tokio::test]
async fn a_lease_outlives_the_function_by_half_a_minute() {
    let site = Site::new().await;
    let environment = site.start(site.function().timeout(Duration::from_secs(20))).await;
    let id = site.insert("ada@customer.example").await;
    let gate = Gate::new();
    site.ses.script(Match::Any, 1, Fault::GateAnswer(gate.clone()));
    let flight = environment.begin(&event(&[id.to_string()]));
    gate.reached().await;
    // Only a process that is gone, or was frozen for so long, may lose its row.
    let lease = "SELECT TIMESTAMPDIFF(SECOND, state_at, lease_until) FROM email WHERE state = 'sending'";
    let lease = site.database.admin().query_scalar_u64(lease).await.expect("it is sending");
    assert!(lease >= 20 + 30, "{lease} s");
    gate.release();
    assert_eq!(flight.outcome().await.response(), all_done());
}
