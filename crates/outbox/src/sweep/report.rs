//! What a run did, or what a dry run would do.

use serde::Serialize;

use crate::{
    state::State,
    store::{Chore, Chored, Overdue, Survey, SweepRules},
};

/// The counts of one run, as the function answers them and logs them. In a dry run, what the run would begin with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Attempts whose process died: `unknown` now.
    pub leases_ended: usize,
    /// Emails that nobody could resolve, given another attempt because their owner asked for it.
    pub resent: usize,
    /// Emails whose time was over: `expired`, or `unknown` where an earlier attempt may have arrived.
    pub expired: usize,
    /// Emails that turned out to be sent, by SES's events.
    pub settled: usize,
    /// Doorbells rung.
    pub rung: usize,
    /// Emails dispatched from here, since no queue could be rung for them.
    pub dispatched: usize,
    /// Rows that somebody else held or was quicker with.
    pub left: usize,
    /// Lanes whose queue could not be reached.
    pub unreachable_queues: Vec<&'static str>,
    /// There may be more: the next run's.
    pub is_cut_off: bool,
    /// For how many seconds the oldest due email has been waiting.
    pub oldest_due_s: Option<u64>,
}

impl Report {
    /// Counts what a look found, for a dry run.
    pub(super) fn foresee(&mut self, survey: &Survey, rules: &SweepRules) {
        self.is_cut_off |= survey.is_cut_off;
        if let Some(age) = survey.oldest_due {
            self.oldest_due_s = Some(age.as_secs());
        }
        for overdue in &survey.overdue {
            let has_queue =
                if overdue.lane == "bulk" { rules.bulk_has_queue } else { rules.urgent_has_queue };
            *match overdue.chore {
                Chore::EndLease { .. } => &mut self.leases_ended,
                Chore::Resend { .. } => &mut self.resent,
                Chore::Settle => &mut self.settled,
                Chore::Expire | Chore::Retire => &mut self.expired,
                Chore::Ring { .. } if has_queue => &mut self.rung,
                Chore::Ring { .. } => &mut self.dispatched,
            } += 1;
        }
    }

    /// Counts what became of a chore, and logs what moved an email. A doorbell counts when it was rung.
    pub(super) fn count(&mut self, overdue: &Overdue, outcome: Chored) {
        let state = match outcome {
            Chored::Left => {
                self.left += 1;
                return;
            }
            Chored::Rung => return,
            Chored::Moved(state) => state,
        };
        *match (&overdue.chore, state) {
            (_, State::Sent) => &mut self.settled,
            (Chore::EndLease { .. }, _) => &mut self.leases_ended,
            (Chore::Resend { .. }, _) => &mut self.resent,
            _ => &mut self.expired,
        } += 1;
        let attempt = match &overdue.chore {
            Chore::EndLease { attempt } | Chore::Resend { attempt } => Some(attempt.as_str()),
            _ => None,
        };
        tracing::warn!(email_id = overdue.id, attempt_id = attempt, state = %state, "email.swept");
    }

    pub(super) fn log(&self) {
        tracing::info!(
            dry_run = self.dry_run,
            leases_ended = self.leases_ended,
            resent = self.resent,
            expired = self.expired,
            settled = self.settled,
            rung = self.rung,
            dispatched = self.dispatched,
            left = self.left,
            is_cut_off = self.is_cut_off,
            oldest_due_s = self.oldest_due_s,
            "sweep.done"
        );
    }
}
