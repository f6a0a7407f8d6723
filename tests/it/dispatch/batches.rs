//! Many doorbells in one invocation: one connection, bounded sends, and a defect costs one email.

use std::time::Duration;

use doorbell::{Lane, body::UnreadableBody};
use fastrand::Rng;
use outbox::{
    dispatch::{Answer, Dispatcher, Doorbell},
    email::Email,
    mailer::{Mailer, Refusal, SendOutcome},
    state::AttemptId,
    store::Tls,
};
use stack::{
    gate::Gate,
    ses::{Fault, Match},
};

use crate::{
    stage::{Memory, POLICY, Stage, doorbell, half_a_minute},
    world::reach,
};

#[tokio::test]
async fn ten_emails_over_one_connection_four_at_a_time() {
    let stage = Stage::new().await;
    let mut doorbells = Vec::new();
    for _ in 0..10 {
        doorbells.push(doorbell(stage.table.insert(&[]).await));
    }
    let (proxy, url) = stage.table.proxied().await;
    let dispatcher = stage.dispatcher_through(reach(&url, Tls::Off));
    let gate = Gate::new();
    stage.ses.script(Match::Any, 10, Fault::Gate(gate.clone()));
    let invocation = async { dispatcher.dispatch(&doorbells, half_a_minute(), &mut Rng::new()).await };
    let watching = async {
        gate.reached_by(4).await;
        // The fifth is claimed when its send can start, not before.
        let claimed = stage.table.value("SELECT COUNT(*) FROM email WHERE state = 'sending'").await;
        assert_eq!(claimed.as_deref(), Some("4"));
        gate.release();
    };
    let (answers, ()) = tokio::join!(invocation, watching);
    assert_eq!(answers, vec![Answer::Done; 10]);
    proxy.idle().await;
    assert_eq!(proxy.totals().connections, 1);
    assert_eq!(proxy.totals().round_trips, 1 + 10 * 2, "log in; a claim and a record an email");
    assert_eq!(stage.ses.accepted().len(), 10);
    assert_eq!(
        stage.table.value("SELECT COUNT(*) FROM email WHERE state = 'sent'").await.as_deref(),
        Some("10")
    );
}

#[tokio::test]
async fn an_unreadable_body_fails_alone_and_opens_no_connection() {
    let stage = Stage::new().await;
    let (proxy, url) = stage.table.proxied().await;
    let dispatcher = stage.dispatcher_through(reach(&url, Tls::Off));
    let unreadable = Doorbell { email_id: Err(UnreadableBody::Shape), ..doorbell(0) };
    let answers =
        dispatcher.dispatch(std::slice::from_ref(&unreadable), half_a_minute(), &mut Rng::new()).await;
    assert_eq!(answers, [Answer::Again]);
    assert_eq!(proxy.totals().connections, 0);
    let id = stage.table.insert(&[]).await;
    let answers = dispatcher.dispatch(&[unreadable, doorbell(id)], half_a_minute(), &mut Rng::new()).await;
    assert_eq!(answers, [Answer::Again, Answer::Done]);
    assert_eq!(stage.table.state(id).await, "sent");
}

#[tokio::test]
async fn a_group_keeps_its_order_and_stops_at_its_first_failure() {
    let stage = Stage::new().await;
    let dispatcher = stage.dispatcher();
    let in_group = |id, group: &str| Doorbell { group: Some(group.to_owned()), ..doorbell(id) };
    let poison = Doorbell {
        email_id: Err(UnreadableBody::Id),
        lane: Lane::Urgent,
        tries: 0,
        group: Some("a".to_owned()),
        trace: None,
    };
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(stage.table.insert(&[]).await);
    }
    let doorbells =
        [in_group(ids[0], "a"), poison, in_group(ids[1], "a"), in_group(ids[2], "b"), in_group(ids[3], "b")];
    let answers = dispatcher.dispatch(&doorbells, half_a_minute(), &mut Rng::new()).await;
    assert_eq!(answers, [Answer::Done, Answer::Again, Answer::Again, Answer::Done, Answer::Done]);
    assert_eq!(stage.table.state(ids[1]).await, "pending");
    let order: Vec<_> = stage.ses.accepted().iter().filter_map(|sent| sent.email_id).collect();
    let place = |id| order.iter().position(|sent| *sent == id);
    assert!(place(ids[2]) < place(ids[3]), "{order:?}");
}

