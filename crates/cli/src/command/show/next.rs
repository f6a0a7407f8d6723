//! What happens to an email next, and what its operator may do.

use std::time::SystemTime;

use outbox::{
    state::State,
    store::{
        SweepRules,
        operator::{EmailFacts, is_until_resumed},
    },
};

use crate::{
    output::plain,
    when::{human, relative},
};

/// What happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) sentence: String,
    /// When, if that is known; it may be past.
    pub(super) at: Option<SystemTime>,
    /// What an operator may type, and what it does.
    pub(super) commands: Vec<(String, &'static str)>,
}

impl Next {
    pub(super) fn of(email: &EmailFacts, rules: &SweepRules) -> Self {
        match email.state {
            State::Pending => pending(email, rules),
            State::Sending => sending(email),
            State::Unknown => unknown(email, rules),
            State::Sent if email.accepted || email.ses_message_id.is_some() => {
                Self::new("Nothing: SES took it. Bounces and complaints would appear above.", None)
            }
            State::Sent => {
                Self::new("Nothing: it counts as sent, though no answer and no event of SES shows it.", None)
            }
            State::Failed | State::Suppressed | State::Cancelled | State::Expired => ended(email),
        }
    }

    fn new(sentence: impl Into<String>, at: Option<SystemTime>) -> Self {
        Self { sentence: sentence.into(), at, commands: Vec::new() }
    }

    fn with(mut self, command: String, note: &'static str) -> Self {
        self.commands.push((command, note));
        self
    }
}

fn pending(email: &EmailFacts, rules: &SweepRules) -> Next {
    let at = |time: SystemTime| format!("{} ({})", human(time), relative(time, email.now));
    if email.accepted {
        return Next::new("An SES event shows that it was sent: its next doorbell makes it sent.", None);
    }
    let end = if email.unresolved { "unknown" } else { "expired" };
    let next = if email.expires_at.is_some_and(|expires| expires <= email.now) {
        Next::new(
            format!("Its expires_at is past: the next sweep, within a minute, makes it {end}."),
            Some(email.now),
        )
    } else if email.due_at > email.now {
        let at_due = at(email.due_at);
        Next::new(
            format!("It is sent when it is due: {at_due}. The sweep rings for it then."),
            Some(email.due_at),
        )
    } else if email
        .now
        .duration_since(email.due_at.max(email.created_at))
        .is_ok_and(|age| age >= rules.max_age)
    {
        Next::new(
            format!("It has waited longer than MAX_AGE_S: the next sweep makes it {end}."),
            Some(email.now),
        )
    } else if let Some(until) = email.lane_rests_until.filter(|_| email.lane_is_paused) {
        let (end, known) = if is_until_resumed(until) {
            ("it is resumed".to_owned(), None)
        } else {
            (at(until), Some(until))
        };
        let text = format!(
            "Its lane is paused until {end}: nothing of it is sent before, and then the sweep rings."
        );
        let lane = plain(&email.lane);
        Next::new(text, known).with(format!("sendonce resume --lane {lane}"), "the whole lane goes on now")
    } else if let Some(until) = email.lane_rests_until {
        let text = format!("Its lane rests until {}: nothing of it is sent before.", at(until));
        Next::new(text, Some(until))
    } else {
        who_rings(email)
    };
    let note = if email.unresolved {
        "it is not sent again, and is unknown: an earlier attempt may have arrived"
    } else {
        "it is not sent"
    };
    next.with(format!("sendonce cancel {}", email.id), note)
}

