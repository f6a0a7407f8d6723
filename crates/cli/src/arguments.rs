//! The command line.

use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use outbox::{state::State, store::operator::When};

use crate::when;

const ABOUT: &str = "Look at emails, and decide about those that nobody else can decide about";

const AFTER: &str = "\
Configuration: the same variables as the functions. DATABASE_URL=mysql://user:password@host:3306/name,
DATABASE_TLS (verify or off), DATABASE_CA_FILE; ON_UNKNOWN, UNKNOWN_WAIT_S, MAX_RESENDS, MAX_AGE_S, MAX_SEND_RATE,
URGENT_QUEUE_URL and BULK_QUEUE_URL as the functions have them. AWS credentials are needed only with DATABASE_AUTH=secret
or iam, in variables.

Times: 2026-05-04T12:30:00Z, or how long ago: 90s, 15m, 2h, 3d, 1w. Printed times are UTC.

Exit codes:
  0  done
  1  something was not changed, or not found, or you answered no
  2  the command line is wrong, or a question could not be asked
  3  the configuration is wrong (each variable is named)
  4  the database cannot be reached, refused the login, or has no connection to spare
  5  the database failed half-way: the output says what was done
  130  interrupted by Ctrl-C: the output says what was done";

const LIST: &str = "\
Pending, sending and unknown emails: those that are due longest come first. All others: the newest come first.";

const RESOLVE: &str = "\
Nobody knows whether SES took these emails.
  --assume-sent  makes them sent. Nothing is sent: if SES did not take them, their recipients get nothing.
  --resend       sends them again. If SES did take them, their recipients get them once more. It goes beyond
                 UNKNOWN_WAIT_S and MAX_RESENDS, because you ask for it.
Either way, an email that an SES event shows as taken becomes sent, and is not sent again.

After an outage, look first:
  sendonce resolve --since 3h --resend --dry-run
  sendonce resolve --since 3h --resend
Much later, the same line also takes in those that became unknown once more: --until leaves them out.";

const RETRY: &str = "\
The emails become pending with all their attempts before them, due now; the next sweep rings for them.
Unknown emails are not retried but resolved: see sendonce resolve --help.";

const CANCEL: &str = "\
An email of which an earlier attempt may have arrived becomes unknown instead: cancelled would promise too much.
The exit code is 0 only if every one was withdrawn.";

const PAUSE: &str = "\
Nothing of the lane is claimed and no attempt is used up; emails that are under way end as they would have. Doorbells are
answered, and forgotten: when the pause is over, the sweep rings for what waits. Feedback goes on, and so do the sweep's other
duties: an email whose expires_at passes, or that waits for longer than MAX_AGE_S, ends meanwhile.
A pause of a lane that is paused already replaces that one. The pause is kept in the database: one that is restored or
takes over knows it only if it was told.";

const RESUME: &str = "\
Rings for nothing itself: the next sweep does, within a minute or two, for the oldest first. A lane that rested after
failures before it was paused is tried with one email at a time. The rest of a lane that is not paused is left alone: it ends by
itself.";

/// Reads the command line of the process.
///
/// # Errors
///
/// What clap says about it, and whether `--json` stood somewhere on it: who asks for a document gets one.
pub(crate) fn read() -> Result<Arguments, (clap::Error, bool)> {
    Arguments::try_parse().map_err(|error| {
        // clap says nothing of what it had read before it gave up.
        (error, std::env::args_os().any(|word| word == "--json"))
    })
}

