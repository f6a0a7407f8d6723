//! A broker that goes away and comes back.

use stack::{
    proxy::Proxy,
    rabbitmq::{Options, Rabbitmq},
};

use super::{Bridge, Function, Rabbit, bridge, doorbell, until};

/// Restarted in order, killed, and frozen, with TLS: what was published is handled, whatever happened meanwhile.
#[tokio::test]
async fn the_broker_may_be_restarted_and_killed() {
    let broker = Rabbitmq::start(Options::default().tls()).await.expect("the broker starts");
    let (rabbit, function) = (Rabbit::of(&broker), Function::good().await);
    let (classic, quorum) = (rabbit.queue("classic").await, rabbit.queue("quorum").await);
    let running = bridge(&rabbit, &format!("{classic},{quorum}"), &function)
        .with("BROKER_URL", broker.uri_tls().expect("it has TLS"))
        .with("BROKER_CA_FILE", broker.ca_file().expect("it has TLS").to_str().expect("UTF-8"))
        .start();
    running.is_well().await;
    let mut next = 0..;
    for turn in 0..3 {
        let mut ids = || next.by_ref().take(50).map(doorbell).collect::<Vec<_>>();
        let (before, after) = (ids(), ids());
        rabbit.publish(&classic, &before[..25]).await;
        rabbit.publish(&quorum, &before[25..]).await;
        if turn == 1 {
            broker.kill().await.expect("killed");
        } else {
            broker.stop().await.expect("stopped");
        }
        until("noticed", async || !running.health().await.0).await;
        broker.restart().await.expect("it starts");
        rabbit.publish(&classic, &after[..25]).await;
        rabbit.publish(&quorum, &after[25..]).await;
        function.has_seen(&before).await;
        function.has_seen(&after).await;
        until("well", async || running.health().await.0).await;
        for queue in [&classic, &quorum] {
            rabbit.has(queue, 0).await;
        }
    }
    assert!(running.log().matches("the connection was lost").count() >= 3, "{}", running.log());
    running.stop().await;
    // Another authority than the broker's: nobody is let in, and nothing is sent.
    let other = Rabbitmq::shared().await.expect("the broker starts");
    let wrong: Bridge = bridge(&Rabbit::of(other), &classic, &function)
        .with("BROKER_URL", broker.uri_tls().expect("it has TLS"));
    let wrong = wrong.start();
    wrong.says("TLS with 127.0.0.1").await;
    wrong.stop().await;
}

/// The network swallows everything, and no FIN tells.
#[tokio::test]
async fn a_connection_that_is_dead_without_a_word_is_given_up() {
    let broker = Rabbitmq::shared().await.expect("the broker starts");
    let proxy = Proxy::start(([127, 0, 0, 1], broker.port()).into()).await.expect("a port");
    let (rabbit, function) = (Rabbit::of(broker), Function::good().await);
    let queue = rabbit.queue("quorum").await;
    let through = rabbit.uri().replace(&format!(":{}/", broker.port()), &format!(":{}/", proxy.port()));
    let running =
        bridge(&rabbit, &queue, &function).with("BROKER_URL", format!("{through}?heartbeat=1")).start();
    running.is_well().await;
    rabbit.publish(&queue, &[doorbell(1)]).await;
    function.invoked(1).await;
    proxy.blackhole(true);
    running.says("the connection was lost").await;
    rabbit.publish(&queue, &[doorbell(2)]).await;
    proxy.blackhole(false);
    function.has_seen(&[doorbell(2)]).await;
    until("well", async || running.health().await.0).await;
    rabbit.has(&queue, 0).await;
    // New connections are taken, and nobody speaks on them.
    proxy.blackhole(true);
    running.says("takes connections and says nothing").await;
    rabbit.publish(&queue, &[doorbell(3)]).await;
    proxy.blackhole(false);
    function.has_seen(&[doorbell(3)]).await;
    until("well", async || running.health().await.0).await;
    rabbit.has(&queue, 0).await;
    running.stop().await;
}
