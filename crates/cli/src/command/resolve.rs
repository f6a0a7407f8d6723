//! `sendonce resolve`: somebody decides about emails of which nobody knows whether SES took them.
//!
//! It is looked first, and said plainly what a resend may do. On a terminal it is asked then, with no connection open and
//! no lock held; the connection for the change is another one.

use std::io::{self, IsTerminal as _, Write as _};

use outbox::{
    config::OperatorConfig,
    operator,
    state::State,
    store::{
        Session, StoreError,
        operator::{Command, Filter, Outcome},
    },
};

use super::change::{Change, distinct};
use crate::{
    arguments::Resolve,
    failure::Failure,
    output::{Report, emails},
    session::{self, CHANGING, LOOKING},
};

/// Emails that are resolved at once. An outage that left more takes more than one command.
const MOST: usize = 50_000;

pub(crate) async fn run(config: &OperatorConfig, resolve: Resolve) -> Result<Report, Failure> {
    let may_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
    let many = resolve.since.is_some() || resolve.ids.len() > 1;
    if many && !may_ask && !resolve.yes && !resolve.dry_run {
        return Err(Failure::usage(
            "more than one email is only resolved after a question, and there is no terminal to ask on",
            "look at it with --dry-run, then say --yes",
        ));
    }
    let command = if resolve.resend {
        Command::Resend { drop_expiry: resolve.drop_expiry }
    } else {
        Command::AssumeSent
    };
    let asks = may_ask && !resolve.yes && !resolve.dry_run;
    let mut plan = Plan::new(command, &resolve);
    let which = Which::of(resolve);
    let limit = if plan.change.dry_run { LOOKING } else { CHANGING };
    let made = session::with(&config.database, limit, async |session, deadline, stop| {
        which.find(session, &mut plan, deadline).await?;
        if plan.change.dry_run || asks {
            return Ok(());
        }
        let Plan { ids, change, .. } = &mut plan;
        operator::apply(session, command, ids, &mut change.outcomes, deadline, &|| stop.is_asked_for()).await
    })
    .await;
    plan.change.fails_with(made)?;
    if plan.change.dry_run {
        plan.change.outcomes = std::mem::take(&mut plan.expected);
    } else if asks && plan.would_change() {
        ask(&plan.statement(" (--dry-run says why)")).await?;
        let Plan { ids, change, .. } = &mut plan;
        let outcomes = &mut change.outcomes;
        let made = session::with(&config.database, CHANGING, async |session, deadline, stop| {
            operator::apply(session, command, ids, outcomes, deadline, &|| stop.is_asked_for()).await
        })
        .await;
        plan.change.fails_with(made)?;
        return Ok(plan.change.report());
    } else if asks {
        plan.change.outcomes = std::mem::take(&mut plan.expected);
    }
    plan.change.preface = plan.preface;
    Ok(plan.change.report())
}

/// What is to be done, and what it is expected to lead to.
struct Plan {
    ids: Vec<u64>,
    expected: Vec<(u64, Outcome)>,
    change: Change,
    preface: String,
}

impl Plan {
    fn new(command: Command, resolve: &Resolve) -> Self {
        let change = Change::new(command, 0, resolve.dry_run);
        Self { ids: Vec::new(), expected: Vec::new(), change, preface: String::new() }
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.expected.iter().filter(|(_, expected)| *expected == outcome).count()
    }

    fn would_change(&self) -> bool {
        self.expected.iter().any(|(_, outcome)| outcome.is_done())
    }

    /// What it means, in plain words; `reasons` is where those are that stand in the way.
    fn statement(&self, reasons: &str) -> String {
        let shown = self.count(Outcome::ShownSent);
        let mut text = match self.change.command {
            Command::Resend { .. } => format!(
                "{} may arrive once more: nobody knows whether SES took them before.\n",
                emails(self.count(Outcome::Done(State::Pending)))
            ),
            _ => format!(
                "To be taken for sent: {}. What SES did not take, its recipients never get.\n",
                emails(self.count(Outcome::Done(State::Sent)))
            ),
        };
        if shown > 0 {
            text.extend([format!(
                "Not sent again, since an SES event shows that SES took them: {}.\n",
                emails(shown)
            )]);
        }
        let stay = self.expected.iter().filter(|(_, outcome)| !outcome.is_done()).count();
        if stay > 0 {
            text.extend([format!("Not to be changed: {}{reasons}.\n", emails(stay))]);
        }
        text
    }
}

/// Which emails were asked for.
enum Which {
    Ids(Vec<u64>),
    Fitting(Filter),
}

impl Which {
    fn of(resolve: Resolve) -> Self {
        if resolve.since.is_none() {
            return Self::Ids(distinct(resolve.ids));
        }
        Self::Fitting(Filter {
            state: State::Unknown,
            lane: resolve.lane,
            since: resolve.since,
            until: resolve.until,
            error_kind: resolve.error_kind,
        })
    }

    async fn find(
        self,
        session: &mut Session,
        plan: &mut Plan,
        deadline: std::time::Instant,
    ) -> Result<(), StoreError> {
        let mut note = String::new();
        plan.ids = match self {
            Self::Ids(ids) => ids,
            Self::Fitting(filter) => {
                let selection = operator::select(session, &filter, MOST, deadline).await?;
                if selection.ids.is_empty() {
                    note.push_str("No unknown email fits: there is nothing to resolve.\n");
                } else if selection.is_cut_off {
                    note = format!("There are more: these are the first {}.\n", emails(MOST));
                }
                selection.ids
            }
        };
        plan.change.asked_for = plan.ids.len();
        plan.expected = operator::rehearse(session, plan.change.command, &plan.ids, deadline).await?;
        plan.preface =
            if plan.would_change() { plan.statement(", for the reasons below") + &note } else { note };
        Ok(())
    }
}

/// Asks on the terminal; anything but yes is a no.
async fn ask(statement: &str) -> Result<(), Failure> {
    let question = format!("{statement}Go on? [yes/no] ");
    let answer = tokio::task::spawn_blocking(move || {
        io::stderr().write_all(question.as_bytes())?;
        io::stderr().flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = tokio::select! {
        answer = answer => answer,
        () = session::interrupt() => {
            let _ = io::stderr().write_all(b"\n");
            return Err(Failure::interrupted_before());
        }
    };
    match answer {
        Ok(Ok(answer)) if matches!(answer.trim(), "y" | "yes" | "Y" | "YES" | "Yes") => Ok(()),
        Ok(Err(error)) => Err(Failure::system(&error)),
        _ => Err(Failure::declined()),
    }
}