#[derive(Debug, Parser)]
#[command(name = "sendonce", version, about = ABOUT, after_help = AFTER, max_term_width = 110)]
pub(crate) struct Arguments {
    /// One JSON document on the standard output, instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One email: its row, its whole story, and what happens next
    Show {
        /// email.id
        id: u64,
    },
    /// Emails of one state
    #[command(after_help = LIST)]
    List(List),
    /// How many emails stand where, what is overdue, how the lanes are
    Stats,
    /// Decide about emails in the state `unknown`: assume that they were sent, or send them again
    #[command(after_help = RESOLVE)]
    Resolve(Resolve),
    /// Try again emails that are failed, expired, cancelled or suppressed
    #[command(after_help = RETRY)]
    Retry(Retry),
    /// Withdraw emails that are still pending
    #[command(after_help = CANCEL)]
    Cancel(Cancel),
    /// Send nothing for a while: urgent, bulk, or both
    #[command(after_help = PAUSE)]
    Pause(Pause),
    /// Go on after a pause
    #[command(after_help = RESUME)]
    Resume(Resume),
    /// What the next sweep would do (--dry-run); the sweep itself is a function's
    Sweep {
        /// Only look
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// pending, sending, sent, unknown, failed, suppressed, cancelled or expired
    #[arg(long, value_parser = state)]
    pub(crate) state: State,
    /// Only of this lane
    #[arg(long)]
    pub(crate) lane: Option<String>,
    /// Only those that came into the state at this time or later
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) since: Option<When>,
    /// Only those that have been in the state for longer than this
    #[arg(long, value_name = "DURATION", value_parser = when::duration)]
    pub(crate) older_than: Option<Duration>,
    /// Only those with this reason (`error_kind`), such as `lease_expired`
    #[arg(long, value_name = "KIND")]
    pub(crate) error_kind: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Go on behind this email of the page before
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<u64>,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
#[command(group(ArgGroup::new("which").required(true).args(["ids", "since"])))]
#[command(group(ArgGroup::new("what").required(true).args(["assume_sent", "resend"])))]
pub(crate) struct Resolve {
    /// email.id of each
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<u64>,
    /// All that became unknown at this time or later
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) since: Option<When>,
    /// ... and before this time
    #[arg(long, value_name = "TIME", requires = "since", conflicts_with = "ids", value_parser = when::parse)]
    pub(crate) until: Option<When>,
    /// ... of this lane
    #[arg(long, requires = "since", conflicts_with = "ids")]
    pub(crate) lane: Option<String>,
    /// ... with this reason (`error_kind`), such as `lease_expired`
    #[arg(long, requires = "since", conflicts_with = "ids", value_name = "KIND")]
    pub(crate) error_kind: Option<String>,
    /// They were sent, as far as you are concerned: nothing is sent
    #[arg(long)]
    pub(crate) assume_sent: bool,
    /// Send them again: they may arrive once more
    #[arg(long)]
    pub(crate) resend: bool,
    /// With --resend: forget an `expires_at` that is past, and send all the same
    #[arg(long, conflicts_with = "assume_sent")]
    pub(crate) drop_expiry: bool,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Retry {
    /// email.id of each
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<u64>,
    /// Forget an `expires_at` that is past, and send all the same
    #[arg(long)]
    pub(crate) drop_expiry: bool,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// email.id of each
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<u64>,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// Which lane
    #[arg(long, value_enum, default_value_t)]
    pub(crate) lane: Lanes,
    /// For so long, as in 30m or 2h; otherwise until it is resumed
    #[arg(long = "for", value_name = "DURATION", value_parser = some_time)]
    pub(crate) time: Option<Duration>,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// Which lane
    #[arg(long, value_enum, default_value_t)]
    pub(crate) lane: Lanes,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Lanes that can be paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Lanes {
    Urgent,
    Bulk,
    #[default]
    All,
}

impl Lanes {
    pub(crate) const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Urgent => &["urgent"],
            Self::Bulk => &["bulk"],
            Self::All => &["urgent", "bulk"],
        }
    }
}

fn some_time(text: &str) -> Result<Duration, String> {
    let time = when::duration(text)?;
    if time.is_zero() {
        Err("a pause takes some time; sendonce resume ends one".to_owned())
    } else {
        Ok(time)
    }
}

fn state(text: &str) -> Result<State, String> {
    text.parse().map_err(|_| format!("a state is one of {}", State::ALL.map(State::as_str).join(", ")))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::Arguments;

    #[test]
    fn the_command_line_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn resolving_says_which_and_what_exactly_once() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' ')).is_ok();
        assert!(parse("sendonce resolve 1 2 --assume-sent"));
        assert!(parse("sendonce resolve --since 2h --until 1h --lane bulk --resend --json"));
        assert!(!parse("sendonce resolve 1"));
        assert!(!parse("sendonce resolve --resend"));
        assert!(!parse("sendonce resolve 1 --since 2h --resend"));
        assert!(!parse("sendonce resolve 1 --resend --assume-sent"));
        assert!(!parse("sendonce resolve 1 --lane bulk --resend"));
        assert!(!parse("sendonce resolve 1 --assume-sent --drop-expiry"));
    }
}
