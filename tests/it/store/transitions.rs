//! The SQL does what `state::transition` says: each combination of state, attempt, resends and history, and each event, in
//! a row of its own, through the real operation.

use std::{collections::HashMap, fmt::Write as _, time::Duration};

use outbox::{
    mailer::Reason,
    state::{
        AttemptId, State,
        transition::{Attempt, Attempts, Event, History, Row, Says, Verdict, after},
    },
    store::{
        self, Chore, ClaimRequest, Meaning, Overdue, Record, Session, SweepRules,
        operator::{Command, Outcome},
    },
};

use crate::world::{Table, open, soon};

const EARLIER: Attempt = Attempt(0);
const CURRENT: Attempt = Attempt(1);
const NEXT: Attempt = Attempt(2);

const TAKEN: [&str; 6] = ["accepted", "send", "delivery", "bounce", "complaint", "delivery_delay"];
const REFUSED: [&str; 2] = ["reject", "rendering_failure"];
const NOTHING: [&str; 3] = ["subscription", "open", "click"];

/// Everything is allowed: what the sweep may do is asked before, and these tests answer.
const RULES: SweepRules = SweepRules {
    resend_by_default: true,
    unknown_wait: Duration::from_mins(10),
    max_resends: 100,
    max_age: Duration::from_hours(7 * 24),
    urgent_has_queue: true,
    bulk_has_queue: true,
};

/// The operation that carries an event out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Claim,
    Record,
    TakeEvent,
    /// The sweep finds `lease_until`, `expires_at`, the age, the policy.
    EndLease,
    Expire,
    Retire,
    Resend,
    /// A doorbell finds `expires_at`: it settles what was accepted and ends the rest.
    ExpireAtDoorbell,
    Command(Command),
}

const fn ways() -> [(Way, Event); 9] {
    let (drop_expiry, expire) = (false, Event::Expire);
    [
        (Way::Claim, Event::Claim { attempt: NEXT }),
        (Way::EndLease, Event::LeaseOver),
        (Way::Expire, expire),
        (Way::Retire, expire),
        (Way::ExpireAtDoorbell, expire),
        (Way::Resend, Event::Resend),
        (Way::Command(Command::Resend { drop_expiry }), Event::Resend),
        (Way::Command(Command::Retry { drop_expiry }), Event::Retry),
        (Way::Command(Command::Cancel), Event::Cancel),
    ]
}

fn events() -> Vec<(Way, Event)> {
    let mut events = ways().to_vec();
    events.push((Way::Command(Command::AssumeSent), Event::AssumeSent));
    for attempt in [EARLIER, CURRENT] {
        let verdicts = [
            Verdict::Accepted,
            Verdict::Retry,
            Verdict::Release,
            Verdict::Withdraw,
            Verdict::Fail,
            Verdict::Suppress,
            Verdict::Unknown,
        ];
        events.extend(verdicts.map(|verdict| (Way::Record, Event::Recorded { attempt, verdict })));
        let says = [Says::Taken, Says::Refused, Says::Nothing];
        events.extend(says.map(|says| (Way::TakeEvent, Event::Ses { attempt, says })));
    }
    events
}

/// Which attempts a set has: the earlier one, the current one.
fn attempts(bits: usize) -> Attempts {
    let mut attempts = Attempts::NONE;
    for (at, attempt) in [EARLIER, CURRENT].into_iter().enumerate() {
        if bits & 1 << at != 0 {
            attempts = attempts.with(attempt);
        }
    }
    attempts
}

fn rows() -> Vec<Row> {
    let none = Attempts::NONE;
    let resends = [
        (0, none, none),
        // A row that was put back by hand, and whose history does not know.
        (1, none, none),
        (1, none.with(EARLIER), none),
        (1, none.with(CURRENT), none),
        (1, none.with(EARLIER), none.with(EARLIER)),
    ];
    let mut rows = vec![Row::NEW];
    for state in State::ALL {
        for (taken, refused) in (0..4).flat_map(|taken| (0..4).map(move |refused| (taken, refused))) {
            let (taken, refused) = (attempts(taken), attempts(refused));
            for (resends, given_up, not_sent) in resends {
                let history = History { taken, refused, given_up, not_sent };
                // What was given up matters where nothing was accepted.
                if resends == 0 || taken == none {
                    rows.push(Row { state, attempt: Some(CURRENT), resends, history });
                }
            }
        }
    }
    rows
}

/// One row, and what happens to it. Its number is the row's id.
struct Case {
    id: u64,
    row: Row,
    way: Way,
    event: Event,
}

impl Case {
    fn token(&self, attempt: Attempt) -> AttemptId {
        AttemptId::new(self.id, u128::from(attempt.0))
    }

