//! One cell: a process is brought to a step and killed there, and then the world is driven until nothing changes.

mod fault;
mod recovery;

use std::{collections::BTreeSet, time::Duration};

use stack::{
    gate::Gate,
    proxy::{On, Point, Proxy},
    runtime_api::{Environment, Outcome},
    ses::{EventKind, Fault, Match, Recorded, event},
};

use crate::{
    Failure,
    cell::{Cell, Events, Step, World},
    expect::{self, Facts},
    flight::{self, Flight},
    queue::{self, Message},
    site::{Part, Site},
    story::Story,
    subject::{End, Place},
};

/// How long a process may take to a step. Only a step that is never reached takes so long.
const REACHED_WITHIN: Duration = Duration::from_secs(25);

/// What a victim is told it has: more than a patient worker wants for a call, by what it may take to begin it. With the
/// half minute that its lease lasts longer it is still less than `fault::LEASE_OVER`.
const TOLD: Duration = Duration::from_mins(1);

/// What one is told that must find its time over when it is woken: more than it wants for a call, by what a loaded machine
/// may take from the event to the claim.
const TOLD_LITTLE: Duration = Duration::from_secs(30);

/// When it would be killed for being late. Never: the kit kills.
const KILLED_AFTER: Duration = Duration::from_mins(5);

/// What came of a cell.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Which cell.
    pub cell: Cell,
    /// Whether the process was at the step when it was killed or suspended.
    pub reached: bool,
    /// What was seen in the end.
    pub facts: Facts,
    /// What is wrong, a sentence each.
    pub faults: Vec<String>,
    /// What happened.
    pub story: Story,
}

impl Finding {
    /// A cell that could not be run to its end.
    pub(crate) fn broken(cell: Cell, error: &Failure) -> Self {
        Self {
            cell,
            reached: false,
            facts: Facts { end: End::Gone, taken: 0, resends: 0 },
            faults: vec![format!("the kit failed: {error}")],
            story: Story::default(),
        }
    }
}

/// A cell under way.
struct Run<'r, 's> {
    site: &'r mut Site<'s>,
    cell: Cell,
    id: u64,
    recipient: String,
    /// Received and neither deleted nor given back: its invocation failed, or its process died.
    in_flight: Vec<Message>,
    /// The messages whose event has been delivered, by their order at SES.
    told: BTreeSet<usize>,
    /// The database cannot be reached, by the kit's own doing.
    away: bool,
    /// The connections of workers from this one on are of such as are not killed.
    alive_from: u64,
    /// No event comes, whatever the cell says: the attempt before the one that is killed stays in the dark.
    withheld: bool,
    /// Late events may come now.
    over: bool,
    faults: Vec<String>,
    story: Story,
}

/// A process that is on its way to a step.
struct Victim {
    environment: Environment,
    flight: Flight,
    /// Holds it at the step, where something does.
    gate: Option<Gate>,
}

/// Runs a cell to its end.
pub(crate) async fn run(site: &mut Site<'_>, cell: Cell, seed: u64) -> Finding {
    match examine(site, cell, seed).await {
        Ok(finding) => finding,
        Err(error) => {
            // Whatever it left behind must not reach the next cell.
            site.database_away(false).await;
            if site.server.pid().is_none() {
                let _ = site.server.restart().await;
            }
            Finding::broken(cell, &error)
        }
    }
}

async fn examine(site: &mut Site<'_>, cell: Cell, seed: u64) -> Result<Finding, Failure> {
    site.clean().await?;
    // Not in the midst of something that has a time-out of its own.
    for part in [Part::Spare, Part::Sweep, Part::Feedback] {
        site.part(part).await?;
    }
    let place = site.subject.place(cell.step).ok_or("the subject has no such step")?;
    let recipient = format!("{}@customer.example", fastrand::u64(..));
    let id = site.insert(&recipient, cell.policy).await?;
    let mut run = Run {
        site,
        cell,
        id,
        recipient,
        in_flight: Vec::new(),
        told: BTreeSet::new(),
        away: false,
        alive_from: 0,
        withheld: false,
        over: false,
        faults: Vec::new(),
        story: Story::default(),
    };
    let doorbells = if cell.world == World::DoorbellTimesFive { 5 } else { 1 };
    run.site.queue.ring(&vec![id; doorbells]).await?;
    run.story.tell(format!("email {id} is written, and its doorbell rung {doorbells} time(s)"));
    if cell.world == World::OldEvents {
        run.lose_first_attempt().await?;
    }
    let victim = run.send_victim(place).await?;
    let reached = run.bring_to_step(&victim, place).await?;
    if reached {
        run.story.tell(format!("the worker is at {}", cell.step.name()));
        run.strike(victim, place).await?;
    } else {
        run.faults.push(format!("the kit never brought the process to {}", cell.step.name()));
        run.story.tell(victim.environment.log_text());
        victim.environment.kill().await;
    }
    run.recover(seed).await?;
    run.finish(reached).await
}

