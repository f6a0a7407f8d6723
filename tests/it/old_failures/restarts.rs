//! The database, restarted between messages and while one is on its way.

use stack::{
    gate::Gate,
    proxy::{Action, How, On, Point},
};

use super::{
    CLAIM, Scene, no_error,
    peer::{Book, Habit, STARTED},
};

#[derive(Clone, Copy, Debug)]
enum End {
    Orderly,
    Killed,
}

impl Scene {
    async fn take_down(&self, end: End) {
        let ended = match end {
            End::Orderly => self.site.server.stop().await,
            End::Killed => self.site.server.kill().await,
        };
        ended.expect("it ran");
    }

    async fn bring_up(&self) {
        self.site.server.restart().await.expect("it starts again");
    }
}

#[tokio::test]
async fn the_database_restarts_between_messages() {
    let scene = Scene::new(&[]).await;
    let way_in = scene.sendonce(1).await;
    let worker = scene.worker(Habit::OneForEver).await;
    let mut ids = Vec::new();
    for (serial, end) in (1..).zip([None, Some(End::Orderly), Some(End::Killed)]) {
        if let Some(end) = end {
            scene.take_down(end).await;
            scene.bring_up().await;
        }
        let id = scene.write().await;
        ids.push(id);
        scene.ring(&way_in, &worker, &[id]).await;
        scene.all_sent().await;
        worker.handled(serial).await;
        scene.connections(1, serial).await;
    }
    scene.each_once(&ids).await;
    no_error(&way_in);
    assert_eq!(worker.book(), Book { done: 1, gone_away: 2, ..STARTED });
    // A message that comes while it is down waits for it.
    scene.take_down(End::Killed).await;
    scene.bring_up().await;
    let id = scene.write().await;
    ids.push(id);
    scene.take_down(End::Orderly).await;
    scene.broker.ring(&[way_in.queue()], &[id]).await;
    way_in.failed(1).await;
    scene.bring_up().await;
    scene.all_sent().await;
    scene.each_once(&ids).await;
    way_in.closed(&scene.broker).await;
}

#[tokio::test]
async fn the_database_restarts_while_an_email_is_with_ses() {
    let scene = Scene::new(&[]).await;
    let way_in = scene.sendonce(1).await;
    let mut ids = Vec::new();
    for end in [End::Orderly, End::Killed] {
        // Somebody has started it again.
        let worker = scene.worker(Habit::OneForEver).await;
        let gate = scene.hold();
        let id = scene.write().await;
        ids.push(id);
        scene.ring(&way_in, &worker, &[id]).await;
        gate.reached_by(2).await;
        scene.take_down(end).await;
        // SES answers while nobody can write it down.
        gate.release();
        let book = worker.handled(1).await;
        assert_eq!(book, Book { gone_away: 1, ..STARTED }, "{end:?}");
        scene.bring_up().await;
        scene.all_sent().await;
        assert_eq!(
            (scene.old.ses.times_taken(id), scene.old.count("status = 'sent'").await),
            (1, 0),
            "{end:?}"
        );
        scene.proxy.idle().await;
    }
    scene.each_once(&ids).await;
    no_error(&way_in);
    assert_eq!(scene.proxy.totals().peak_open, 1);
    way_in.closed(&scene.broker).await;
}

#[tokio::test]
async fn the_database_dies_over_a_claim() {
    let scene = Scene::new(&[]).await;
    let way_in = scene.sendonce(1).await;
    // Before the claim has arrived: it was never made.
    let first = scene.write().await;
    let gate = scene.proxy.hold(CLAIM);
    scene.broker.ring(&[way_in.queue()], &[first]).await;
    gate.reached().await;
    scene.take_down(End::Killed).await;
    way_in.failed(1).await;
    gate.release();
    scene.bring_up().await;
    scene.all_sent().await;
    // It was made, and its answer never came: it is taken back. Its doorbell may come before the row is due again, and
    // there is no queue in which it could wait: then the sweep finds the row.
    let second = scene.write().await;
    let gate = Gate::new();
    scene.proxy.script(On::Next, Point::Answer(CLAIM), Action::Hold(gate.clone()));
    scene.broker.ring(&[way_in.queue()], &[second]).await;
    gate.reached().await;
    scene.take_down(End::Killed).await;
    scene.bring_up().await;
    scene.proxy.cut_all(How::Reset);
    scene.settles(second, "pending").await;
    scene.sweep().await;
    scene.all_sent().await;
    // The second's doorbell comes all the same, sooner or later, and finds nothing to do.
    way_in.succeeded(2).await;
    scene.each_once(&[first, second]).await;
    scene.proxy.idle().await;
    scene.site.nobody_is_connected().await;
    way_in.closed(&scene.broker).await;
}