/// It is due: who rings?
fn who_rings(email: &EmailFacts) -> Next {
    let rings = email.rung_at.unwrap_or(email.due_at);
    if rings > email.now {
        let sentence =
            format!("It is due. Its doorbell sounds {} ({}).", human(rings), relative(rings, email.now));
        return Next::new(sentence, Some(rings));
    }
    // As the sweep sees it: the grace grows with how long the doorbell was under way.
    let under_way = rings.duration_since(email.due_at).unwrap_or_default();
    let grace = under_way.clamp(SweepRules::GRACE, SweepRules::LONGEST_GRACE);
    let swept = rings + grace;
    if swept <= email.now {
        return Next::new("It is due: the sweep rings for it within a minute.", Some(email.now));
    }
    let sentence = format!(
        "It is due, and a doorbell should be under way. If none comes, the sweep rings {} ({}).",
        human(swept),
        relative(swept, email.now)
    );
    Next::new(sentence, Some(swept))
}

fn sending(email: &EmailFacts) -> Next {
    match email.lease_until {
        Some(until) if until > email.now => Next::new(
            format!(
                "An attempt is under way. If it dies, the sweep makes the email unknown after its lease: {} ({}).",
                human(until),
                relative(until, email.now)
            ),
            Some(until),
        ),
        until => {
            let becomes = if email.accepted { "sent, since an SES event shows it" } else { "unknown" };
            Next::new(
                format!("Its attempt died: the next sweep, within a minute, makes it {becomes}."),
                until,
            )
        }
    }
}

fn unknown(email: &EmailFacts, rules: &SweepRules) -> Next {
    let id = email.id;
    let assume = format!("sendonce resolve {id} --assume-sent");
    if email.accepted {
        let sentence = "An SES event shows that SES took it, so it is not sent again: the sweep makes it sent. Or at once:";
        return Next::new(sentence, None).with(assume, "it becomes sent");
    }
    let buttons = |next: Next| {
        let drop =
            if email.expires_at.is_some_and(|expires| expires <= email.now) { " --drop-expiry" } else { "" };
        next.with(assume, "it was sent, as far as you are concerned: nothing is sent").with(
            format!("sendonce resolve {id} --resend{drop}"),
            "it is sent again: it may arrive once more",
        )
    };
    // The deployment's default may be another one than the one here.
    let (resends, policy) = match email.on_unknown.as_deref() {
        Some("resend") => (true, "its on_unknown=resend"),
        Some("hold") => (false, "its on_unknown=hold"),
        Some(_) => (false, "its on_unknown is not resend"),
        None if rules.resend_by_default => (true, "ON_UNKNOWN=resend here"),
        None => (false, "ON_UNKNOWN=hold here"),
    };
    let stays = |why: &str| {
        Next::new(
            format!(
                "Nobody knows whether SES took it. It stays until an SES event or you resolve it ({why})."
            ),
            None,
        )
    };
    buttons(if !resends {
        stays(policy)
    } else if email.resends >= u64::from(rules.max_resends) {
        stays("it was sent again as often as MAX_RESENDS allows")
    } else if email.expires_at.is_some_and(|expires| expires <= email.now) {
        stays("its expires_at is past, so no policy sends it again")
    } else {
        let at = email.state_at + rules.unknown_wait;
        let when =
            if at <= email.now { "at its next run".to_owned() } else { format!("after {}", human(at)) };
        let sentence = format!(
            "Nobody knows whether SES took it. Unless an SES event comes, the sweep sends it again {when} ({policy})."
        );
        Next::new(sentence, Some(at))
    })
}

fn ended(email: &EmailFacts) -> Next {
    let drop =
        if email.expires_at.is_some_and(|expires| expires <= email.now) { " --drop-expiry" } else { "" };
    let why = match email.state {
        State::Suppressed => "Nothing: every recipient is on the suppression list. When one is taken off it:",
        State::Cancelled => "Nothing: it was withdrawn.",
        State::Expired => "Nothing: its time was over before it could be sent.",
        _ => "Nothing, unless an SES event shows that it was sent after all. When the reason is mended:",
    };
    Next::new(why, None)
        .with(format!("sendonce retry {}{drop}", email.id), "it is sent, as if it had not been tried")
}

#[cfg(test)]
mod tests;
