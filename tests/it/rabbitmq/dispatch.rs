//! RabbitMQ's doorbells sent without a detour.

use std::time::Duration;

use serde_json::Value;
use stack::{
    deploy::Depth,
    gate::Gate,
    proxy::{Action, How, On, Point, Proxy},
    runtime_api::{Function, Outcome},
    ses::{Fault, Match},
};

use super::{Queues, attribute, comes_again, doorbell, event, is_discreet, is_done, message, nowhere, start};
use crate::{function::Site, world::function_binary};

/// `dispatch-rabbitmq` for this site, without any queue.
fn function(site: &Site) -> Function {
    site.configured(Function::new(function_binary("dispatch-rabbitmq")))
}

/// The same, for SES that answers however busy the machine is.
fn patient(site: &Site) -> Function {
    function(site).env("SES_TIMEOUT_MS", "10000")
}

async fn emails(site: &Site, count: usize) -> Vec<u64> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(site.insert("ada@customer.example").await);
    }
    ids
}

fn doorbells(ids: &[u64]) -> Vec<Value> {
    ids.iter().map(|id| message(doorbell(*id))).collect()
}

async fn all_sent_once(site: &Site, ids: &[u64]) {
    for id in ids {
        assert_eq!((site.state(*id).await.as_str(), site.ses.times_taken(*id)), ("sent", 1), "{id}");
    }
}

#[tokio::test]
async fn a_batch_of_a_hundred_takes_one_connection_with_poison_in_the_middle() {
    let (site, queues) = (Site::new().await, Queues::new().await);
    let proxy = Proxy::start(([127, 0, 0, 1], site.server.port()).into()).await.expect("a free port");
    let url = site.database.url().replace(&site.server.port().to_string(), &proxy.port().to_string());
    let environment = start(queues.dead_letters(patient(&site)).env("DATABASE_URL", url)).await;
    let ids = emails(&site, 100).await;
    let mut first = doorbells(&ids[..60]);
    first.insert(30, message(b"\xff\xfe poison-marker"));
    let batch = event(&[("mail::/", first), ("mail.bulk::shop", doorbells(&ids[60..]))]);
    is_done(&environment, &batch).await;
    all_sent_once(&site, &ids).await;
    proxy.idle().await;
    assert_eq!((proxy.totals().connections, proxy.totals().peak_open), (1, 1));
    let letters = queues.take(&queues.dead).await;
    assert_eq!(letters.len(), 1);
    let encoded = letters[0]["Body"].as_str().expect("a body");
    assert_eq!(
        (attribute(&letters[0], "encoding").as_str(), encoded),
        ("base64", "//4gcG9pc29uLW1hcmtlcg==")
    );
    assert_eq!(
        (attribute(&letters[0], "queue"), attribute(&letters[0], "vhost")),
        ("mail".into(), "/".into())
    );
    // The same again: every row says that it is done.
    is_done(&environment, &event(&[("mail::/", doorbells(&ids))])).await;
    all_sent_once(&site, &ids).await;
    proxy.idle().await;
    assert_eq!((proxy.totals().connections, proxy.totals().peak_open), (2, 1));
    // What nobody can read needs no connection.
    is_done(&environment, &event(&[("mail::/", vec![message("poison-marker")])])).await;
    assert_eq!(proxy.totals().connections, 2);
    site.nobody_is_connected().await;
    assert_eq!(site.server.global_status("Aborted_clients").await.expect("status"), 0);
    is_discreet(&environment);
}

#[tokio::test]
async fn while_the_database_is_away_the_broker_keeps_the_event() {
    let (site, queues) = (Site::new().await, Queues::new().await);
    let environment = start(queues.dead_letters(function(&site))).await;
    let ids = emails(&site, 5).await;
    let mut messages = doorbells(&ids);
    messages.insert(2, message("poison-marker"));
    let batch = event(&[("mail::/", messages)]);
    site.server.stop().await.expect("it stops");
    comes_again(&environment, &batch).await;
    comes_again(&environment, &batch).await;
    // It comes again with the rest: put aside now, it would be put aside twice.
    assert!(queues.depth(&queues.dead).await.is_empty());
    // What holds no doorbell has nothing to wait for.
    is_done(&environment, &event(&[("mail::/", vec![message("other poison-marker")])])).await;
    assert_eq!(queues.take_reasons().await, ["body_shape"]);
    site.server.restart().await.expect("it starts");
    is_done(&environment, &batch).await;
    all_sent_once(&site, &ids).await;
    assert_eq!(queues.take_reasons().await, ["body_shape"]);
    is_discreet(&environment);
}