impl Run<'_, '_> {
    /// Gives the victim its doorbell, with everything set up that will hold it.
    async fn send_victim(&mut self, place: Place) -> Result<Victim, Failure> {
        let environment = self.site.patient_worker().await?;
        let message = self.site.queue.receive(1).await?;
        let payload = queue::event(&message);
        if message.is_empty() {
            return Err("there is no doorbell for the victim".into());
        }
        self.in_flight.extend(message);
        let mut gate = None;
        let proxy = &self.site.proxy;
        // Scripts for one place are carried out in their order: first the events, then the step.
        let events_first = self.cell.events == Events::BeforeRecord && self.cell.step > Step::SesTook;
        let records = events_first.then(|| proxy.hold(self.site.subject.record_flight()));
        match place {
            Place::Handed => environment.suspend().await?,
            Place::Request(flight) => gate = Some(proxy.hold(flight)),
            Place::Answer(flight) => gate = Some(proxy.hold_answer(flight)),
            Place::Response => gate = Some(environment.hold_response()),
            Place::SesAsked | Place::SesTook | Place::Done => {}
        }
        if let Place::SesAsked | Place::SesTook = place {
            let held = Gate::new();
            let fault = if place == Place::SesAsked { Fault::Gate } else { Fault::GateAnswer };
            self.site.ses.script(Match::Any, 1, fault(held.clone()));
            gate = Some(held);
        }
        if self.cell.world == World::AnswerLost {
            self.site.ses.script(Match::Any, 1, Fault::CloseAfterRead { taken: true });
        }
        let told = if self.outsleeps_its_time() { TOLD_LITTLE } else { TOLD };
        let flight = environment.begin_told(&payload, told, KILLED_AFTER);
        if place == Place::Handed && !flight.handed_out().await {
            return Err("the victim ended before it was given its event".into());
        }
        let flight = flight::of(flight);
        if let Some(records) = records {
            if reached(&records, &flight).await {
                self.deliver_events().await?;
            }
            records.release();
        }
        Ok(Victim { environment, flight, gate })
    }

    /// Claimed and suspended before SES is asked: what keeps it from asking is its own monotonic clock, which nothing but
    /// time moves.
    fn outsleeps_its_time(&self) -> bool {
        self.cell.step == Step::ClaimAnswer && matches!(self.cell.world, World::Suspended | World::WokenAmid)
    }

    /// Waits until it is there; `false` when its invocation ended before, or it took for ever.
    async fn bring_to_step(&mut self, victim: &Victim, place: Place) -> Result<bool, Failure> {
        let there = match (place, &victim.gate) {
            (Place::Handed, _) => true,
            (Place::Done, _) => {
                let done = tokio::time::timeout(REACHED_WITHIN, victim.flight.clone()).await;
                matches!(done, Ok(Outcome::Response(_)))
            }
            (_, Some(gate)) => reached(gate, &victim.flight).await,
            (_, None) => false,
        };
        // SES acts first and is held then; and its books are what the kit goes by.
        if there && place == Place::SesTook && self.cell.events == Events::BeforeRecord {
            self.deliver_events().await?;
        }
        Ok(there)
    }

    /// The messages of this email that SES took, in order.
    fn taken(&self) -> Vec<Recorded> {
        let taken = self.site.ses.taken();
        taken.into_iter().filter(|record| record.message.addresses().contains(&self.recipient)).collect()
    }

    /// Delivers the Send event of every message taken, each twice, since SES may.
    async fn deliver_events(&mut self) -> Result<(), Failure> {
        let only_the_old = self.cell.world == World::OldEvents && self.cell.events == Events::Late;
        let heard_of = if only_the_old { 1 } else { usize::MAX };
        for record in self.taken().into_iter().take(heard_of) {
            if self.told.contains(&record.at_order) {
                continue;
            }
            let Some(feedback) = self.site.part(Part::Feedback).await? else { return Ok(()) };
            let event = event(&record, EventKind::Send);
            let attempt = record.attempt_id.as_deref().unwrap_or("without a tag").to_owned();
            let (first, second) =
                (feedback.invoke(&event).await.outcome, feedback.invoke(&event).await.outcome);
            let log = feedback.log_text();
            if matches!((&first, &second), (Outcome::Response(_), Outcome::Response(_))) {
                self.told.insert(record.at_order);
                self.story.tell(format!("the Send event of attempt {attempt} is delivered, twice"));
            } else if self.away {
                self.story.tell(format!(
                    "the Send event of attempt {attempt} finds no database and will come again"
                ));
            } else {
                self.faults.push("the feedback failed".to_owned());
                self.story.tell(format!(
                    "the Send event of attempt {attempt} is refused: {first:?} {second:?}\n{log}"
                ));
                self.told.insert(record.at_order);
            }
        }
        Ok(())
    }

