//! What `resolve`, `retry` and `cancel` have in common: something is done to many emails, and each that it was not done
//! to is named, with the reason.

use std::collections::HashSet;

use outbox::{
    config::OperatorConfig,
    operator,
    state::State,
    store::operator::{Command, Outcome},
};
use serde_json::{Value, json};

use crate::{
    failure::{Exit, Failure},
    output::{Report, emails},
    session::{self, CHANGING, LOOKING},
};

/// Emails that are named one by one; of more, so many of those that were not changed.
const NAMED: usize = 20;

/// What became, or would become, of each email.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) command: Command,
    pub(crate) asked_for: usize,
    pub(crate) outcomes: Vec<(u64, Outcome)>,
    pub(crate) dry_run: bool,
    /// What went wrong half-way.
    pub(crate) failure: Option<Failure>,
    /// Said before what was done.
    pub(crate) preface: String,
}

impl Change {
    pub(crate) fn new(command: Command, asked_for: usize, dry_run: bool) -> Self {
        let (outcomes, failure, preface) = (Vec::new(), None, String::new());
        Self { command, asked_for, outcomes, dry_run, failure, preface }
    }

    /// Only looks.
    pub(crate) async fn rehearsed(
        config: &OperatorConfig,
        command: Command,
        ids: Vec<u64>,
    ) -> Result<Self, Failure> {
        let mut change = Self::new(command, ids.len(), true);
        change.outcomes = session::with(&config.database, LOOKING, async |session, deadline, _| {
            operator::rehearse(session, command, &ids, deadline).await
        })
        .await?;
        Ok(change)
    }

    /// Does it.
    pub(crate) async fn made(
        config: &OperatorConfig,
        command: Command,
        ids: Vec<u64>,
    ) -> Result<Self, Failure> {
        let mut change = Self::new(command, ids.len(), false);
        let outcomes = &mut change.outcomes;
        let made = session::with(&config.database, CHANGING, async |session, deadline, stop| {
            operator::apply(session, command, &ids, outcomes, deadline, &|| stop.is_asked_for()).await
        })
        .await;
        change.fails_with(made)?;
        Ok(change)
    }

    /// Keeps what went wrong beside what was done, if anything was.
    pub(crate) fn fails_with(&mut self, made: Result<(), Failure>) -> Result<(), Failure> {
        match made {
            Err(failure) if self.outcomes.is_empty() => Err(failure),
            other => {
                self.failure = other.err();
                Ok(())
            }
        }
    }

    fn count(&self, which: impl Fn(Outcome) -> bool) -> usize {
        self.outcomes.iter().filter(|(_, outcome)| which(*outcome)).count()
    }

    /// Whether the email is as the operator wants it. One that turned out to be sent, or that may have been, was
    /// changed, but not withdrawn.
    fn is_as_asked(&self, outcome: Outcome) -> bool {
        match self.command {
            Command::Cancel => outcome == Outcome::Done(State::Cancelled),
            _ => outcome.is_done(),
        }
    }

    /// Text, document and exit code.
    pub(crate) fn report(self) -> Report {
        let done = self.count(Outcome::is_done);
        let as_asked = self.count(|outcome| self.is_as_asked(outcome));
        let exit = if as_asked == self.asked_for { Exit::Done } else { Exit::NotAll };
        Report { text: self.text(done), json: self.json(done), exit, failure: self.failure }
    }

    fn text(&self, done: usize) -> String {
        let mut text = self.preface.clone();
        let not_done = self.outcomes.iter().filter(|(_, outcome)| !outcome.is_done());
        if self.outcomes.len() <= NAMED {
            for (id, outcome) in &self.outcomes {
                text.extend([format!("email {id}: {}\n", self.sentence(*id, *outcome))]);
            }
        } else {
            for (id, outcome) in not_done.clone().take(NAMED) {
                text.extend([format!("email {id}: {}\n", self.sentence(*id, *outcome))]);
            }
            let unnamed = not_done.count().saturating_sub(NAMED);
            if unnamed > 0 {
                text.extend([format!("… and {unnamed} more like these (--json names them all)\n")]);
            }
        }
        let (verb, untouched) =
            (if self.dry_run { "would be" } else { "were" }, self.asked_for - self.outcomes.len());
        if self.asked_for > 1 {
            text.extend([format!("{done} of {} {verb} changed", emails(self.asked_for))]);
            let shown = self.count(|outcome| outcome == Outcome::ShownSent);
            if shown > 0 {
                text.extend([format!(", {shown} of them to sent because an SES event shows it")]);
            }
            text.push_str(".\n");
        }
        if untouched > 0 {
            text.extend([format!(
                "{} not touched, or not known to be: run the same command again.\n",
                emails(untouched)
            )]);
        }
        let waits = self.count(|outcome| outcome == Outcome::Done(State::Pending));
        if waits > 0 && !self.dry_run {
            text.push_str("What is pending is rung for by the next sweep, within a minute or two.\n");
        }
        if self.dry_run {
            text.push_str("This was a dry run: nothing was changed.\n");
        }
        text
    }

