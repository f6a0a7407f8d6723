//! The checks, and mistakes that they must find.

use stateright::{Checker as _, HasDiscoveries, Model as _};

use super::{Events, Flaw, Protocol, State, promise};
use crate::state::transition::{Attempts, Event, History, Row, Verdict, after};

const HOLD: Protocol = Protocol::REAL;
const RESEND: Protocol = Protocol { resends: true, ..Protocol::REAL };

/// Looks at every state that there is, and returns how many there are.
fn hold(protocol: Protocol) -> usize {
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.is_done(), "the whole space was looked at");
    let (states, deep) = (checker.unique_state_count(), checker.max_depth());
    let Protocol { resends, events, commands, .. } = protocol;
    println!("resends {resends}, events {events:?}, commands {commands}: {states} states, {deep} deep");
    states
}

/// Both policies; no events, events, and events that take back what SES said.
fn hold_everywhere(protocol: Protocol) -> usize {
    let events = [Events::Off, Events::Taken, Events::Refused];
    let protocols = [false, true]
        .into_iter()
        .flat_map(|resends| events.map(|events| Protocol { resends, events, ..protocol }));
    protocols.map(hold).sum()
}

#[test]
fn every_promise_holds_whoever_dies_when() {
    let states = hold_everywhere(Protocol { attempts: 3, ..HOLD });
    assert!(states > 150_000, "{states}: the model has become smaller");
}

#[test]
fn every_promise_holds_whatever_an_operator_does() {
    let states = hold_everywhere(Protocol { attempts: 2, commands: 1, ..HOLD });
    assert!(states > 170_000, "{states}: the model has become smaller");
}

/// Whether the checker finds that a promise is broken.
fn breaks(promise: &'static str, mistake: Protocol) {
    let found = HasDiscoveries::AnyOf([promise].into());
    let checker = mistake.checker().finish_when(found).spawn_bfs().join();
    let path = checker.assert_any_discovery(promise);
    println!("{promise}: {:?}", path.into_actions());
}

#[test]
fn a_resend_straight_from_sending_is_found() {
    let mistake = |row: Row, event| match event {
        Event::LeaseOver if row.state == State::Sending => Some(Row { state: State::Pending, ..row }),
        _ => after(row, event),
    };
    breaks(promise::NOT_TWICE, Protocol { after: mistake, ..HOLD });
    breaks(promise::NOT_TWICE, Protocol { after: mistake, ..RESEND });
}

#[test]
fn a_record_without_a_fence_is_found() {
    let mistake = |row: Row, event| match (event, row.attempt) {
        (Event::Recorded { verdict, .. }, Some(attempt)) => after(row, Event::Recorded { attempt, verdict }),
        _ => after(row, event),
    };
    breaks(promise::NOT_TWICE, Protocol { after: mistake, ..HOLD });
    breaks(promise::HONEST_ENDS, Protocol { after: mistake, ..RESEND });
}

#[test]
fn a_late_acceptance_thrown_away_is_found() {
    let mistake = |row: Row, event| match event {
        Event::Recorded { attempt, verdict: Verdict::Accepted } if row.attempt != Some(attempt) => None,
        _ => after(row, event),
    };
    breaks(promise::ACCEPTANCE_KEPT, Protocol { after: mistake, ..RESEND });
}

#[test]
fn a_lost_doorbell_that_no_sweep_rings_is_found() {
    breaks(promise::NOTHING_LOST, Protocol { flaw: Flaw::NobodyRings, ..HOLD });
}

#[test]
fn a_lease_that_nobody_ends_is_found() {
    let mistake = |row: Row, event| if event == Event::LeaseOver { None } else { after(row, event) };
    breaks(promise::NOTHING_LOST, Protocol { after: mistake, ..HOLD });
}

#[test]
fn a_request_that_is_repeated_is_found() {
    breaks(promise::ONCE_AN_ATTEMPT, Protocol { flaw: Flaw::AsksAgain, ..HOLD });
}

#[test]
fn a_dishonest_end_is_found() {
    let mistake = |row: Row, event| match event {
        Event::Recorded { verdict: Verdict::Fail, .. } => {
            let history = History { given_up: Attempts::NONE, ..row.history };
            after(Row { resends: 0, history, ..row }, event)
        }
        _ => after(row, event),
    };
    breaks(promise::HONEST_ENDS, Protocol { after: mistake, ..RESEND });
}

#[test]
fn an_acceptance_that_outweighs_a_refusal_is_found() {
    let mistake = |row: Row, event| match event {
        Event::Recorded { attempt, verdict: Verdict::Accepted } if row.attempt == Some(attempt) => {
            Some(Row { state: State::Sent, ..row })
        }
        _ => after(row, event),
    };
    breaks(promise::SENT_IS_TRUE, Protocol { after: mistake, events: Events::Refused, ..HOLD });
}

/// SES drops the first attempt, an operator begins again, the second one is given up: nobody knows of that one.
#[test]
fn a_refusal_taken_for_that_of_another_attempt_is_found() {
    let mistake = |row: Row, event| {
        let known = row.history.refused.count() >= row.history.given_up.count();
        let given_up = if known { Attempts::NONE } else { row.history.given_up };
        let resends = if known { 0 } else { row.resends };
        after(Row { resends, history: History { given_up, ..row.history }, ..row }, event)
    };
    breaks(promise::HONEST_ENDS, Protocol { after: mistake, events: Events::Refused, commands: 1, ..RESEND });
}
