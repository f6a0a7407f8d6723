//! The promises, each as something that is true of every state, or comes true from every state; and proofs that the
//! model goes where they could be broken.

use stateright::Property;

use super::{Events, MAX_RESENDS, Protocol, Request, State, Verdict, Worker, World};
use crate::state::transition::{Attempt, Says};

pub(super) const ONCE_AN_ATTEMPT: &str = "an attempt's request leaves once";
pub(super) const NOT_TWICE: &str = "taken once, and once more each time that was asked for";
pub(super) const SENT_IS_TRUE: &str = "sent says that SES took it";
pub(super) const HONEST_ENDS: &str = "no end says that it was not sent while it was, or still may be";
pub(super) const NOTHING_LOST: &str = "nothing is lost";
pub(super) const ACCEPTANCE_KEPT: &str = "an acceptance that was written down is not thrown away";

pub(super) fn all(protocol: Protocol) -> Vec<Property<Protocol>> {
    let mut all = vec![
        Property::always(ONCE_AN_ATTEMPT, |_, world: &World| !world.left_twice),
        Property::always(NOT_TWICE, not_twice),
        Property::always(SENT_IS_TRUE, sent_is_true),
        Property::always(HONEST_ENDS, honest_ends),
        Property::always(NOTHING_LOST, nothing_lost),
        Property::always(ACCEPTANCE_KEPT, acceptance_kept),
        Property::sometimes("a request leaves after its lease was ended", |_, world: &World| {
            let late =
                |worker: &Worker| matches!(worker, Worker::Checked(attempt) if !holds(world, *attempt));
            world.workers.iter().any(late)
        }),
        Property::sometimes(
            "a claim is carried out that its worker has given back already",
            |_, world: &World| {
                let given_back =
                    |attempt: Attempt| !world.workers.contains(&Worker::Told(attempt, Verdict::Withdraw));
                world.stray.is_some_and(given_back)
            },
        ),
        Property::sometimes("it stays unknown", |protocol, world| {
            protocol.end(world, true).row.is_some_and(|row| row.state == State::Unknown)
        }),
    ];
    if protocol.resends {
        all.extend([
            Property::sometimes("it is taken twice", |_, world: &World| taken(world) == 2),
            Property::sometimes(
                "an acceptance comes while another attempt is sending",
                |_, world: &World| {
                    let row = world.row.filter(|row| row.state == State::Sending);
                    row.is_some_and(|row| row.history.accepted() && world.written.count() > 0)
                },
            ),
        ]);
    }
    all
}

fn holds(world: &World, attempt: Attempt) -> bool {
    world.row.is_some_and(|row| super::is_leased(row, attempt))
}

/// Whether it was dropped or not.
fn taken(world: &World) -> usize {
    let taken = |request: &&Request| matches!(request, Request::Taken | Request::Dropped);
    world.requests.iter().filter(taken).count()
}

/// Promise 2.
fn not_twice(protocol: &Protocol, world: &World) -> bool {
    let Some(row) = &world.row else { return taken(world) == 0 };
    let by_policy = if protocol.resends { MAX_RESENDS } else { 0 };
    row.resends <= by_policy + world.commands - world.retried
        && taken(world) <= usize::from(1 + row.resends + world.retried)
}

/// What SES says of another attempt than the latest, after the row became `sent` by it, does not undo that.
fn sent_is_true(_: &Protocol, world: &World) -> bool {
    let Some(row) = world.row.filter(|row| row.state == State::Sent) else { return true };
    world.attempts().any(|attempt| match world.request(attempt) {
        Request::Taken => true,
        // What the row has not followed is delivered again.
        Request::Dropped => {
            !row.history.refused.has(attempt)
                || row.attempt != Some(attempt)
                || world.is_torn(attempt, Says::Refused)
        }
        _ => false,
    })
}

/// Whatever becomes of the events.
fn honest_ends(_: &Protocol, world: &World) -> bool {
    let Some(row) = world.row.filter(|row| row.state.is_terminal() && row.state != State::Sent) else {
        return true;
    };
    world.attempts().all(|attempt| match world.request(attempt) {
        Request::Taken | Request::Flying => false,
        Request::Dropped => row.history.refused.has(attempt),
        Request::Quiet => !world.workers.contains(&Worker::Checked(attempt)),
        Request::Gone => true,
    })
}

/// Promise 1, and promise 4, since all doorbells are lost.
fn nothing_lost(protocol: &Protocol, world: &World) -> bool {
    let futures = if protocol.events == Events::Off { &[false][..] } else { &[false, true] };
    futures.iter().all(|&events_arrive| {
        let end = protocol.end(world, events_arrive);
        let Some(row) = end.row else { return true };
        match row.state {
            State::Pending | State::Sending => false,
            // Nobody can know: of some attempt SES said nothing that arrived. With all its events, it took none. After
            // an operator's command it may also be caution: one attempt can have been given up, and begun after, twice.
            State::Unknown => {
                let history = row.history;
                let said_nothing = |attempt| !history.taken.has(attempt) && !history.refused.has(attempt);
                let was_taken = |attempt| end.request(attempt) == Request::Taken;
                !history.accepted()
                    && (world.commands > 0 || end.attempts().any(said_nothing))
                    && !(events_arrive && end.attempts().any(was_taken))
            }
            _ => true,
        }
    })
}

/// Unless SES says later that it dropped it.
fn acceptance_kept(protocol: &Protocol, world: &World) -> bool {
    let Some(row) = &world.row else { return true };
    let to_keep = world.written.without(row.history.refused).count();
    to_keep == 0 || protocol.end(world, false).row.is_some_and(|row| row.state == State::Sent)
}