/// Panics where it is told to.
struct Defective {
    prepare: u64,
    call: u64,
}

impl Mailer for Defective {
    type Prepared = u64;

    fn prepare(&self, email: &Email, _: &AttemptId) -> Result<u64, Refusal> {
        assert_ne!(email.id(), self.prepare, "a defect before the call");
        Ok(email.id())
    }

    async fn call(&self, id: u64, _: Duration) -> SendOutcome {
        assert_ne!(id, self.call, "a defect within the call");
        SendOutcome::Accepted { message_id: format!("0102-{id}") }
    }
}

#[tokio::test]
async fn a_panic_costs_one_email_and_the_connection_still_closes() {
    let stage = Stage::new().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(stage.table.insert(&[]).await);
    }
    let (proxy, url) = stage.table.proxied().await;
    let mailer = Defective { prepare: ids[1], call: ids[2] };
    let dispatcher = Dispatcher::new(reach(&url, Tls::Off), mailer, Memory::default(), POLICY);
    let doorbells: Vec<_> = ids.iter().map(|id| doorbell(*id)).collect();
    let answers = dispatcher.dispatch(&doorbells, half_a_minute(), &mut Rng::new()).await;
    assert_eq!(answers, vec![Answer::Done; 4]);
    let mut states = Vec::new();
    for id in &ids {
        states.push(stage.table.state(*id).await);
    }
    assert_eq!(states, ["sent", "pending", "unknown", "sent"]);
    assert_eq!(stage.table.column(ids[1], "attempts").await.as_deref(), Some("0"));
    assert_eq!(dispatcher.bell().rings().len(), 1, "for the one that was given back");
    proxy.idle().await;
    assert_eq!(proxy.totals().connections, 1);
    assert!(proxy.connections()[0].quit, "it ended with COM_QUIT");
}

/// A bell that panics, or never answers.
#[derive(Default)]
struct BadBell {
    hangs: bool,
}

impl doorbell::Bell for BadBell {
    async fn ring(&self, _: doorbell::Ring) -> Result<doorbell::Rung, doorbell::RingError> {
        assert!(self.hangs, "a defect between two emails");
        std::future::pending().await
    }

    fn lane_of_queue(&self, _: &str) -> Lane {
        Lane::Urgent
    }
}

#[tokio::test]
async fn a_panic_between_two_emails_leaves_the_others_alone() {
    let stage = Stage::new().await;
    let (first, last) = (stage.table.insert(&[]).await, stage.table.insert(&[]).await);
    let (proxy, url) = stage.table.proxied().await;
    let dispatcher = Dispatcher::new(reach(&url, Tls::Off), stage.mailer(), BadBell::default(), POLICY);
    // The second is not there: it would be rung again.
    let doorbells = [doorbell(first), doorbell(4711), doorbell(last)];
    let answers = dispatcher.dispatch(&doorbells, half_a_minute(), &mut Rng::new()).await;
    assert_eq!(answers, [Answer::Done, Answer::Again, Answer::Done]);
    for id in [first, last] {
        assert_eq!(stage.table.state(id).await, "sent");
    }
    proxy.idle().await;
    assert_eq!(proxy.totals().peak_open, 1);
    assert!(proxy.connections().iter().all(|connection| connection.quit));
}

#[tokio::test]
async fn a_queue_that_hangs_does_not_keep_an_acceptance_from_being_written() {
    let stage = Stage::new().await;
    let id = stage.table.insert(&[]).await;
    let mut doorbells = vec![doorbell(id)];
    for _ in 0..3 {
        let later = stage.table.insert(&[("due_at", "UTC_TIMESTAMP(6) + INTERVAL 100 SECOND")]).await;
        doorbells.push(doorbell(later));
    }
    let policy = outbox::config::SendPolicy { ses_timeout: Duration::from_millis(500), ..POLICY };
    let dispatcher = Dispatcher::new(stage.table.plain(), stage.mailer(), BadBell { hangs: true }, policy);
    let deadline = std::time::Instant::now() + Duration::from_secs(6);
    let answers = dispatcher.dispatch(&doorbells, deadline, &mut Rng::new()).await;
    assert!(std::time::Instant::now() < deadline, "it ended in time");
    assert_eq!(answers[0], Answer::Done);
    assert!(answers[1..].iter().all(|answer| *answer == Answer::Again), "{answers:?}");
    assert_eq!(stage.table.state(id).await, "sent");
}
