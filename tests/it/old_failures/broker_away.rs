//! The broker, restarted and cut off, between messages and while one is on its way.
//!
//! The worker of old survives this one where its process ends with its connection to the broker and is started again.

use std::time::Duration;

use stack::{proxy::How, rabbitmq::Options};

use super::{
    Scene,
    broker::Broker,
    peer::{Habit, Peer},
    proxy,
    way_in::WayIn,
};

#[tokio::test]
async fn the_broker_restarts_between_messages_and_in_the_midst_of_them() {
    let scene = Scene::with(Broker::own(Options::default()).await, &[]).await;
    let way_in = scene.sendonce(1).await;
    let worker = scene.worker(Habit::OneForEver).await;
    let mut ids = vec![scene.write().await];
    scene.ring(&way_in, &worker, &ids).await;
    scene.all_sent().await;
    scene.broker.restart().await.expect("it starts again");
    // One is with SES, one is handed out or waits for its turn, when the broker is killed.
    let gate = scene.hold();
    for _ in 0..2 {
        ids.push(scene.write().await);
    }
    scene.ring(&way_in, &worker, &ids[1..]).await;
    gate.reached_by(2).await;
    scene.broker.kill().await.expect("it ran");
    gate.release();
    scene.settles(ids[1], "sent").await;
    scene.broker.restart().await.expect("it starts again");
    scene.all_sent().await;
    finish(&scene, &way_in, &worker, &ids, ids[1]).await;
}

#[tokio::test]
async fn the_way_to_the_broker_falls_silent_between_messages_and_in_the_midst_of_them() {
    let broker = Broker::own(Options::default().setting("heartbeat = 2")).await;
    let mut scene = Scene::with(broker, &[]).await;
    scene.broker_proxy = Some(proxy(scene.broker.port()).await);
    let way_in = scene.sendonce(1).await;
    let worker = scene.worker(Habit::OneForEver).await;
    let mut ids = Vec::new();
    for (is_silent, is_sending) in [(false, false), (true, false), (true, true)] {
        let way = scene.broker_proxy.as_ref().expect("it is there");
        ids.push(scene.write().await);
        let gate = is_sending.then(|| scene.hold());
        if !is_sending {
            way.blackhole(is_silent);
        }
        scene.ring(&way_in, &worker, &ids[ids.len() - 1..]).await;
        if let Some(gate) = &gate {
            gate.reached_by(2).await;
            way.blackhole(true);
            gate.release();
        }
        if is_silent {
            // Both notice, and try to come back; then the network is there again, and knows nothing of what was.
            let caught = way.totals().connections;
            while way.totals().connections < caught + 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            way.blackhole(false);
            way.cut_all(How::Reset);
        }
        scene.all_sent().await;
        worker.handled(ids.len()).await;
    }
    finish(&scene, &way_in, &worker, &ids, ids[2]).await;
}

/// The broker never heard of the acknowledgement of `caught`, and delivered that message again. Of another it may not have
/// heard either.
async fn finish(scene: &Scene, way_in: &WayIn, worker: &Peer, ids: &[u64], caught: u64) {
    way_in.invoked_for(caught, 2).await;
    way_in.invoked(ids.len() + 1).await;
    scene.each_once(ids).await;
    assert_eq!(way_in.counts().failed, 0, "{}", way_in.log());
    scene.proxy.idle().await;
    assert_eq!(scene.proxy.totals().peak_open, 1);
    // What it was given twice it found to be sent.
    while scene.old.count("status = 'queued'").await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let book = worker.book();
    assert_eq!((book.failed(), book.starts > 1), (0, true), "{book:?}");
    assert_eq!(scene.old.ses.taken().len(), ids.len());
    way_in.closed(&scene.broker).await;
}
