//! Others that send emails from a table, examined with the same faults.
//!
//! Each runs as its makers mean it to run, with its defaults; where a cell means nothing to one of them it is left out.
//! [`AtLeastOnce`] is a [`crate::subject::Subject`] and goes through the very cells of sendonce. [`post_office`] has no
//! queue and no invocations: its command empties the table by itself, so it has a driver of its own.

mod at_least_once;
pub mod post_office;

use std::ops::AddAssign;

pub use self::at_least_once::AtLeastOnce;
use crate::{
    cell::{Cell, Events, Policy},
    driver::Finding,
    subject::End,
};

/// The cells in which all can be compared: those that exist for whoever has no policy, under this one and with these
/// events. One without a policy is given those under `hold` without events, which look the same to it.
#[must_use]
pub fn cells(policy: Policy, events: Events) -> Vec<Cell> {
    let all = Cell::all();
    let is_comparable = |cell: &Cell| all.contains(&Cell { policy: Policy::Hold, ..*cell });
    all.iter()
        .copied()
        .filter(|cell| (cell.policy, cell.events) == (policy, events) && is_comparable(cell))
        .collect()
}

/// What came of emails, counted without regard to how their sender is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Processes killed or suspended at their step.
    pub kills: usize,
    /// Emails at stake.
    pub emails: usize,
    /// SES never took it, nothing will send it any more, and nobody is asked.
    pub lost: usize,
    /// SES took it more than once.
    pub repeated: usize,
    /// How often SES took the email that it took most often.
    pub most: usize,
    /// The table says that nobody can know; SES had taken it.
    pub doubt_taken: usize,
    /// The same; SES had not.
    pub doubt_not_taken: usize,
    /// The table says that it was not sent, and SES took it.
    pub denied: usize,
}

impl Tally {
    /// Of the cells of the kit, an email each.
    pub fn of<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> Self {
        let mut tally = Self::default();
        for finding in findings {
            tally.kills += usize::from(finding.reached);
            tally.count(finding.facts.end, finding.facts.taken);
        }
        tally
    }

    /// Counts one email.
    pub fn count(&mut self, end: End, taken: usize) {
        self.emails += 1;
        self.repeated += usize::from(taken > 1);
        self.most = self.most.max(taken);
        match (end, taken) {
            (End::Unknown, 0) => self.doubt_not_taken += 1,
            (End::Unknown, _) => self.doubt_taken += 1,
            (_, 0) => self.lost += 1,
            (End::Sent, _) => {}
            _ => self.denied += 1,
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.kills += other.kills;
        self.emails += other.emails;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.most = self.most.max(other.most);
        self.doubt_taken += other.doubt_taken;
        self.doubt_not_taken += other.doubt_not_taken;
        self.denied += other.denied;
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;
    use crate::subject::End;

    #[test]
    fn an_email_is_lost_only_when_ses_never_took_it_and_nobody_is_asked() {
        let mut tally = Tally::default();
        tally.count(End::Sent, 1);
        assert_eq!(tally, Tally { emails: 1, most: 1, ..Tally::default() });
        for end in [End::Sent, End::Waiting, End::Busy, End::GivenUp, End::Gone] {
            tally.count(end, 0);
        }
        tally.count(End::Unknown, 0);
        tally.count(End::Unknown, 1);
        tally.count(End::Waiting, 3);
        let wanted = Tally {
            kills: 0,
            emails: 9,
            lost: 5,
            repeated: 1,
            most: 3,
            doubt_taken: 1,
            doubt_not_taken: 1,
            denied: 1,
        };
        assert_eq!(tally, wanted);
    }
}
