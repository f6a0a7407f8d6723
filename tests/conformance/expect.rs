//! What may come of a cell, derived from what nobody can know in it, and from nothing that was seen.

use crate::{
    cell::{Cell, Events, Policy, Step, World},
    subject::End,
};

/// What was seen when nothing changed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// How the row ended.
    pub end: End,
    /// How often SES took the message.
    pub taken: usize,
    /// How often the email was sent again with its owner's leave.
    pub resends: usize,
}

/// SES may have the message, and the process that asked cannot say any more.
const fn is_in_doubt(step: Step) -> bool {
    matches!(step, Step::ClaimAnswer | Step::SesAsked | Step::SesTook | Step::RecordRequest)
}

/// SES has the message, and no record says so.
const fn is_taken_unrecorded(step: Step) -> bool {
    matches!(step, Step::SesTook | Step::RecordRequest)
}

/// Under `resend` an email is taken twice only where SES took it, its answer came to nothing, and no event came before
/// the email was sent again.
pub(crate) fn may_be_taken_twice(cell: Cell) -> bool {
    let no_event_in_time = matches!(cell.events, Events::Off | Events::Late);
    let unrecorded = is_taken_unrecorded(cell.step);
    cell.policy == Policy::Resend
        && match cell.world {
            World::Calm
            | World::DatabaseGone
            | World::DatabaseRestarted
            | World::QueuePurged
            | World::DoorbellTimesFive
            | World::KilledAgain
            | World::TwoWorkers => no_event_in_time && unrecorded,
            World::AnswerLost => no_event_in_time,
            // A request that was held up on its way, and that SES takes after the resend, has no event before it.
            World::Suspended => cell.step == Step::SesAsked || (no_event_in_time && unrecorded),
            // The first one's answer comes before the other has one.
            World::WokenAmid => false,
            // The first attempt was taken and had no event until the second was at the step.
            World::OldEvents => cell.events == Events::Late || cell.step >= Step::SesTook,
        }
}

/// An email ends `unknown` only where a process died between its claim and its record, or was given no answer.
fn may_end_unknown(cell: Cell) -> bool {
    is_in_doubt(cell.step) || matches!(cell.world, World::AnswerLost | World::OldEvents)
}

/// What is wrong with what was seen: a sentence each.
#[must_use]
pub fn faults(cell: Cell, facts: Facts) -> Vec<String> {
    let Facts { end, taken, resends } = facts;
    let mut faults = Vec::new();
    let mut fault = |is: bool, text: String| {
        if is {
            faults.push(text);
        }
    };
    fault(matches!(end, End::Waiting | End::Busy), format!("lost: the row stays {end}"));
    fault(matches!(end, End::GivenUp | End::Gone), format!("lost: the row ended {end}"));
    fault(end == End::Sent && taken == 0, "lost: the row says sent, and SES never took it".to_owned());
    fault(taken > 1 && !may_be_taken_twice(cell), format!("sent twice: SES took it {taken} times"));
    fault(
        taken > 1 + resends,
        format!("sent more often than allowed: SES took it {taken} times, with {resends} resend(s)"),
    );
    if end == End::Unknown {
        fault(
            taken > 0 && cell.events != Events::Off,
            "ended unknown although SES's event said that it was taken".to_owned(),
        );
        fault(!may_end_unknown(cell), "ended unknown where nothing was in doubt".to_owned());
        fault(
            cell.policy == Policy::Resend && resends == 0,
            "ended unknown without the resend that its owner asked for".to_owned(),
        );
        fault(
            // Its one resend died as well.
            cell.policy == Policy::Resend && taken == 0 && cell.world != World::KilledAgain,
            "ended unknown although nothing kept the resend from SES".to_owned(),
        );
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::{Facts, faults};
    use crate::{cell::Cell, subject::End};

    fn wrong(cell: &str, end: End, taken: usize, resends: usize) -> usize {
        faults(cell.parse::<Cell>().expect("a cell"), Facts { end, taken, resends }).len()
    }

    #[test]
    fn the_promises_are_asked_for() {
        let hold = "ses_took/calm/events_off/hold";
        assert_eq!(wrong(hold, End::Unknown, 1, 0), 0);
        assert_eq!(wrong(hold, End::Sent, 1, 0), 0);
        assert_eq!(wrong(hold, End::Unknown, 2, 1), 1, "twice under hold");
        assert_eq!(wrong(hold, End::Busy, 1, 0), 1, "stuck");
        assert_eq!(wrong(hold, End::GivenUp, 0, 0), 1, "given up");
        assert_eq!(wrong(hold, End::Sent, 0, 0), 1, "a lie");
        let told = "ses_took/calm/events_late/hold";
        assert_eq!(wrong(told, End::Unknown, 1, 0), 1, "the event was thrown away");
        let again = "ses_took/calm/events_off/resend";
        assert_eq!(wrong(again, End::Sent, 2, 1), 0);
        assert_eq!(wrong(again, End::Sent, 3, 1), 1, "more often than allowed");
        assert_eq!(wrong(again, End::Unknown, 1, 0), 1, "never sent again");
        assert_eq!(wrong("ses_took/calm/events_on_time/resend", End::Sent, 2, 1), 1, "told in time");
        assert_eq!(wrong("quit/calm/events_off/resend", End::Sent, 2, 1), 1, "recorded before the kill");
        assert_eq!(wrong("login_answer/calm/events_off/hold", End::Unknown, 0, 0), 1, "nothing was in doubt");
    }
}
