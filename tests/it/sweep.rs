//! What nobody rings for and what nobody came back from, on a real table.

mod bounds;
mod doorbells;
mod ends;
mod faults;
mod function;

use std::time::{Duration, Instant};

use fastrand::Rng;
use outbox::{
    ses::SesMailer,
    store::SweepRules,
    sweep::{Report, Sweeper},
};

use crate::stage::{Memory, Stage};

const RULES: SweepRules = SweepRules::DEFAULT;

/// A sweeper that rings a bell which remembers.
fn sweeper(stage: &Stage, rules: SweepRules) -> Sweeper<SesMailer, Memory> {
    Sweeper::new(stage.table.plain_as("sweep"), stage.mailer(), Memory::default(), stage.policy, rules)
}

/// With time enough, however loaded the machine: the tests of a run that is short of it say how short.
async fn sweep(sweeper: &Sweeper<SesMailer, Memory>) -> Report {
    let deadline = Instant::now() + Duration::from_mins(5);
    sweeper.sweep(deadline, &mut Rng::new()).await.unwrap_or_else(|error| panic!("{error:?}"))
}

/// A time in SQL, so long ago.
fn ago(minutes: u32) -> String {
    format!("UTC_TIMESTAMP(6) - INTERVAL {minutes} MINUTE")
}

impl Stage {
    /// A row that was written, and was due, so many minutes ago.
    async fn insert_old(&self, minutes: u32, changes: &[(&str, &str)]) -> u64 {
        let then = ago(minutes);
        let mut columns = vec![("created_at", then.as_str()), ("state_at", &then), ("due_at", &then)];
        columns.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        columns.extend(changes);
        self.table.insert(&columns).await
    }
}
