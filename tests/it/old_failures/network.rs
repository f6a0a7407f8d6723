//! The network, gone without a word: nothing is closed, nothing is refused, nothing answers.

use std::time::Duration;

use stack::proxy::{Action, Closed, How, On, Point};

use super::{
    CLAIM, RECORD, Scene,
    peer::{Book, Habit, STARTED},
};

#[tokio::test]
async fn the_way_to_the_database_falls_silent_between_messages() {
    let scene = Scene::new(&[]).await;
    let way_in = scene.sendonce(1).await;
    let worker = scene.worker(Habit::OneForEver).await;
    let mut ids = Vec::new();
    for is_silent in [false, true, false] {
        scene.proxy.blackhole(is_silent);
        scene.old.proxy.blackhole(is_silent);
        let id = scene.write().await;
        ids.push(id);
        scene.ring(&way_in, &worker, &[id]).await;
        if is_silent {
            way_in.failed(1).await;
            scene.proxy.blackhole(false);
            scene.old.proxy.blackhole(false);
        }
        scene.all_sent().await;
        // Before the network goes, or its first message is caught by that too.
        worker.handled(1).await;
    }
    scene.each_once(&ids).await;
    assert_eq!(way_in.counts().failed, 1);
    // The worker waits for an answer to its second message still, with a network that works again.
    assert_eq!(worker.book(), Book { done: 1, ..STARTED });
    // After a quarter of an hour or so its system gives up; then it learns what the others learn at once.
    scene.old.proxy.cut_all(How::Reset);
    let book = worker.handled(3).await;
    assert_eq!(book, Book { done: 1, gone_away: 2, ..STARTED });
    scene.nothing_but_what_was_caught(1).await;
    way_in.closed(&scene.broker).await;
}

#[tokio::test]
async fn the_way_to_the_database_falls_silent_in_the_midst_of_messages() {
    let scene = Scene::new(&[]).await;
    let way_in = scene.sendonce(2).await;
    let worker = scene.worker(Habit::OneForEver).await;
    let gate = scene.hold();
    // The record of the first does not arrive.
    scene.proxy.script(On::Next, Point::Request(RECORD), Action::Stall);
    let first = scene.write().await;
    scene.ring(&way_in, &worker, &[first]).await;
    gate.reached_by(2).await;
    scene.old.proxy.blackhole(true);
    // The claim of the second is made, and its answer does not come: it is taken back, as it is when the server dies.
    scene.proxy.stall_after_request(CLAIM);
    let second = scene.write().await;
    scene.broker.ring(&[way_in.queue()], &[second]).await;
    // The script is the second's: the first connects once more when it is let go.
    while scene.proxy.totals().connections < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gate.release();
    scene.settles(first, "sent").await;
    way_in.failed(1).await;
    scene.settles(second, "pending").await;
    scene.sweep().await;
    scene.all_sent().await;
    // The second's doorbell comes all the same, sooner or later, and finds nothing to do.
    way_in.succeeded(2).await;
    scene.each_once(&[first, second]).await;
    // The worker's email left, and it waits.
    scene.old.proxy.blackhole(false);
    assert_eq!((scene.old.ses.times_taken(first), worker.book()), (1, STARTED));
    scene.old.proxy.cut_all(How::Reset);
    let book = worker.handled(1).await;
    assert_eq!((book, scene.old.count("status = 'sent'").await), (Book { gone_away: 1, ..STARTED }, 0));
    scene.nothing_but_what_was_caught(2).await;
    way_in.closed(&scene.broker).await;
}

impl Scene {
    /// Asserts that sendonce has let go of every connection, and had no more at once than so many and those that the
    /// silence caught, which the other side keeps until it gives up.
    async fn nothing_but_what_was_caught(&self, most: usize) {
        self.proxy.cut_all(How::Close);
        self.proxy.idle().await;
        let caught = self.proxy.connections().iter().filter(|count| count.closed == Closed::Cut).count();
        let totals = self.proxy.totals();
        assert!(caught > 0 && totals.peak_open <= most + caught, "{caught} of {totals:?}");
    }
}
