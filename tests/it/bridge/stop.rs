//! Stopped, and killed.

use rustix::process::Signal;
use stack::gate::Gate;

use super::{Function, Rabbit, bridge, doorbell, function::Answer};

/// A function that waits with the first event.
async fn waiting(gate: &Gate) -> Function {
    let gate = gate.clone();
    Function::new(move |number, _| if number == 0 { Answer::Waits(gate.clone()) } else { Answer::Done }).await
}

#[tokio::test]
async fn told_to_stop_it_finishes_what_is_under_way_and_gives_the_rest_back() {
    let (rabbit, gate) = (Rabbit::shared().await, Gate::new());
    let (queue, function) = (rabbit.queue("quorum").await, waiting(&gate).await);
    let bodies: Vec<_> = (1..=30).map(doorbell).collect();
    rabbit.publish(&queue, &bodies).await;
    let settings = bridge(&rabbit, &queue, &function).with("BATCH_SIZE", "10").with("INVOCATIONS", "1");
    // The first batch is a whole one, however slowly the messages arrive.
    let settings = settings.with("BATCH_WINDOW_MS", "1000");
    let mut running = settings.start();
    gate.reached_by(1).await;
    running.tell(Signal::TERM);
    // What nobody has begun with is there for others, before the rest is over.
    rabbit.has(&queue, 20).await;
    gate.release();
    assert_eq!(running.ends().await.code(), Some(0), "{}", running.log());
    rabbit.has(&queue, 20).await;
    let second = settings.start();
    function.has_seen(&bodies).await;
    rabbit.has(&queue, 0).await;
    assert!(function.times().values().all(|times| *times == 1), "{:?}", function.times());
    second.stop().await;
}

#[tokio::test]
async fn a_second_signal_and_a_time_limit_end_it_and_nothing_is_lost() {
    let (rabbit, gate) = (Rabbit::shared().await, Gate::new());
    let queue = rabbit.queue("classic").await;
    let function = Function::new({
        let gate = gate.clone();
        move |_, _| Answer::Waits(gate.clone())
    })
    .await;
    rabbit.publish(&queue, &[doorbell(1)]).await;
    let mut running = bridge(&rabbit, &queue, &function).start();
    gate.reached_by(1).await;
    running.tell(Signal::INT);
    running.says("stopping").await;
    running.tell(Signal::TERM);
    assert_eq!(running.ends().await.code(), Some(130));
    rabbit.has(&queue, 1).await;
    let mut running = bridge(&rabbit, &queue, &function).with("STOP_TIMEOUT_S", "1").start();
    gate.reached_by(2).await;
    running.tell(Signal::TERM);
    assert_eq!(running.ends().await.code(), Some(0));
    let log = running.log();
    let too_long = log.lines().find(|line| line.contains("not all was over in time")).expect("it says so");
    assert!(too_long.contains("\"in_flight\":1"), "{too_long}");
    rabbit.has(&queue, 1).await;
}

#[tokio::test]
async fn killed_in_mid_flight_it_loses_nothing() {
    let (rabbit, gate) = (Rabbit::shared().await, Gate::new());
    let (queue, function) = (rabbit.queue("quorum").await, waiting(&gate).await);
    let bodies: Vec<_> = (1..=30).map(doorbell).collect();
    rabbit.publish(&queue, &bodies).await;
    let settings = bridge(&rabbit, &queue, &function).with("BATCH_SIZE", "10");
    let mut running = settings.start();
    gate.reached_by(1).await;
    running.tell(Signal::KILL);
    assert_eq!(running.ends().await.code(), None);
    let second = settings.start();
    function.has_seen(&bodies).await;
    rabbit.has(&queue, 0).await;
    // That it came before is no try of the message's.
    assert_eq!(rabbit.depth(&format!("{queue}.dead")).await, Some(0));
    second.stop().await;
}