    /// Delivers the events that are due now.
    async fn deliver_due_events(&mut self) -> Result<(), Failure> {
        match self.cell.events {
            Events::Off => Ok(()),
            Events::Late if !self.over => Ok(()),
            _ => self.deliver_events().await,
        }
    }

    async fn finish(mut self, reached: bool) -> Result<Finding, Failure> {
        let row = self.site.row(self.id).await?;
        let facts = Facts { end: row.end, taken: self.taken().len(), resends: row.resends };
        let mut faults = std::mem::take(&mut self.faults);
        faults.extend(expect::faults(self.cell, facts));
        let open = self.site.connections_left().await?;
        if open > 0 {
            faults.push(format!("{open} connection(s) were left open"));
        }
        faults.extend(self.rude_connections());
        if self.site.ses.unused_scripts() > 0 && !self.leaves_a_fault() {
            faults.push("the kit prepared a fault that never happened".to_owned());
        }
        self.story.tell(format!("in the end: {}", row.text));
        let known: Vec<_> = self.taken().into_iter().filter_map(|record| record.message_id).collect();
        let named = row.text.split(' ').find_map(|word| word.strip_prefix("ses_message_id="));
        if named.is_some_and(|named| !known.iter().any(|id| id == named)) {
            faults.push("the row names a message that SES never took".to_owned());
        }
        if facts.end == End::Sent && row.text.contains("error_kind=") {
            faults.push("the row says sent, and why it was not".to_owned());
        }
        for line in self.site.history(self.id).await? {
            self.story.tell(format!("history: {line}"));
        }
        for record in self.site.ses.requests() {
            let taken = if record.taken { "taken" } else { "not taken" };
            let attempt = record.attempt_id.as_deref().unwrap_or("-");
            self.story
                .tell(format!("SES request of attempt {attempt}: {taken}, answered {:?}", record.answer));
        }
        if !faults.is_empty() {
            for part in [Part::Spare, Part::Sweep, Part::Feedback] {
                if let Some(environment) = self.site.part(part).await? {
                    let log = environment.logs();
                    let last: Vec<_> =
                        log.iter().rev().take(15).rev().map(|line| line.text.as_str()).collect();
                    self.story.tell(format!("{part:?} wrote last:\n{}", last.join("\n")));
                }
            }
        }
        Ok(Finding { cell: self.cell, reached, facts, faults, story: self.story })
    }

    /// A lost answer that waits for a second attempt finds none where the first was recorded, or where nobody asks again.
    fn leaves_a_fault(&self) -> bool {
        self.cell.world == World::AnswerLost
            && matches!(self.cell.step, Step::ClaimAnswer | Step::SesAsked | Step::SesTook)
    }

    /// Who lives says good-bye: connections without COM_QUIT are those of the killed, and of those that were cut off.
    fn rude_connections(&self) -> Option<String> {
        let rude = |proxy: &Proxy, from| {
            proxy.connections().iter().filter(|count| count.id >= from && !count.quit).count()
        };
        let broken_by_the_kit = match self.cell.world {
            World::Suspended | World::WokenAmid => 1,
            World::DatabaseGone => usize::from(self.cell.step < Step::SesAsked),
            _ => 0,
        };
        let rude = (rude(&self.site.proxy, self.alive_from), rude(&self.site.office, 0));
        (rude.0 > broken_by_the_kit || rude.1 > 0)
            .then(|| format!("connections without COM_QUIT: {} of workers, {} of others", rude.0, rude.1))
    }
}

/// Waits until the gate holds something; `false` when the invocation ended before, or nothing came.
async fn reached(gate: &Gate, flight: &Flight) -> bool {
    let either = async {
        tokio::select! {
            biased;
            () = gate.reached() => true,
            _ = flight.clone() => false,
        }
    };
    tokio::time::timeout(REACHED_WITHIN, either).await.unwrap_or(false)
}

/// The next connection loses its server when it is about to record.
fn cut_before_record(site: &Site<'_>) {
    site.proxy.script(
        On::Next,
        Point::Request(site.subject.record_flight()),
        stack::proxy::Action::Cut(stack::proxy::How::Reset),
    );
}
