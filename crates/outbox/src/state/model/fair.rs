//! What must come of it in the end, wherever the story stands, if from now on nobody dies and time passes.

use super::{Answer, Flaw, Protocol, ROOM, Request, State, Step, Verdict, Worker, World, is_leased};
use crate::state::transition::Says;

/// More steps than any end takes.
const PATIENCE: usize = 100;

impl Protocol {
    /// The end of the story: workers finish, leases run out, the sweep does its rounds, SES takes what it gets. Nothing
    /// is left to luck: every doorbell that is under way is lost, and nothing expires. Events that were lost so far are
    /// delivered in the end, or never.
    pub(super) fn end(&self, world: &World, events_arrive: bool) -> World {
        let mut world = world.clone();
        world.bell = false;
        for _ in 0..PATIENCE {
            match self.next_fair(&world, events_arrive) {
                Some(step) => world = self.take(&world, step),
                None => break,
            }
        }
        world
    }

    fn next_fair(&self, world: &World, events_arrive: bool) -> Option<Step> {
        let row = world.row?;
        if world.stray.is_some() {
            return Some(Step::StrayClaim);
        }
        for (at, worker) in world.workers.iter().enumerate() {
            return Some(match worker {
                Worker::Idle => continue,
                Worker::Claimed(attempt) if is_leased(row, *attempt) => Step::Check(at),
                Worker::Claimed(_) => Step::Decide(at, Verdict::Release),
                Worker::Checked(_) => Step::Leave(at),
                Worker::Waiting(attempt) => match world.request(*attempt) {
                    Request::Flying => Step::Take(*attempt),
                    Request::Taken | Request::Dropped => Step::Hear(at),
                    Request::Quiet | Request::Gone => Step::GiveUp(at),
                },
                Worker::Told(..) => Step::Record(at),
            });
        }
        // Whose worker died.
        if let Some(attempt) = world.attempts().find(|attempt| world.request(*attempt) == Request::Flying) {
            return Some(Step::Take(attempt));
        }
        for attempt in world.attempts() {
            for says in [Says::Taken, Says::Refused] {
                // What was torn is delivered again in any case: its delivery never succeeded.
                let arrives = world.is_torn(attempt, says) || events_arrive && world.may_say(attempt, says);
                let step = Step::Event(attempt, says);
                if arrives && self.take(world, step) != *world {
                    return Some(step);
                }
            }
        }
        match row.state {
            State::Sending => Some(Step::EndLease),
            State::Unknown if self.may_resend(row) => Some(Step::Resend),
            // Only a mistake leads to so many: then it never ends.
            State::Pending if usize::from(world.begun) == ROOM => None,
            State::Pending if world.bell => Some(Step::Claim(0, Answer::Had)),
            State::Pending if self.flaw != Flaw::NobodyRings => Some(Step::Ring),
            _ => None,
        }
    }
}
