//! What operators do, many emails at once: the use case behind the command line.
//!
//! First it is looked, without a lock, at what a command would do; then it is done, a few emails a round trip, each for
//! itself. Nothing is held between the two, so the answer to "shall I?" may take as long as it takes.

use std::time::Instant;

use crate::store::{
    Session, StoreError,
    operator::{Command, Facts, Filter, LaneCommand, LanesDone, Outcome},
};

/// Emails of one page while a selection is read.
const PAGE: u32 = 1_000;
/// Times that one batch is tried when it loses against a lock.
const TRIES: usize = 4;

/// Some emails that a filter fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// `email.id` of each.
    pub ids: Vec<u64>,
    /// There are more than were asked for.
    pub is_cut_off: bool,
}

/// Finds the emails that `filter` fits, at most `most`.
///
/// # Errors
///
/// Any of [`StoreError`].
pub async fn select(
    session: &mut Session,
    filter: &Filter,
    most: usize,
    deadline: Instant,
) -> Result<Selection, StoreError> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        // The row to go on from may have been deleted meanwhile; what was found is a selection all the same.
        let Some(page) = session.list(filter, after, PAGE, deadline).await? else {
            return Ok(Selection { ids, is_cut_off: true });
        };
        ids.extend(page.lines.iter().map(|line| line.id));
        if ids.len() > most {
            ids.truncate(most);
            return Ok(Selection { ids, is_cut_off: true });
        }
        after = page.next;
        if after.is_none() {
            return Ok(Selection { ids, is_cut_off: false });
        }
    }
}

/// What `command` would do to each of `ids`, as far as that can be told without a lock.
///
/// # Errors
///
/// Any of [`StoreError`].
pub async fn rehearse(
    session: &mut Session,
    command: Command,
    ids: &[u64],
    deadline: Instant,
) -> Result<Vec<(u64, Outcome)>, StoreError> {
    let mut outcomes = Vec::with_capacity(ids.len());
    for some in ids.chunks(Session::LOOK_BATCH) {
        let facts = session.look_at(some, deadline).await?;
        for id in some {
            let found = facts.iter().find(|facts| facts.id == *id);
            outcomes.push((*id, found.map_or(Outcome::Missing, |facts| expected(command, facts))));
        }
    }
    Ok(outcomes)
}

/// Does `command` to each of `ids`, until `stop` says so: it is asked before each round trip. What became of them is in `outcomes` also when it fails half-way, or is dropped.
///
/// # Errors
///
/// Any of [`StoreError`]. Those of whom it is not known whether they were changed are [`Outcome::NotKnown`]; those
/// after them were not touched and have no outcome.
pub async fn apply(
    session: &mut Session,
    command: Command,
    ids: &[u64],
    outcomes: &mut Vec<(u64, Outcome)>,
    deadline: Instant,
    stop: &dyn Fn() -> bool,
) -> Result<(), StoreError> {
    for some in ids.chunks(Session::COMMAND_BATCH) {
        if stop() {
            break;
        }
        let before = outcomes.len();
        for left in (0..TRIES).rev() {
            let rest = &some[outcomes.len() - before..];
            match session.command(command, rest, outcomes, deadline).await {
                Ok(()) => break,
                Err(error) if error.is_contended() && left > 0 => {}
                Err(error) => {
                    if !error.is_contended() && !matches!(error, StoreError::Refused { .. }) {
                        let rest = &some[outcomes.len() - before..];
                        outcomes.extend(rest.iter().map(|id| (*id, Outcome::NotKnown)));
                    }
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

/// Does `command` to these lanes, or with none only looks at them.
///
/// # Errors
///
/// Any of [`StoreError`]. It may have been done all the same; to do it again does no harm.
pub async fn lanes(
    session: &mut Session,
    command: Option<LaneCommand>,
    names: &[&str],
    deadline: Instant,
) -> Result<LanesDone, StoreError> {
    for _ in 1..TRIES {
        match session.lanes(command, names, deadline).await {
            Err(error) if error.is_contended() => {}
            done => return done,
        }
    }
    session.lanes(command, names, deadline).await
}

fn expected(command: Command, facts: &Facts) -> Outcome {
    if !command.from_states().contains(&facts.state) {
        Outcome::State(facts.state)
    } else if facts.accepted {
        Outcome::ShownSent
    } else if command.minds_expiry() && facts.expired {
        Outcome::ExpiryPassed(facts.state)
    } else {
        Outcome::Done(command.to_state(facts.unresolved))
    }
}
