//! How the story ended: the table, and whether it is the one that there must be.

use std::fmt;

use super::Story;
use super::scene::{Scene, times};
use crate::demo::progress::Failure;
use crate::demo::stage::Stage;

/// An email of the story.
pub(super) struct Email {
    id: u64,
    on_unknown: &'static str,
    has_event: bool,
    /// The state in which it must end, and how often SES must have taken it.
    end: (&'static str, usize),
    why: String,
    seen: Seen,
}

/// How it ended.
#[derive(Default)]
struct Seen {
    state: String,
    taken: usize,
    in_inbox: usize,
    events: usize,
}

impl Email {
    pub(super) fn new(
        id: u64,
        on_unknown: &'static str,
        has_event: bool,
        end: (&'static str, usize),
        why: String,
    ) -> Self {
        Self { id, on_unknown, has_event, end, why, seen: Seen::default() }
    }

    async fn look(&mut self, stage: &Stage) -> Result<(), Failure> {
        let taken = stage.ses.requests_for(self.id).into_iter().filter(|request| request.taken);
        let ids: Vec<String> = taken.filter_map(|request| request.message_id).collect();
        let shown: Vec<String> = ids.iter().filter_map(|id| stage.front.shown(id)).collect();
        let emails = stage.inbox.emails().await?;
        let in_inbox = emails.iter().filter_map(|email| email["messageId"].as_str());
        let sql = format!("SELECT COUNT(*) FROM email_event WHERE email_id = {} AND kind = 'send'", self.id);
        let events = stage.database.admin().query_scalar_u64(&sql).await?;
        self.seen = Seen {
            state: Scene { stage }.state(self.id).await?,
            taken: ids.len(),
            in_inbox: in_inbox.filter(|id| shown.iter().any(|own| own == id)).count(),
            events: usize::try_from(events)?,
        };
        Ok(())
    }

    fn problems(&self) -> Vec<String> {
        let Seen { state, taken, in_inbox, events } = &self.seen;
        let mut problems = Vec::new();
        let mut check = |is_so: bool, what: String| {
            if !is_so {
                problems.push(format!("email {}: {what}", self.id));
            }
        };
        check(state == self.end.0, format!("it is {state}, not {}", self.end.0));
        let must = times(self.end.1);
        check(*taken == self.end.1, format!("SES has taken it {}, not {must}", times(*taken)));
        check(*in_inbox == self.end.1, format!("it is in the inbox {}, not {must}", times(*in_inbox)));
        let must = usize::from(self.has_event);
        check(*events == must, format!("it has {events} Send events, not {must}"));
        problems
    }
}

impl Story {
    /// Looks at everything once more.
    pub(super) async fn judge(&mut self, stage: &Stage) -> Result<(), Failure> {
        for email in &mut self.emails {
            email.look(stage).await?;
            self.problems.extend(email.problems());
        }
        self.problems.extend(stage.ses.emit_errors());
        self.problems.extend(stage.front.not_shown());
        Ok(())
    }

    /// Whether all of it is as it should be.
    pub(in crate::demo) fn is_good(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["id", "on_unknown", "Send event", "state", "SES took it", "because"];
        let [id, on_unknown, event, state, taken, why] = heads;
        let rule = "─".repeat(80);
        writeln!(f, "\n{id:>3}  {on_unknown:11} {event:11} {state:9} {taken:12} {why}\n{rule}")?;
        for email in &self.emails {
            let Email { id, on_unknown, has_event, why, seen, .. } = email;
            let event = if *has_event { "came late" } else { "lost" };
            let mark = if email.problems().is_empty() { "" } else { "  ← wrong" };
            let Seen { state, taken, .. } = seen;
            writeln!(f, "{id:>3}  {on_unknown:11} {event:11} {state:9} {:12} {why}{mark}", times(*taken))?;
        }
        writeln!(
            f,
            "{rule}\nThe worker of each was killed after SES had taken the email and before it heard so."
        )?;
        writeln!(f, "\nInbox  {}", self.inbox)?;
        if !self.problems.is_empty() {
            writeln!(f, "\nNOT as it should be:")?;
            for problem in &self.problems {
                writeln!(f, "  {problem}")?;
            }
        }
        Ok(())
    }
}