    fn json(&self, done: usize) -> Value {
        let emails: Vec<_> = self
            .outcomes
            .iter()
            .map(|(id, outcome)| {
                let (name, state) = name(*outcome);
                json!({
                    "id": id,
                    "outcome": name,
                    "state": state.map(State::as_str),
                    "changed": outcome.is_done(),
                    "as_asked": self.is_as_asked(*outcome),
                    "message": self.sentence(*id, *outcome),
                })
            })
            .collect();
        json!({
            "command": match self.command {
                Command::AssumeSent => "assume_sent",
                Command::Resend { .. } => "resend",
                Command::Retry { .. } => "retry",
                Command::Cancel => "cancel",
            },
            "dry_run": self.dry_run,
            "asked_for": self.asked_for,
            "changed": done,
            "shown_sent": self.count(|outcome| outcome == Outcome::ShownSent),
            "not_changed": self.outcomes.len() - done,
            "untouched": self.asked_for - self.outcomes.len(),
            "emails": emails,
        })
    }

    fn sentence(&self, id: u64, outcome: Outcome) -> String {
        let (is, becomes) = if self.dry_run { ("would be", "would become") } else { ("is", "became") };
        match outcome {
            Outcome::Done(State::Pending) => format!("{becomes} pending, to be sent by its next attempt"),
            Outcome::Done(State::Unknown) => format!(
                "{becomes} unknown instead of cancelled, since an earlier attempt may have arrived; \
                 decide with: sendonce resolve {id} --assume-sent (or --resend)"
            ),
            Outcome::Done(state) => format!("{becomes} {state}"),
            Outcome::ShownSent => {
                format!("{becomes} sent: an SES event shows that it was, so it {is} not sent again")
            }
            Outcome::Missing => {
                "not changed: there is no such email (or its producer has not committed)".to_owned()
            }
            Outcome::Locked(_) => {
                "not changed: somebody's open transaction holds the row; try again when it has ended"
                    .to_owned()
            }
            Outcome::ExpiryPassed(state) => format!(
                "not changed: it is {state} and its expires_at is past, so it would end as expired at once; \
                 --drop-expiry sends it all the same"
            ),
            Outcome::NotKnown => {
                format!("not known: the database failed while it was changed; look with: sendonce show {id}")
            }
            Outcome::State(state) => format!("not changed: it is {state}{}", self.instead(id, state)),
        }
    }

    /// What fits an email of another state.
    fn instead(&self, id: u64, state: State) -> String {
        match (self.command, state) {
            (_, State::Unknown) => {
                format!("; decide with: sendonce resolve {id} --assume-sent (or --resend)")
            }
            (_, State::Sending) => {
                "; its attempt ends by itself, at the latest when its lease is over".to_owned()
            }
            (Command::Cancel, _) => ", and only what is pending can be cancelled".to_owned(),
            (Command::Retry { .. }, State::Pending) => " already".to_owned(),
            (Command::Retry { .. }, _) => ", and what was sent is not sent again".to_owned(),
            (_, State::Pending | State::Sent) => ", so there is nothing to resolve".to_owned(),
            (_, _) => format!(", so there is nothing to resolve; to send it: sendonce retry {id}"),
        }
    }
}

fn name(outcome: Outcome) -> (&'static str, Option<State>) {
    match outcome {
        Outcome::Done(state) => ("done", Some(state)),
        Outcome::ShownSent => ("shown_sent", Some(State::Sent)),
        Outcome::Missing => ("missing", None),
        Outcome::State(state) => ("wrong_state", Some(state)),
        Outcome::ExpiryPassed(state) => ("expiry_passed", Some(state)),
        Outcome::Locked(state) => ("locked", Some(state)),
        Outcome::NotKnown => ("not_known", None),
    }
}

/// Each once, in the order in which they were given.
pub(crate) fn distinct(mut ids: Vec<u64>) -> Vec<u64> {
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(*id));
    ids
}
