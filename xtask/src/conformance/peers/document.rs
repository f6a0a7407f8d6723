//! `docs/CONFORMANCE-PEERS.md`.

use std::fmt::Write as _;

use ::conformance::{cell::World, peers::post_office};
use stack::install::PostOfficeTool;

use super::{Found, table};

/// Where it lies in the workspace.
pub(super) const PATH: &str = "docs/CONFORMANCE-PEERS.md";

/// The document of a whole comparison. Nothing in it depends on the machine or the day.
pub(super) fn of(found: &Found) -> String {
    let version = |package| PostOfficeTool::version(package).unwrap_or("of no known version");
    format!(
        "# The same faults for others

Written by `cargo xtask conformance --against all`. [CONFORMANCE.md](CONFORMANCE.md) says what becomes of sendonce's emails
when things die. Here the same kit examines two others, and sendonce beside them in the same cells: the same
database server, the same stand-in for SES, the same `kill -9` at the same steps, the same other things that go wrong.

{summary}
- *lost*: SES never took it, nothing will send it any more, and the table asks nobody.
- *sent more than once*: SES took it twice or more often.
- *most often*: how often SES took the email that it took most often.
- *in doubt*: the row says `unknown` and waits for SES's event, or for its owner (`sendonce resolve`). Whether SES took
  it is in SES's books alone.
- *said not sent, taken*: the row says queued or failed, and SES took it. Who goes by the table sends it again.

django-post_office has {emails} emails at stake at each kill, the others one.

**What sendonce pays.** Where a worker died between its claim and SES's answer, `hold` sends nothing until somebody
decides; the others send again, and some of that is right, since SES had not taken everything. Under `resend` sendonce
sends again too, once SES's event has had its time to come. A request that was held up on its way until after that is
then sent twice; its owner allowed it.

To repeat it: `cargo xtask conformance --against all --seed {seed}`; `--against at-least-once` or `--against post-office` for one
alone, which writes nothing. What is not here is fetched once from the Python Package Index, into `target/tools`. No test
needs it.

sendonce {sendonce}, {server}, seed {seed}; django-post_office {post_office}, Django {django}, django-ses {django_ses},
boto3 {boto3}, PyMySQL {pymysql}.

## Who is compared

**At-least-once handler.** What most people write: given a doorbell, read the row; if it is queued, call SES, mark it sent,
let the doorbell go. An error is reported, so that the doorbell comes again. It claims nothing and nothing else looks at
its table. It runs as sendonce's function does, and goes through every cell that means something without a policy. Its
read stands where sendonce claims, its mark where sendonce records. It has the AWS SDK's own retries, which are on where
nobody turns them off; one line of the table above is without them.
[Its source](../tests/conformance/peers/at_least_once/worker.rs) has a hundred lines.

**django-post_office.** {emails} emails are queued with its `mail.send`; its command `send_queued_mail` is killed, and
started again as cron does until nothing is queued. It sends through django-ses and has its defaults: batches of 100, five
threads, one process, no retries of its own (`MAX_RETRIES` is 0), boto3's retries. A batch is marked when all of it has
been sent. One setting departs: `AWS_SES_AUTO_THROTTLE` is off, since the stand-in does not tell an account's rate.
[Its settings](../tests/conformance/peers/post_office/settings.py) are a page.

sendonce has SES's events on time, but for the line and the column that say otherwise. Under `hold` it is as it comes.

## By step

Emails sent more than once, of those at stake; and what else is not as it should be.

{by_step}
## By what else goes wrong

{by_world}
{worlds}
Left out for django-post_office, because they mean nothing to it: doorbells and their queue, which it has not; the steps of
a response to Lambda; and a second attempt beside a suspended one, which its lock file keeps out. That file is one
machine's; a second machine was not tried, and neither was a second kill. Left out for the handler: its COM_QUIT, whose arrival it does not wait for; and
without the SDK's retries the steps after an answer that was lost, which it does not come to.

## django-post_office, kill by kill

Emails sent more than once, of the {emails} that were queued. It is killed at a request to SES, when up to five are under
way. *Batches of one*: `BATCH_SIZE` and `THREADS_PER_PROCESS` are 1: one email at a time, marked
before the next is sent.

{by_request}
One answer of SES is lost, and nobody is killed:

{lost_answers}
With boto3's retries the email is sent twice and marked once. Without them it is marked as failed, and was sent.

The threads decide which email is asked for when: where an answer is lost as well, figures differ by a few from run to run.

In its tracker: [#248](https://github.com/ui/django-post_office/issues/248), \"Mail sent twice\", open
since 2018; [#479](https://github.com/ui/django-post_office/issues/479), where a time-out left a sent batch unmarked, closed.
Its webhooks read SES's events and leave it to the project what to do about them.
",
        summary = table::summary(&found.systems),
        by_step = table::by_step(&found.systems),
        by_world = table::by_world(&found.systems),
        by_request = table::by_request(&found.post_office),
        lost_answers = table::lost_answers(&found.post_office),
        worlds = worlds(found),
        seed = found.seed,
        server = found.server,
        sendonce = env!("CARGO_PKG_VERSION"),
        post_office = version("django-post_office"),
        django = version("Django"),
        django_ses = version("django-ses"),
        boto3 = version("boto3"),
        pymysql = version("PyMySQL"),
        emails = post_office::EMAILS,
    )
}

/// What the worlds are.
fn worlds(found: &Found) -> String {
    let mut list = String::new();
    for world in World::ALL {
        if found.systems.iter().any(|system| system.kills.iter().any(|(_, at, _)| *at == world)) {
            let _ = writeln!(list, "- `{}`: {}", world.name(), world.meaning());
        }
    }
    list
}