    /// One of these kinds, another one from case to case.
    fn kind(&self, kinds: &[&'static str]) -> &'static str {
        kinds[usize::try_from(self.id).expect("small") / 7 % kinds.len()]
    }

    fn email(&self) -> String {
        let old = "UTC_TIMESTAMP(6) - INTERVAL 20 MINUTE";
        let due = if self.way == Way::Retire { "UTC_TIMESTAMP(6) - INTERVAL 8 DAY" } else { old };
        let expiry = matches!(self.way, Way::Expire | Way::ExpireAtDoorbell);
        format!(
            "({}, 'shop@shop.example', '[\"ada@customer.example\"]', 'Your receipt', 'Thank you.', {due}, {due}, {old}, {}, \
             '{}', {}, {}, {}, {}, {})",
            self.id,
            if expiry { old } else { "NULL" },
            self.row.state,
            self.row
                .attempt
                .map_or_else(|| "NULL".to_owned(), |attempt| format!("'{}'", self.token(attempt))),
            self.row.resends,
            if self.row.state == State::Sending { old } else { "NULL" },
            if self.row.state == State::Sent { old } else { "NULL" },
            if self.row.state == State::Failed { "'some_kind'" } else { "NULL" },
        )
    }

    fn history(&self) -> Vec<String> {
        let History { taken, refused, given_up, not_sent } = self.row.history;
        let sets = [
            (taken, self.kind(&TAKEN)),
            (refused, self.kind(&REFUSED)),
            (given_up, "resent"),
            (not_sent, "not_sent"),
        ];
        let mut events = Vec::new();
        for (set, kind) in sets {
            for attempt in [EARLIER, CURRENT] {
                if set.has(attempt) {
                    events.push(format!("({}, '{kind}', '{}')", self.id, self.token(attempt)));
                }
            }
        }
        events
    }

    /// An overdue row, as the sweep finds it; `None` when it is not the sweep that acts.
    fn overdue(&self) -> Option<Overdue> {
        let attempt = self.token(CURRENT).as_str().to_owned();
        let chore = match self.way {
            Way::EndLease => Chore::EndLease { attempt },
            Way::Resend => Chore::Resend { attempt },
            Way::Expire => Chore::Expire,
            Way::Retire => Chore::Retire,
            _ => return None,
        };
        Some(Overdue { id: self.id, lane: "urgent".to_owned(), chore })
    }

    async fn happen(&self, session: &mut Session) {
        let id = self.id;
        let reason = Reason::new("some_kind", "Some sentence.");
        match (self.way, self.event) {
            (Way::Claim, Event::Claim { attempt }) => {
                let (attempt, lease) = (&self.token(attempt), Duration::from_mins(1));
                let claim = ClaimRequest { id, attempt, lease, pace: None, probe: false };
                session.claim(claim, soon()).await.expect("an answer");
            }
            (Way::Record, Event::Recorded { attempt, verdict }) => {
                let (reason, wait) = (&reason, Duration::ZERO);
                let verdict = match verdict {
                    Verdict::Accepted => store::Verdict::Accepted { message_id: "0102-x" },
                    Verdict::Retry => store::Verdict::Retry { wait, give_back: false, reason },
                    Verdict::Release => store::Verdict::Release { wait },
                    Verdict::Withdraw => store::Verdict::Withdraw { wait },
                    Verdict::Fail => store::Verdict::Fail { reason },
                    Verdict::Suppress => store::Verdict::Suppress,
                    Verdict::Unknown => store::Verdict::Unknown { reason },
                };
                let record = Record { id, attempt: &self.token(attempt), verdict, lane: None };
                session.record(record, soon()).await.expect("recorded");
            }
            (Way::TakeEvent, Event::Ses { attempt, says }) => {
                let (kind, meaning) = match says {
                    Says::Taken => (self.kind(&TAKEN[1..]), Meaning::Taken),
                    Says::Refused => (self.kind(&REFUSED), Meaning::Dropped(&reason)),
                    Says::Nothing => (self.kind(&NOTHING), Meaning::Nothing),
                };
                let event = store::Event {
                    id,
                    attempt: &self.token(attempt),
                    kind,
                    meaning,
                    at: None,
                    taken_at: None,
                    message_id: Some("0102-x"),
                    identity: &id.to_string(),
                    detail: "{}",
                };
                session.take_event(event, soon()).await.expect("taken in");
            }
            (Way::ExpireAtDoorbell, _) => {
                session.settle(id, soon()).await.expect("looked at");
                session.expire(id, &reason, soon()).await.expect("ended");
            }
            (way, event) => unreachable!("{way:?} does not carry out {event:?}"),
        }
    }
}

#[tokio::test]
async fn the_table_moves_as_the_specification_says() {
    let table = Table::new().await;
    let rows = rows();
    let cases: Vec<_> = (1..)
        .zip(events().into_iter().flat_map(|event| rows.iter().map(move |row| (event, *row))).filter(
            // What was put back already and never claimed again is not the policy's to put back.
            |((way, _), row)| *way != Way::Resend || !row.history.given_up.has(CURRENT),
        ))
        .map(|(id, ((way, event), row))| Case { id, row, way, event })
        .collect();
    write(&table, &cases).await;

    let mut session = open(&table.plain()).await;
    for case in &cases {
        if case.overdue().is_none() && !matches!(case.way, Way::Command(_)) {
            case.happen(&mut session).await;
        }
    }
    let overdue: Vec<_> = cases.iter().filter_map(Case::overdue).collect();
    for chores in overdue.chunks(200) {
        session.chore(chores, &RULES, soon()).await.expect("done");
    }
    for (way, _) in events() {
        let Way::Command(command) = way else { continue };
        let ids: Vec<_> = cases.iter().filter(|case| case.way == way).map(|case| case.id).collect();
        for ids in ids.chunks(Session::COMMAND_BATCH) {
            let mut outcomes = Vec::new();
            session.command(command, ids, &mut outcomes, soon()).await.expect("done");
            assert!(!outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Locked(_))));
        }
    }
    session.close().await;

