//! What is done about dead letters: the use case behind `cargo xtask redrive`.
//!
//! A message ends in a dead-letter queue when its function failed on it too often: because nobody can read it, or
//! because the database was away for hours. The table knows which of the second sort are still of use. So first it is
//! looked, without a lock and without changing anything, at what each message rings for; then those whose email is not at
//! its end are rung for anew. A message is removed only after its doorbell was taken, or when its email is at its end: who
//! dies in between rings twice, which does no harm, and loses nothing.

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, Instant},
};

use doorbell::{
    Bell, Lane, Ring, RingError, Rung,
    backlog::{Backlog, BacklogError, Taken},
    body::{self, UnreadableBody},
};

use crate::{
    state::State,
    store::{Session, StoreError, operator::Facts},
};

/// A message, and what is to be done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The message.
    pub taken: Taken,
    /// The email that it rings for, if it can be read.
    pub email_id: Option<u64>,
    /// Where that email stands, if it is there.
    pub state: Option<State>,
    /// What is to be done.
    pub what: What,
}

/// What is to be done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Its email is not at its end: ring through this lane, then remove it.
    Ring(Lane),
    /// Another message of the same email is rung for: remove it after that.
    Double,
    /// Its email is at its end: remove it.
    Remove,
    /// Leave it where it is.
    Keep(Why),
}

/// Why a message is left where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nobody can read it.
    Unreadable(UnreadableBody),
    /// There is no such email, or its producer has not committed.
    NoRow,
}

/// What became of a message.
#[derive(Debug)]
pub enum Done {
    /// As planned.
    AsPlanned,
    /// Its lane has no queue to ring: it is where it was.
    NoQueue(Lane),
    /// It was not rung for: it is where it was.
    NotRung(RingError),
    /// Another message of the same email could not be rung for: it is where it was.
    AsTheOther,
    /// The other queue did not take it: it is where it was, and perhaps there as well.
    NotMoved(BacklogError),
    /// It was rung for or is of no use, but it may be where it was.
    NotRemoved(BacklogError),
}

impl Done {
    /// Whether nothing is left to do.
    #[must_use]
    pub const fn is_as_planned(&self) -> bool {
        matches!(self, Self::AsPlanned)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(unreadable) => write!(f, "nobody can read it: {unreadable}"),
            Self::NoRow => f.write_str("there is no such email"),
        }
    }
}

/// Takes messages until there are no more, or `most` of them.
///
/// # Errors
///
/// [`BacklogError`]. What was taken shows again when its time is over.
pub async fn take(backlog: &impl Backlog, most: usize) -> Result<Vec<Taken>, BacklogError> {
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    while all.len() < most {
        let some = backlog.take().await?;
        let before = all.len();
        // One that was hidden too short a time comes again.
        all.extend(some.into_iter().filter(|taken| seen.insert(taken.id.clone())));
        if all.len() == before {
            break;
        }
    }
    Ok(all)
}

/// Looks at the email of each message, and says what is to be done. Nothing is changed.
///
/// # Errors
///
/// Any of [`StoreError`].
pub async fn plan(
    session: &mut Session,
    taken: Vec<Taken>,
    deadline: Instant,
) -> Result<Vec<Planned>, StoreError> {
    let ids: BTreeSet<u64> =
        taken.iter().filter_map(|taken| body::parse(taken.body.as_bytes()).ok()).collect();
    let ids: Vec<u64> = ids.into_iter().collect();
    let mut facts = Vec::with_capacity(ids.len());
    for some in ids.chunks(Session::LOOK_BATCH) {
        facts.extend(session.look_at(some, deadline).await?);
    }
    Ok(decide(taken, &facts))
}

fn decide(taken: Vec<Taken>, facts: &[Facts]) -> Vec<Planned> {
    let mut rung = BTreeSet::new();
    let mut decide = |taken: Taken| {
        let email_id = match body::parse(taken.body.as_bytes()) {
            Ok(id) => id,
            Err(unreadable) => {
                let what = What::Keep(Why::Unreadable(unreadable));
                return Planned { taken, email_id: None, state: None, what };
            }
        };
        let found = facts.iter().find(|facts| facts.id == email_id);
        let state = found.map(|facts| facts.state);
        let what = match found {
            None => What::Keep(Why::NoRow),
            Some(facts) if facts.state.is_terminal() => What::Remove,
            Some(facts) => {
                // An unknown lane is failed by whoever claims the row.
                let lane = facts.lane.parse().unwrap_or(Lane::Urgent);
                if rung.insert(email_id) { What::Ring(lane) } else { What::Double }
            }
        };
        Planned { taken, email_id: Some(email_id), state, what }
    };
    taken.into_iter().map(&mut decide).collect()
}

/// Does what was planned, one message after the other, and tells what became of each. What was to be left where it is, or
/// could not be dealt with, is shown to others again at once.
pub async fn apply(
    bell: &impl Bell,
    backlog: &impl Backlog,
    planned: &[Planned],
    mut tell: impl FnMut(&Planned, &Done),
) {
    // Rung for in vain: another message of the same email has nothing to rely on.
    let mut silent = BTreeSet::new();
    for planned in planned {
        let done = one(bell, backlog, planned, &mut silent).await;
        if !matches!((planned.what, &done), (What::Ring(_) | What::Double | What::Remove, Done::AsPlanned)) {
            // If not, it shows when its time is over.
            let _ = backlog.give_back(&planned.taken).await;
        }
        tell(planned, &done);
    }
}

async fn one(
    bell: &impl Bell,
    backlog: &impl Backlog,
    planned: &Planned,
    silent: &mut BTreeSet<u64>,
) -> Done {
    match (planned.what, planned.email_id) {
        (What::Keep(_), _) => return Done::AsPlanned,
        (What::Ring(lane), Some(email_id)) => {
            let trace = planned.taken.trace.clone();
            let rung = bell.ring(Ring { email_id, lane, delay: Duration::ZERO, tries: 0, trace }).await;
            let failed = match rung {
                Ok(Rung::Yes) => None,
                Ok(Rung::NoQueue) => Some(Done::NoQueue(lane)),
                Err(error) => Some(Done::NotRung(error)),
            };
            if let Some(failed) = failed {
                silent.insert(email_id);
                return failed;
            }
        }
        (What::Double, Some(email_id)) if silent.contains(&email_id) => return Done::AsTheOther,
        _ => {}
    }
    backlog.remove(&planned.taken).await.map_or_else(Done::NotRemoved, |()| Done::AsPlanned)
}

/// Moves messages to another queue as they are: SES's events, say, back to where `feedback` takes them from. Each is
/// removed only when it is there.
pub async fn move_on(
    backlog: &impl Backlog,
    queue_url: &str,
    taken: &[Taken],
    mut tell: impl FnMut(&Taken, &Done),
) {
    for taken in taken {
        let done = match backlog.copy_to(queue_url, taken).await {
            Ok(()) => backlog.remove(taken).await.map_or_else(Done::NotRemoved, |()| Done::AsPlanned),
            Err(error) => {
                // If not, it shows when its time is over.
                let _ = backlog.give_back(taken).await;
                Done::NotMoved(error)
            }
        };
        tell(taken, &done);
    }
}

/// Shows to others again what nothing was done about.
pub async fn give_back(backlog: &impl Backlog, taken: impl IntoIterator<Item = &Taken>) {
    for taken in taken {
        // If not, it shows when its time is over.
        let _ = backlog.give_back(taken).await;
    }
}

#[cfg(test)]
mod tests;