#[tokio::test]
async fn while_the_database_is_away_a_queue_takes_the_doorbells_over() {
    let (site, queues) = (Site::new().await, Queues::new().await);
    let function = queues
        .dead_letters(function(&site))
        .env("URGENT_QUEUE_URL", &queues.urgent)
        .env("BULK_QUEUE_URL", &queues.bulk);
    let environment = start(function).await;
    let ids = emails(&site, 5).await;
    site.server.stop().await.expect("it stops");
    let batch = event(&[("mail::/", doorbells(&ids[..3])), ("mail-bulk::/", doorbells(&ids[3..]))]);
    is_done(&environment, &batch).await;
    let (urgent, bulk) = (queues.depth(&queues.urgent).await, queues.depth(&queues.bulk).await);
    assert_eq!((urgent.delayed + urgent.visible, bulk.delayed + bulk.visible), (3, 2));
}

#[tokio::test]
async fn a_database_lost_in_mid_batch_costs_no_email_and_doubles_none() {
    let site = Site::new().await;
    let environment = start(
        function(&site)
            .env("SES_TIMEOUT_MS", "3000")
            .env("SEND_CONCURRENCY", "1")
            .timeout(Duration::from_secs(6)),
    )
    .await;
    let ids = emails(&site, 4).await;
    let gate = Gate::new();
    site.ses.script(Match::EmailId(ids[1]), 1, Fault::Gate(gate.clone()));
    let batch = event(&[("mail::/", doorbells(&ids))]);
    let flight = environment.begin(&batch);
    gate.reached_by(1).await;
    site.server.stop().await.expect("it stops");
    gate.release();
    let outcome = flight.outcome().await.outcome;
    assert!(matches!(outcome, Outcome::Error { .. }), "{outcome:?}: {}", environment.log_text());
    site.server.restart().await.expect("it starts");
    is_done(&environment, &batch).await;
    for id in &ids {
        assert_eq!(site.ses.times_taken(*id), 1, "{id}");
    }
    all_sent_once(&site, &[ids[0], ids[2], ids[3]]).await;
    // SES took it and nobody could write that down: its Send event will.
    assert_eq!(site.state(ids[1]).await, "sending");
    is_discreet(&environment);
}

#[tokio::test]
async fn a_queue_service_that_is_away_makes_the_event_come_again() {
    let site = Site::new().await;
    let away = nowhere();
    let function = function(&site)
        .env("URGENT_QUEUE_URL", format!("{away}/000000000000/urgent"))
        .env("AWS_ENDPOINT_URL_SQS", &away)
        .env("DEAD_LETTER_QUEUE_URL", format!("{away}/000000000000/dead"))
        .timeout(Duration::from_secs(12));
    let environment = start(function).await;
    let ids = emails(&site, 2).await;
    // No such row: it would have to be rung for again.
    let batch = event(&[("mail::/", doorbells(&[ids[0], 4711, ids[1]]))]);
    comes_again(&environment, &batch).await;
    all_sent_once(&site, &ids).await;
    // Poison alone is dropped, and the log says which.
    is_done(&environment, &event(&[("mail::/", vec![message("poison-marker"), message("poison-marker")])]))
        .await;
    let log = environment.log_text();
    assert_eq!(log.matches("doorbell.dropped").count(), 2, "{log}");
    assert!(log.contains("dead_letter_queue_unreachable") && log.contains("\"queue\":\"mail\""), "{log}");
    is_discreet(&environment);
}

#[tokio::test]
async fn a_doorbell_that_could_not_be_dealt_with_rings_through_the_queue() {
    let (site, queues) = (Site::new().await, Queues::new().await);
    let proxy = Proxy::start(([127, 0, 0, 1], queues.ministack.port()).into()).await.expect("a free port");
    // The call that rings again for a row that is not there, and the SDK's own repetitions of it.
    for connection in 0..3 {
        proxy.script(On::Nth(connection), Point::Request(0), Action::Cut(How::Reset));
    }
    let function = queues
        .dead_letters(function(&site))
        .env("URGENT_QUEUE_URL", &queues.urgent)
        .env("AWS_ENDPOINT_URL_SQS", format!("http://127.0.0.1:{}", proxy.port()));
    let environment = start(function).await;
    let id = site.insert("ada@customer.example").await;
    is_done(&environment, &event(&[("mail::/", doorbells(&[4711, id]))])).await;
    all_sent_once(&site, &[id]).await;
    assert!(environment.log_text().contains("doorbell.not_rung"), "{}", environment.log_text());
    assert_eq!(queues.depth(&queues.urgent).await, Depth { delayed: 1, ..Depth::default() });
}

#[tokio::test]
async fn a_body_of_ten_megabytes_is_one_of_many() {
    let (site, queues) = (Site::new().await, Queues::new().await);
    let environment = start(queues.dead_letters(function(&site))).await;
    let ids = emails(&site, 3).await;
    let large = format!("{{\"email_id\":{},\"pad\":\"{}\"}}", ids[1], "x".repeat(10_000_000));
    let mut messages = doorbells(&ids);
    messages[1] = message(large);
    messages.push(message(vec![0xff; 10_000_000]));
    is_done(&environment, &event(&[("mail::/", messages)])).await;
    all_sent_once(&site, &ids).await;
    let letters = queues.take(&queues.dead).await;
    assert_eq!((letters.len(), attribute(&letters[0], "cut")), (1, "true".to_owned()));
    is_discreet(&environment);
}
