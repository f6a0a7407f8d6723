//! `wait_timeout`: the server closes a connection on which nothing happens.

use std::time::Duration;

use stack::ses::{Fault, Match};

use super::{
    Scene, no_error,
    peer::{Book, Habit, STARTED},
};

const IMPATIENT: [&str; 2] = ["--wait-timeout=1", "--interactive-timeout=1"];

#[tokio::test]
async fn two_seconds_of_quiet_between_messages_for_a_minute() {
    const MESSAGES: usize = 30;
    let scene = Scene::new(&IMPATIENT).await;
    let way_in = scene.sendonce(1).await;
    let aborted = scene.site.server.global_status("Aborted_clients").await.expect("status");
    let queue = scene.broker.queue().await;
    let mut ids = vec![scene.write().await];
    scene.broker.ring(&[way_in.queue(), &queue], &ids).await;
    // It finds its first message there, within the second that its connection has.
    let worker = scene.worker_at(queue, Habit::OneForEver).await;
    for serial in 1..=MESSAGES {
        if serial > 1 {
            let id = scene.write().await;
            ids.push(id);
            scene.ring(&way_in, &worker, &[id]).await;
        }
        scene.all_sent().await;
        worker.handled(serial).await;
        // Nothing is held between two messages.
        scene.connections(1, serial).await;
        // This pause is what the scenario is about.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    scene.each_once(&ids).await;
    no_error(&way_in);
    way_in.closed(&scene.broker).await;
    // The worker got one message through; at the second its connection was gone, and stayed so.
    let failed = MESSAGES - 1;
    assert_eq!(worker.book(), Book { done: 1, gone_away: failed, ..STARTED });
    assert_eq!((scene.old.ses.taken().len(), scene.old.count("status = 'queued'").await), (1, failed as u64));
    // The server gave up on one connection in all this time: the worker's.
    let now = scene.site.server.global_status("Aborted_clients").await.expect("status");
    assert_eq!(now - aborted, 1);
}

#[tokio::test]
async fn ses_is_slower_than_the_server_is_patient() {
    const MESSAGES: usize = 6;
    let scene = Scene::new(&IMPATIENT).await;
    let way_in = scene.sendonce(3).await;
    let queue = scene.broker.queue().await;
    let slow = Fault::Delay(Duration::from_millis(2_500));
    scene.site.ses.script(Match::Any, MESSAGES, slow.clone());
    scene.old.ses.script(Match::Any, MESSAGES, slow);
    let mut ids = Vec::new();
    for _ in 0..MESSAGES {
        ids.push(scene.write().await);
    }
    scene.broker.ring(&[way_in.queue(), &queue], &ids).await;
    let worker = scene.worker_at(queue, Habit::OneForEver).await;
    scene.all_sent().await;
    scene.each_once(&ids).await;
    no_error(&way_in);
    way_in.closed(&scene.broker).await;
    // One for the claim, which the server closes, and one for the record; never both at once.
    scene.proxy.idle().await;
    let totals = scene.proxy.totals();
    assert_eq!((totals.connections, totals.peak_open), (2 * MESSAGES, 3));
    let said_good_bye = scene.proxy.connections().iter().filter(|count| count.quit).count();
    assert!(said_good_bye >= MESSAGES, "{said_good_bye}");
    // The worker's first email left, and nothing says so. The others never did.
    let book = worker.handled(MESSAGES).await;
    assert_eq!(book, Book { gone_away: MESSAGES, ..STARTED });
    assert_eq!((scene.old.ses.taken().len(), scene.old.count("status = 'sent'").await), (1, 0));
}
