//! The whole protocol, made so small that a model checker can look at every state it can ever be in.
//!
//! One email; its producer, a queue, two workers, SES, SES's events, the sweep and, where asked for, an operator. Every
//! one of them takes its steps in any order, stops between any two of them for as long as it likes, or for ever. A row
//! moves by [`transition::after`](super::transition::after) alone, so a change there that breaks a promise fails here.
//!
//! Time is not counted: whatever waits for a time may happen at once, or never. So a lease runs out, `UNKNOWN_WAIT` and
//! `expires_at` pass whenever it hurts most. Doorbells are doubled and lost as the queue pleases: there is none under
//! way, or at least one. SES's events come late, doubled, in any order and never, from the moment at which SES could
//! have sent them. The promises themselves are in `promise`, what must come of it in the end in `fair`.

mod fair;
mod promise;
mod tests;
mod world;

use stateright::{Model, Property};

use self::world::{ROOM, Request, Worker, World, is_leased};
use super::{
    State,
    transition::{Attempt, Attempts, Event, Row, Says, Verdict},
};

/// As configured by default.
const MAX_RESENDS: u8 = 1;

/// What is explored.
#[derive(Debug, Clone, Copy)]
struct Protocol {
    /// `on_unknown = resend`; otherwise `hold`.
    resends: bool,
    /// What SES says of what it did.
    events: Events,
    /// Commands that an operator gives: resend, retry, cancel.
    commands: u8,
    /// Attempts that may begin.
    attempts: u8,
    /// How rows move.
    after: fn(Row, Event) -> Option<Row>,
    /// A mistake that is none of the rows'.
    flaw: Flaw,
}

/// What SES says of what it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Events {
    /// Nothing.
    Off,
    /// That it took an email.
    Taken,
    /// And that it dropped it afterwards: Reject, Rendering Failure.
    Refused,
}

/// A mistake, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// The sweep does not ring.
    NobodyRings,
    /// A worker that hears nothing asks SES again.
    AsksAgain,
}

/// How a claim goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Had,
    /// Carried out, and the answer is lost.
    Lost,
    /// Carried out later or not at all, and the answer is lost.
    LostBefore,
}

/// A step of somebody. A number says which worker takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The producer commits.
    Commit,
    /// The producer, a worker or the sweep rings.
    Ring,
    /// The queue loses every doorbell, or the last one is acknowledged.
    Purge,
    Claim(usize, Answer),
    /// The server carries out the claim that nobody waits for.
    StrayClaim,
    /// It died.
    Crash(usize),
    /// The lease covers the call.
    Check(usize),
    /// The email is not to be sent, or not now.
    Decide(usize, Verdict),
    /// The request leaves.
    Leave(usize),
    /// SES takes it.
    Take(Attempt),
    /// SES drops it.
    Drop(Attempt),
    /// It does not arrive.
    Lose(Attempt),
    /// SES says no, and the worker hears it.
    Refuse(usize, Verdict),
    /// The worker hears SES's 200.
    Hear(usize),
    /// The worker hears nothing, or nothing that it understands.
    GiveUp(usize),
    /// The worker writes down what it knows.
    Record(usize),
    /// The same, but the answer is lost: it does it again, or dies.
    RecordUnheard(usize),
    EndLease,
    Resend,
    Expire,
    Event(Attempt, Says),
    /// An event stands in the history, and whoever wrote it died before the row followed. It is delivered again.
    TornEvent(Attempt, Says),
    /// The operator does something.
    Command(Event),
}

impl Protocol {
    /// What shipped.
    const REAL: Self = Self {
        resends: false,
        events: Events::Taken,
        commands: 0,
        attempts: 3,
        after: super::transition::after,
        flaw: Flaw::None,
    };

    /// What may happen.
    fn steps(&self, world: &World, steps: &mut Vec<Step>) {
        if world.waits() {
            steps.push(if world.bell { Step::Purge } else { Step::Ring });
        }
        let Some(row) = world.row else { return steps.push(Step::Commit) };
        if world.stray.is_some() {
            steps.push(Step::StrayClaim);
        }
        for (at, worker) in world.workers.iter().enumerate() {
            // Both are the same then: one will do.
            if at > 0 && *worker == world.workers[at - 1] {
                continue;
            }
            self.steps_of(*worker, at, world, row, steps);
        }
        for attempt in world.attempts() {
            match world.request(attempt) {
                Request::Flying => steps.extend([Step::Take(attempt), Step::Lose(attempt)]),
                Request::Taken if self.events == Events::Refused => steps.push(Step::Drop(attempt)),
                _ => {}
            }
            let says = [(Says::Taken, row.history.taken), (Says::Refused, row.history.refused)];
            for (says, known) in says {
                if self.events != Events::Off && world.may_say(attempt, says) {
                    steps.push(Step::Event(attempt, says));
                    if !known.has(attempt) {
                        steps.push(Step::TornEvent(attempt, says));
                    }
                }
            }
        }
        match row.state {
            State::Sending => steps.push(Step::EndLease),
            State::Unknown if self.may_resend(row) => steps.push(Step::Resend),
            State::Pending => steps.push(Step::Expire),
            _ => {}
        }
        if world.commands < self.commands {
            match row.state {
                State::Pending => steps.push(Step::Command(Event::Cancel)),
                State::Unknown => steps.push(Step::Command(Event::Resend)),
                State::Sending | State::Sent => {}
                _ => steps.push(Step::Command(Event::Retry)),
            }
        }
    }

