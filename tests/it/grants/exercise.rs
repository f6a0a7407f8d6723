//! All that a function may ever ask the database, whatever its rows are.
//!
//! The server checks rights when it looks at a statement, before any row: so one row is enough, and a row that no statement
//! matches does as well.

use std::time::Duration;

use doorbell::backlog::Taken;
use outbox::{
    mailer::Reason,
    redrive,
    state::{AttemptId, State},
    store::{
        Chore, Claim, ClaimRequest, Event, LaneReport, Meaning, NotClaimed, Overdue, Pace, Part, Postpone,
        Record, Session, StoreError, SweepRules, Verdict,
        operator::{Command, Filter, LaneCommand, When},
    },
};

use crate::world::{Table, soon};

/// Whose statements.
#[derive(Debug, Clone, Copy)]
pub(super) enum Exercise {
    Dispatch,
    Sweep,
    Feedback,
    Operator,
    /// The same, without what changes anything.
    Look,
}

/// What there is to ask about.
pub(super) struct Rows {
    /// Not due yet, so nothing can be claimed.
    waits: u64,
    attempt: AttemptId,
}

impl Rows {
    pub(super) async fn insert(table: &Table) -> Self {
        let waits = table.insert(&[("due_at", "UTC_TIMESTAMP(6) + INTERVAL 1 DAY")]).await;
        Self { waits, attempt: AttemptId::new(1_777_897_800_000, 7) }
    }
}

pub(super) async fn run(exercise: Exercise, session: &mut Session, rows: &Rows) -> Result<(), StoreError> {
    match exercise {
        Exercise::Dispatch => send(session, rows).await,
        Exercise::Sweep => {
            sweep(session, rows).await?;
            send(session, rows).await
        }
        Exercise::Feedback => take_events(session, rows).await,
        Exercise::Operator => operate(session, rows).await,
        Exercise::Look => look(session, rows).await,
    }
}

fn reason() -> Reason {
    Reason { kind: "rejected", detail: "because".into() }
}

async fn send(session: &mut Session, rows: &Rows) -> Result<(), StoreError> {
    let (id, attempt, reason) = (rows.waits, &rows.attempt, &reason());
    let mut place = None;
    for pace in [None, Pace::new(14)] {
        for probe in [false, true] {
            let lease = Duration::from_mins(1);
            let request = ClaimRequest { id, attempt, lease, pace, probe };
            if let Claim::NotClaimed(NotClaimed::NotDue { place: at, .. }) =
                session.claim(request, soon()).await?
            {
                place = Some(at);
            }
        }
    }
    let wait = Duration::from_secs(1);
    let verdicts = [
        Verdict::Accepted { message_id: "0102-x" },
        Verdict::Retry { wait, give_back: true, reason },
        Verdict::Release { wait },
        Verdict::Withdraw { wait },
        Verdict::Fail { reason },
        Verdict::Suppress,
        Verdict::Unknown { reason },
    ];
    let reports = [
        LaneReport::Healthy,
        LaneReport::Unprobed,
        LaneReport::Doubtful { probe: false },
        LaneReport::Rest { at_least: wait, probe: true },
    ];
    for verdict in verdicts {
        for report in reports {
            // Nothing was claimed, so nothing is kept of it: this id is nobody's.
            let record = Record { id: u64::from(u32::MAX), attempt, verdict, lane: Some(("urgent", report)) };
            session.record(record, soon()).await?;
        }
    }
    let place = place.expect("it is not due");
    session.postpone(id, &place, Postpone::Until(wait), soon()).await?;
    session.postpone(id, &place, Postpone::InLine { earliest: wait, spacing: wait }, soon()).await?;
    session.postpone(id, &place, Postpone::LeftToSweep, soon()).await?;
    session.unring(&[id], soon()).await?;
    session.expire(id, reason, soon()).await?;
    session.settle(id, soon()).await?;
    Ok(())
}

async fn sweep(session: &mut Session, rows: &Rows) -> Result<(), StoreError> {
    survey(session).await?;
    let attempt = || rows.attempt.to_string();
    let chores = [
        Chore::EndLease { attempt: attempt() },
        Chore::Resend { attempt: attempt() },
        Chore::Settle,
        Chore::Expire,
        Chore::Retire,
        Chore::Ring { rung_at: None, delay: Duration::ZERO },
    ];
    for chore in chores {
        // Each matches no row.
        let overdue = Overdue { id: u64::from(u32::MAX), lane: "urgent".into(), chore };
        session.chore(&[overdue], &SweepRules::DEFAULT, soon()).await?;
    }
    Ok(())
}

async fn survey(session: &mut Session) -> Result<(), StoreError> {
    for queues in [true, false] {
        let rules = SweepRules { urgent_has_queue: queues, bulk_has_queue: queues, ..SweepRules::DEFAULT };
        for part in Part::ALL {
            session.survey(part, &rules, 10, soon()).await?;
        }
    }
    Ok(())
}

async fn take_events(session: &mut Session, rows: &Rows) -> Result<(), StoreError> {
    for meaning in [Meaning::Taken, Meaning::Dropped(&reason()), Meaning::Nothing] {
        let event = Event {
            id: u64::from(u32::MAX),
            attempt: &rows.attempt,
            kind: "open",
            meaning,
            at: None,
            taken_at: None,
            message_id: None,
            identity: "x",
            detail: "{}",
        };
        session.take_event(event, soon()).await?;
    }
    Ok(())
}

/// What changes nothing, redrive's look at the table included.
async fn look(session: &mut Session, rows: &Rows) -> Result<(), StoreError> {
    survey(session).await?;
    session.story(rows.waits, soon()).await?.expect("it is there");
    session.stats(Duration::from_hours(24), soon()).await?;
    session.look_at(&[rows.waits], soon()).await?;
    session.lanes(None, &["urgent"], soon()).await?;
    let message = Taken {
        id: "message".into(),
        receipt: "receipt".into(),
        body: rows.waits.to_string(),
        attributes: Vec::new(),
        group: None,
        trace: None,
    };
    let planned = redrive::plan(session, vec![message], soon()).await?;
    assert_eq!(planned[0].state, Some(State::Pending));
    let filter = Filter {
        state: State::Pending,
        lane: None,
        since: Some(When::Ago(Duration::from_hours(1))),
        until: Some(When::Ago(Duration::ZERO)),
        error_kind: None,
    };
    session.list(&filter, None, 10, soon()).await?;
    session.list(&filter, Some(rows.waits), 10, soon()).await?;
    Ok(())
}

async fn operate(session: &mut Session, rows: &Rows) -> Result<(), StoreError> {
    look(session, rows).await?;
    for command in [LaneCommand::Pause, LaneCommand::PauseFor(Duration::from_secs(1)), LaneCommand::Resume] {
        session.lanes(Some(command), &["urgent"], soon()).await?;
    }
    for drop_expiry in [false, true] {
        let commands = [
            Command::AssumeSent,
            Command::Resend { drop_expiry },
            Command::Retry { drop_expiry },
            // Of an email that nobody wrote: the row that waits shall go on waiting.
            Command::Cancel,
        ];
        for command in commands {
            session.command(command, &[u64::from(u32::MAX)], &mut Vec::new(), soon()).await?;
        }
    }
    Ok(())
}
