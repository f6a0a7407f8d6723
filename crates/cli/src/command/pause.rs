//! `sendonce pause` and `sendonce resume`: no email of a lane leaves for a while, and none is lost.
//!
//! Nothing is asked first: a pause is undone by one word, and whoever pauses is in a hurry.

use outbox::{
    config::OperatorConfig,
    operator,
    store::operator::{LaneCommand, LaneStanding, LanesDone, is_until_resumed},
};
use serde_json::{Value, json};

use crate::{
    arguments::{Lanes, Pause, Resume},
    failure::{Exit, Failure},
    output::{Report, Table, emails, plain},
    session::{self, LOOKING},
    when::{human, relative, rfc3339},
};

pub(crate) async fn pause(config: &OperatorConfig, pause: Pause) -> Result<Report, Failure> {
    let command = pause.time.map_or(LaneCommand::Pause, LaneCommand::PauseFor);
    run(config, command, pause.lane, pause.dry_run).await
}

pub(crate) async fn resume(config: &OperatorConfig, resume: Resume) -> Result<Report, Failure> {
    run(config, LaneCommand::Resume, resume.lane, resume.dry_run).await
}

async fn run(
    config: &OperatorConfig,
    command: LaneCommand,
    lanes: Lanes,
    dry_run: bool,
) -> Result<Report, Failure> {
    let asked_for = lanes.names();
    let done = session::with(&config.database, LOOKING, async |session, deadline, _| {
        operator::lanes(session, (!dry_run).then_some(command), asked_for, deadline).await
    })
    .await?;
    let change = Change { command, dry_run, asked_for, lanes: done };
    let mut report = Report::done(change.text(lanes), change.json());
    if change.asked_for.iter().any(|name| change.before(name).is_none()) {
        report.exit = Exit::NotAll;
    }
    Ok(report)
}

/// What became, or would become, of each lane.
struct Change {
    command: LaneCommand,
    dry_run: bool,
    asked_for: &'static [&'static str],
    lanes: LanesDone,
}

impl Change {
    fn before(&self, name: &str) -> Option<&LaneStanding> {
        self.lanes.before.iter().find(|lane| lane.name == name)
    }

    fn after(&self, name: &str) -> Option<&LaneStanding> {
        self.lanes.after.iter().find(|lane| lane.name == name)
    }

    fn text(&self, lanes: Lanes) -> String {
        let mut table = Table::new(0);
        for name in self.asked_for {
            table.row([plain(name), self.sentence(name)]);
        }
        let mut text = table.text();
        match self.command {
            _ if self.dry_run => {}
            LaneCommand::Resume if !self.lanes.before.iter().any(|lane| lane.is_paused) => {}
            LaneCommand::Resume => {
                text.push_str(
                    "The next sweep, within a minute or two, rings for what waits, the oldest first.\n",
                );
            }
            LaneCommand::Pause | LaneCommand::PauseFor(_) => {
                let which = if lanes == Lanes::All {
                    String::new()
                } else {
                    format!(" --lane {}", self.asked_for[0])
                };
                text.extend([format!("To go on: sendonce resume{which}\n")]);
            }
        }
        if self.command != LaneCommand::Resume {
            text.push_str(&self.under_way());
        }
        if self.dry_run {
            text.push_str("This was a dry run: nothing was changed.\n");
        }
        text
    }

    fn under_way(&self) -> String {
        match self.lanes.sending {
            0 => "No email is under way.\n".to_owned(),
            some => format!(
                "Under way, and not stopped: {}. They end by themselves; sendonce stats says when none is sending.\n",
                emails(usize::try_from(some).unwrap_or(usize::MAX))
            ),
        }
    }

    fn sentence(&self, name: &str) -> String {
        let Some(before) = self.before(name) else {
            return "not changed: the table has no such lane, so nothing can hold its emails back".to_owned();
        };
        let was =
            || if before.is_paused { format!("; it was {}", self.standing(before)) } else { String::new() };
        let after = self.after(name).unwrap_or(before);
        match (self.command, self.dry_run) {
            (LaneCommand::Pause, true) => format!("would be paused until it is resumed{}", was()),
            (LaneCommand::PauseFor(time), true) => {
                let until = self.lanes.now + time;
                format!("would be paused until {}{}", human(until), was())
            }
            (LaneCommand::Pause | LaneCommand::PauseFor(_), false) => {
                format!("is {}{}", self.standing(after), was())
            }
            (LaneCommand::Resume, _) if !before.is_paused => {
                format!("was not paused; it is {}", self.standing(after))
            }
            (LaneCommand::Resume, true) => format!("would go on{}", was()),
            (LaneCommand::Resume, false) => format!("goes on: it is {}", self.standing(after)),
        }
    }

    fn standing(&self, lane: &LaneStanding) -> String {
        standing(lane, self.lanes.now)
    }

    fn json(&self) -> Value {
        let lanes: Vec<_> = self.asked_for.iter().map(|name| self.lane(name)).collect();
        json!({
            "command": if self.command == LaneCommand::Resume { "resume" } else { "pause" },
            "dry_run": self.dry_run,
            "now": rfc3339(self.lanes.now),
            "sending": self.lanes.sending,
            "lanes": lanes,
        })
    }

    fn lane(&self, name: &str) -> Value {
        let (before, after) = (self.before(name), self.after(name));
        let outcome = match (self.command, before) {
            (_, None) => "missing",
            (LaneCommand::Resume, Some(before)) if !before.is_paused => "not_paused",
            (LaneCommand::Resume, _) => "resumed",
            (LaneCommand::Pause | LaneCommand::PauseFor(_), _) => "paused",
        };
        json!({
            "name": name,
            "outcome": outcome,
            "was_paused": before.is_some_and(|lane| lane.is_paused),
            "is_paused": after.is_some_and(|lane| lane.is_paused),
            "rests_until": after.and_then(|lane| lane.rests_until).map(rfc3339),
            "is_probed": after.is_some_and(|lane| lane.probed),
            "message": self.sentence(name),
        })
    }
}

/// How a lane is, in a few words.
pub(crate) fn standing(lane: &LaneStanding, now: std::time::SystemTime) -> String {
    let at = |until| format!("{} ({})", human(until), relative(until, now));
    match lane.rests_until {
        Some(until) if lane.is_paused && is_until_resumed(until) => "paused until it is resumed".to_owned(),
        Some(until) if lane.is_paused => format!("paused until {}", at(until)),
        Some(until) => format!("resting until {}", at(until)),
        None if lane.probed => "tried with one email at a time".to_owned(),
        None => "open".to_owned(),
    }
}