    fn steps_of(&self, worker: Worker, at: usize, world: &World, row: Row, steps: &mut Vec<Step>) {
        match worker {
            Worker::Idle => {
                if world.bell && world.begun < self.attempts && row.state == State::Pending {
                    steps.extend([Step::Claim(at, Answer::Had), Step::Claim(at, Answer::Lost)]);
                    if world.stray.is_none() {
                        steps.push(Step::Claim(at, Answer::LostBefore));
                    }
                }
                return;
            }
            Worker::Claimed(attempt) => {
                if is_leased(row, attempt) {
                    steps.push(Step::Check(at));
                }
                let verdicts = [Verdict::Release, Verdict::Fail, Verdict::Suppress];
                steps.extend(verdicts.map(|verdict| Step::Decide(at, verdict)));
            }
            Worker::Checked(_) => steps.push(Step::Leave(at)),
            Worker::Waiting(attempt) => {
                match world.request(attempt) {
                    Request::Flying => {
                        steps.extend([Step::Refuse(at, Verdict::Retry), Step::Refuse(at, Verdict::Fail)]);
                    }
                    Request::Taken | Request::Dropped => steps.push(Step::Hear(at)),
                    Request::Quiet | Request::Gone => {}
                }
                if self.flaw == Flaw::AsksAgain {
                    steps.push(Step::Leave(at));
                }
                steps.push(Step::GiveUp(at));
            }
            Worker::Told(..) => steps.extend([Step::Record(at), Step::RecordUnheard(at)]),
        }
        steps.push(Step::Crash(at));
    }

    fn may_resend(&self, row: Row) -> bool {
        self.resends && row.resends < MAX_RESENDS
    }

    /// The world after a step.
    fn take(&self, world: &World, step: Step) -> World {
        let mut next = world.clone();
        match step {
            Step::Commit => next.row = Some(Row::NEW),
            Step::Ring => next.bell = true,
            Step::Purge => next.bell = false,
            Step::Claim(at, answer) => {
                let attempt = Attempt(world.begun);
                next.begun += 1;
                next.workers[at] = match answer {
                    Answer::Had => Worker::Claimed(attempt),
                    _ => Worker::Told(attempt, Verdict::Withdraw),
                };
                if answer == Answer::LostBefore {
                    next.stray = Some(attempt);
                } else {
                    self.move_row(&mut next, Event::Claim { attempt });
                    if !next.row.is_some_and(|row| is_leased(row, attempt)) {
                        next.workers[at] = Worker::Idle;
                    }
                }
            }
            Step::StrayClaim => {
                let attempt = next.stray.take().expect("there is one");
                self.move_row(&mut next, Event::Claim { attempt });
            }
            Step::Crash(at) => next.workers[at] = Worker::Idle,
            Step::Check(at) => next.workers[at] = Worker::Checked(world.attempt_of(at)),
            Step::Decide(at, verdict) => next.workers[at] = Worker::Told(world.attempt_of(at), verdict),
            Step::Leave(at) => {
                let attempt = world.attempt_of(at);
                next.left_twice |= world.request(attempt) != Request::Quiet;
                next.workers[at] = Worker::Waiting(attempt);
                next.requests[usize::from(attempt.0)] = Request::Flying;
            }
            Step::Take(attempt) => next.requests[usize::from(attempt.0)] = Request::Taken,
            Step::Drop(attempt) => next.requests[usize::from(attempt.0)] = Request::Dropped,
            Step::Lose(attempt) => next.requests[usize::from(attempt.0)] = Request::Gone,
            Step::Refuse(at, verdict) => {
                let attempt = world.attempt_of(at);
                next.requests[usize::from(attempt.0)] = Request::Gone;
                next.workers[at] = Worker::Told(attempt, verdict);
            }
            Step::Hear(at) => next.workers[at] = Worker::Told(world.attempt_of(at), Verdict::Accepted),
            Step::GiveUp(at) => next.workers[at] = Worker::Told(world.attempt_of(at), Verdict::Unknown),
            Step::Record(at) | Step::RecordUnheard(at) => {
                let Worker::Told(attempt, verdict) = world.workers[at] else { return next };
                self.move_row(&mut next, Event::Recorded { attempt, verdict });
                if verdict == Verdict::Accepted {
                    next.written = next.written.with(attempt);
                }
                if step == Step::Record(at) {
                    next.workers[at] = Worker::Idle;
                }
            }
            Step::EndLease => self.move_row(&mut next, Event::LeaseOver),
            Step::Resend => self.move_row(&mut next, Event::Resend),
            Step::Expire => self.move_row(&mut next, Event::Expire),
            Step::Event(attempt, says) => {
                let torn = next.torn_mut(says);
                *torn = torn.without(Attempts::NONE.with(attempt));
                self.move_row(&mut next, Event::Ses { attempt, says });
            }
            Step::TornEvent(attempt, says) => {
                let torn = next.torn_mut(says);
                *torn = torn.with(attempt);
                if let Some(row) = &mut next.row {
                    let history = &mut row.history;
                    match says {
                        Says::Refused => history.refused = history.refused.with(attempt),
                        _ => history.taken = history.taken.with(attempt),
                    }
                }
            }
            Step::Command(event) => {
                next.commands += 1;
                next.retried += u8::from(event == Event::Retry);
                self.move_row(&mut next, event);
            }
        }
        next.tidy();
        next
    }

    fn move_row(&self, world: &mut World, event: Event) {
        if let Some(row) = &mut world.row
            && let Some(next) = (self.after)(*row, event)
        {
            *row = next;
        }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::BEGINNING]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.steps(world, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let next = self.take(world, step);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promise::all(*self)
    }
}