    let found = read(&table, &cases).await;
    let mut wrong = String::new();
    let mut moved = 0;
    for case in &cases {
        let expected = after(case.row, case.event);
        moved += usize::from(expected.is_some());
        let (expected, found) = (expected.unwrap_or(case.row), found[&case.id]);
        if found != expected {
            let Case { row, way, event, .. } = case;
            writeln!(wrong, "{way:?} {event:?}\n  of {row:?}\n  to {found:?}\n not {expected:?}")
                .expect("a String takes all");
        }
    }
    let count = wrong.lines().count() / 4;
    assert!(wrong.is_empty(), "{count} of {} rows are wrong:\n{}", cases.len(), first_lines(&wrong, 60));
    assert!(moved > cases.len() / 5, "{moved} of {} rows moved", cases.len());
}

fn first_lines(text: &str, most: usize) -> String {
    text.lines().take(most).collect::<Vec<_>>().join("\n")
}

/// Puts the rows into the table, and their histories.
async fn write(table: &Table, cases: &[Case]) {
    for cases in cases.chunks(1_000) {
        let emails: Vec<_> = cases.iter().map(Case::email).collect();
        table
            .execute(&format!(
                "INSERT INTO email (id, sender, to_addresses, subject, text_body, created_at, due_at, state_at, expires_at, \
                 state, attempt_id, resends, lease_until, sent_at, error_kind) VALUES {}",
                emails.join(", ")
            ))
            .await;
        let events: Vec<_> = cases.iter().flat_map(Case::history).collect();
        let insert = "INSERT INTO email_event (email_id, kind, attempt_id) VALUES";
        table.execute(&format!("{insert} {}", events.join(", "))).await;
    }
}

/// The rows as they are now.
async fn read(table: &Table, cases: &[Case]) -> HashMap<u64, Row> {
    let admin = table.database.admin();
    let emails = "SELECT id, state, resends, attempt_id FROM email ORDER BY id";
    let emails = admin.rows(emails).await.expect("the emails");
    let mut rows: HashMap<u64, Row> = HashMap::new();
    for (case, columns) in cases.iter().zip(emails) {
        let [Some(id), Some(state), Some(resends), attempt] = <[_; 4]>::try_from(columns).expect("four")
        else {
            panic!("a column is NULL");
        };
        assert_eq!(id, case.id.to_string());
        let state = state.parse().expect("a state");
        let attempt = attempt.map(|token| number(case, &token));
        rows.insert(case.id, Row { state, attempt, resends: resends.parse().expect("a number"), ..Row::NEW });
    }
    let events = "SELECT email_id, kind, attempt_id FROM email_event WHERE attempt_id IS NOT NULL";
    for columns in admin.rows(events).await.expect("the history") {
        let [Some(id), Some(kind), Some(token)] = <[_; 3]>::try_from(columns).expect("three") else {
            panic!("a column is NULL");
        };
        let id: u64 = id.parse().expect("a number");
        let case = &cases[usize::try_from(id - 1).expect("small")];
        let attempt = number(case, &token);
        let history = &mut rows.get_mut(&id).expect("its row").history;
        let set = match kind.as_str() {
            kind if TAKEN.contains(&kind) => &mut history.taken,
            kind if REFUSED.contains(&kind) => &mut history.refused,
            "resent" => &mut history.given_up,
            "not_sent" => &mut history.not_sent,
            _ => continue,
        };
        *set = set.with(attempt);
    }
    rows
}

fn number(case: &Case, token: &str) -> Attempt {
    let attempts = [EARLIER, CURRENT, NEXT].into_iter();
    attempts.into_iter().find(|attempt| case.token(*attempt).as_str() == token).expect("one of its attempts")
}
