//! `docs/CONFORMANCE.md`.

use conformance::{Report, cell::World};

/// The document of a whole run. Nothing in it depends on the machine or the day.
pub(super) fn of(report: &Report) -> String {
    let total = report.total();
    let (kills, seed, server) = (total.kills, report.seed, &report.server);
    let (by_world, by_step, by_storm) = (report.by_world(), report.by_step(), report.by_storm());
    let worlds =
        World::ALL.iter().fold("| world | what else goes wrong |\n|---|---|\n".to_owned(), |table, world| {
            table + &format!("| `{}` | {} |\n", world.name(), world.meaning())
        });
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "# What happens when things die

Written by `cargo xtask conformance`, which kills a worker of sendonce with `kill -9` (or suspends it with `SIGSTOP`)
at every step on the way of an email, in every state of the world below, and then lets doorbells, SES's events, time
and the sweep go on until nothing changes any more. Then the table is compared with what SES took.

**{kills} kills: {lost} emails lost, {twice} sent twice unasked.** {asked} emails were sent twice, each of them under
`on_unknown = resend`, where SES had the request, its answer came to nothing, and no event said so before the email was
sent again: that is what `resend` asks for, and it happens once at most. Under `hold` there is none.
sendonce {version}, {server}, seed {seed}.

To repeat it: `cargo xtask conformance --seed {seed}`. One cell by its name:
`cargo xtask conformance --cell ses_took/answer_lost/events_late/resend --seed {seed}`. A short selection is part of
`cargo xtask test`. What becomes of others in the same cells stands in [CONFORMANCE-PEERS.md](CONFORMANCE-PEERS.md).

## What is real

The function's binaries, MariaDB, the queue service's API (ministack's SQS) and the kills. SES is a strict stand-in that
knows what it took, whatever it answered. The process is held at its step by a proxy before the database, by SES or by
the Runtime API, never by a sleep. Time passes by setting back every time in the table; a delayed doorbell sounds when
time has passed.

## By step

{by_step}
- *lost*: the row says `sent` and SES never took it; or it stays `pending` or `sending`; or it was given up.
- *twice, unasked*: SES took the email more than once and nobody had allowed it.
- *twice, as asked*: under `resend`, see above. At `ses_asked` that is a request which was held up on its way while its
  worker slept, and which SES took after the resend: no event can come before that.
- *unknown*: nobody can know. Under `hold` it waits for SES's event, or for `sendonce resolve`. With SES's events on, an
  email that was taken always ends `sent`.

## By world, policy and events

{worlds}
Events: *off*, they never come; *on time*, before any time has passed after the kill; *late*, when all else is over, after
the resend where there is one; *before record*, before the record of the result can arrive at the database.

{by_world}
## A thousand at once

A thousand rows are pending and rung for. Four workers take them in batches and are killed at random; when half is done
the queue is purged while all four are at work, and they are killed too. Then come SES's events, time and the sweep. In the
line without a kill the purged queue is all that goes wrong.

{by_storm}
Under `resend` every email is sent, once, and so it is where nobody dies. Under `hold` those whose worker died between its claim and SES stay `unknown`:
SES never took them, which nobody but SES knows. Which ones these are depends on the moment; all else is the same for
the same seed.

## What this does not show

- SES is a stand-in. What it takes, refuses and tells is modelled on its documentation.
- A cell is one email, one doorbell an invocation, and a connection in plaintext; batches are in the last table.
- A suspended worker's own clock does not move with the table's. At `claim_answer`, where that clock keeps it from SES,
  its time really runs out; at the other steps it is woken earlier than it could be, which is the harder case.
- A delayed doorbell is purged and rung anew when its time has come, so its count of tries begins again.
- The database is killed as a process, not with its machine: what a power cut does is up to
  `innodb_flush_log_at_trx_commit`.
",
        lost = total.lost,
        twice = total.twice_unasked,
        asked = total.twice_asked,
    )
}
