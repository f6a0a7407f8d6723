//! What is wrong when it starts: said once, in a sentence that names it, and got over when it is put right.

use std::net::TcpListener;

use stack::rabbitmq::{PASSWORD, Rabbitmq, USER};

use super::{Function, Rabbit, bridge, doorbell, until};
use crate::world::closed_address;

#[tokio::test]
async fn a_queue_that_is_not_there_holds_up_no_other_and_is_served_when_it_comes() {
    let rabbit = Rabbit::shared().await;
    let (good, missing, function) = (rabbit.queue("classic").await, Rabbit::name(), Function::good().await);
    let running = bridge(&rabbit, &format!("{missing},{good}"), &function).start();
    rabbit.publish(&good, &[doorbell(1)]).await;
    function.invoked(1).await;
    running.says(&format!("queue {missing} is not there in virtual host /")).await;
    let (well, health) = running.health().await;
    assert!(!well, "{health}");
    assert_eq!(health["queues"][&good], "ok");
    assert!(
        health["queues"][&missing].as_str().is_some_and(|reason| reason.contains("not there")),
        "{health}"
    );
    // A bridge never makes it: that would hide a typo.
    assert_eq!(rabbit.depth(&missing).await, None);
    assert_eq!(rabbit.depth(&format!("{missing}.dead")).await, None);
    rabbit.declare(&missing, "quorum").await;
    rabbit.publish(&missing, &[doorbell(2)]).await;
    function.has_seen(&[doorbell(2)]).await;
    until("well", async || running.health().await.0).await;
    assert_eq!(running.log().matches("queue.broken").count(), 1, "said once: {}", running.log());
    // Gone while it is served.
    rabbit.delete(&missing).await;
    until("noticed", async || !running.health().await.0).await;
    rabbit.publish(&good, &[doorbell(3)]).await;
    function.has_seen(&[doorbell(3)]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_broker_that_lets_nobody_in_is_named_and_tried_again() {
    let broker = Rabbitmq::shared().await.expect("the broker starts");
    let (rabbit, function) = (Rabbit::of(broker), Function::good().await);
    let queue = rabbit.queue("classic").await;
    let nobody = closed_address();
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = silent.local_addr().map(|address| (silent, address)).expect("bound");
    let cases = [
        (broker.uri_of(USER, "body-marker", "/"), "refuses user or password"),
        (broker.uri_of("nobody", PASSWORD, "/"), "refuses user or password"),
        (broker.uri_of(USER, PASSWORD, "nowhere"), "virtual host nowhere is not there"),
        (format!("amqp://{USER}:{PASSWORD}@{nobody}/%2f"), "refuses the connection"),
        (format!("amqp://{USER}:{PASSWORD}@{}/%2f", silent.1), "takes connections and says nothing"),
        (broker.uri().replace("amqp:", "amqps:"), "TLS with 127.0.0.1"),
    ];
    for (uri, sentence) in cases {
        // What speaks no TLS hangs up in one of two ways, and each is said once.
        let reasons = if uri.starts_with("amqps:") { 1..=2 } else { 1..=1 };
        let running = bridge(&rabbit, &queue, &function).with("BROKER_URL", uri).start();
        running.says(sentence).await;
        let (well, health) = running.health().await;
        assert!(
            !well && health["broker"].as_str().is_some_and(|reason| reason.contains(sentence)),
            "{health}"
        );
        assert!(!running.log().contains("nobody:") && !health.to_string().contains(USER), "{health}");
        let log = running.log();
        assert!(reasons.contains(&log.matches("broker.away").count()), "{log}");
        assert!(log.contains(&format!("\"queues\":\"{queue}\"")), "{log}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_wrong_configuration_ends_it_at_once() {
    let (rabbit, function) = (Rabbit::shared().await, Function::good().await);
    let mut running = bridge(&rabbit, " , ", &function).with("MAX_TRIES", "many").start();
    assert_eq!(running.ends().await.code(), Some(2));
    let log = running.log();
    assert!(log.contains("QUEUES must") && log.contains("MAX_TRIES must"), "{log}");
}

#[tokio::test]
async fn a_bridge_that_may_not_declare_looks_for_its_queues() {
    let rabbit = Rabbit::shared().await;
    let (queue, function) = (rabbit.queue("classic").await, Function::good().await);
    let running = bridge(&rabbit, &queue, &function).with("DECLARE", "no").start();
    running.says(&format!("queue {queue}.retry.1s is not there")).await;
    assert_eq!(rabbit.depth(&format!("{queue}.retry.1s")).await, None);
    rabbit.declare(&format!("{queue}.retry.1s"), "classic").await;
    rabbit.declare(&format!("{queue}.dead"), "classic").await;
    running.is_well().await;
    running.stop().await;
    // There with other arguments than it would give them.
    let running = bridge(&rabbit, &queue, &function).start();
    running.says(&format!("queue {queue}.retry.1s is there with other arguments")).await;
    running.stop().await;
}

#[tokio::test]
async fn check_says_what_is_wrong_and_changes_nothing() {
    let rabbit = Rabbit::shared().await;
    let (queue, function) = (rabbit.queue("classic").await, Function::good().await);
    let settings = bridge(&rabbit, &queue, &function);
    let (code, said) = settings.check().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("function relay may be invoked") && said.contains("will be declared"), "{said}");
    assert_eq!(rabbit.depth(&format!("{queue}.dead")).await, None);
    assert_eq!(function.events().len(), 0, "nothing was invoked");
    let nowhere = closed_address();
    let wrong = settings
        .with("QUEUES", "nobody-made-it")
        .with("AWS_ENDPOINT_URL_LAMBDA", format!("http://{nowhere}"));
    let (code, said) = wrong.check().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("WRONG queue nobody-made-it is not there") && said.contains("unreachable"),
        "{said}"
    );
    assert!(!said.contains(PASSWORD));
}
