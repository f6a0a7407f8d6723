//! `max_connections` as low as the server honours it, and two hundred messages at once.

use super::{
    Scene, no_error,
    peer::{Book, Habit, STARTED},
};

const MESSAGES: usize = 200;
/// MariaDB honours nothing below.
const LIMIT: usize = 10;

async fn scene() -> (Scene, Vec<u64>) {
    let scene = Scene::new(&[&format!("--max-connections={LIMIT}")]).await;
    let mut ids = Vec::new();
    for _ in 0..MESSAGES {
        ids.push(scene.write().await);
    }
    (scene, ids)
}

#[tokio::test]
async fn two_hundred_at_once_take_as_many_connections_as_are_configured() {
    // The server counts a connection for a moment longer than it is there, so there must be room for some more.
    const CONCURRENCY: usize = 3;
    let (scene, ids) = scene().await;
    let way_in = scene.sendonce(CONCURRENCY).await;
    scene.broker.ring(&[way_in.queue()], &ids).await;
    scene.all_sent().await;
    scene.each_once(&ids).await;
    no_error(&way_in);
    way_in.closed(&scene.broker).await;
    scene.connections(CONCURRENCY, MESSAGES).await;
    let status = async |name| scene.site.server.global_status(name).await.expect("status");
    assert_eq!((status("Aborted_clients").await, status("Connection_errors_max_connections").await), (0, 0));
    // The worker of old, once it no longer trusted a connection that was open for long: as many messages as there are
    // connections, and then none.
    let worker = scene.worker(Habit::OneAMessage).await;
    scene.broker.ring(&[worker.queue()], &ids).await;
    let book = worker.handled(MESSAGES).await;
    assert_eq!(book, Book { done: LIMIT, too_many: MESSAGES - LIMIT, ..STARTED });
    // It holds them all for as long as it runs.
    assert!(scene.old.proxy.totals().open >= LIMIT);
    drop(worker);
    scene.old.proxy.idle().await;
    assert_eq!(scene.old.count("status = 'queued'").await, (MESSAGES - LIMIT) as u64);
}

#[tokio::test]
async fn more_invocations_than_the_server_has_connections_cost_no_attempt() {
    const CONCURRENCY: usize = 16;
    let (scene, ids) = scene().await;
    let way_in = scene.sendonce(CONCURRENCY).await;
    scene.broker.ring(&[way_in.queue()], &ids).await;
    scene.all_sent().await;
    scene.each_once(&ids).await;
    scene.proxy.idle().await;
    let totals = scene.proxy.totals();
    assert!(totals.peak_open <= CONCURRENCY, "{totals:?}");
    // It happened: otherwise this would prove nothing.
    let refused = scene.site.server.global_status("Connection_errors_max_connections").await.expect("status");
    assert!(refused > 0);
    let log = way_in.log();
    assert!(log.contains("database_too_many_connections"), "{log}");
    assert!(way_in.counts().failed > 0);
    way_in.closed(&scene.broker).await;
    assert_eq!(scene.site.server.global_status("Aborted_clients").await.expect("status"), 0);
}
