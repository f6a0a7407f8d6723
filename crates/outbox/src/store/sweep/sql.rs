//! The text of the sweep's statements.

use super::{Chore, Chored, Overdue, SweepRules};
use crate::{
    state::State,
    store::{
        Postpone,
        history::{ACCEPTED, SETTLED, UNRESOLVED},
        literal::Sql,
        postpone::unlocked,
    },
};

/// A lane of its own for the survey: its name, or whatever is neither.
enum Share {
    Of(&'static str, bool),
    OfOthers,
}

pub(super) fn survey(rules: &SweepRules, most: u32) -> Sql {
    let mut sql = dead_leases(Sql::new(""), most);
    sql = known(given_up(sql.push("; "), rules, most).push("; "), most);
    for share in [
        Share::Of("'urgent'", rules.urgent_has_queue),
        Share::Of("'bulk'", rules.bulk_has_queue),
        // A row with another lane can only fail, but it has to be told so.
        Share::OfOthers,
    ] {
        sql = waiting(sql.push("; "), rules, &share, most);
    }
    sql.push(
        "; SELECT TIMESTAMPDIFF(MICROSECOND, LEAST(COALESCE(u.due_at, b.due_at), COALESCE(b.due_at, u.due_at)), \
         UTC_TIMESTAMP(6)) AS oldest_due FROM \
         (SELECT MIN(due_at) AS due_at FROM email WHERE state = 'pending' AND lane = 'urgent') AS u JOIN \
         (SELECT MIN(due_at) AS due_at FROM email WHERE state = 'pending' AND lane = 'bulk') AS b",
    )
}

fn dead_leases(sql: Sql, most: u32) -> Sql {
    sql.push(
        "SELECT 'end_lease' AS chore, CAST(e.id AS SIGNED) AS id, e.lane, e.attempt_id FROM email AS e \
         WHERE e.state = 'sending' AND e.lease_until < UTC_TIMESTAMP(6) LIMIT ",
    )
    .integer(most)
}

fn given_up(sql: Sql, rules: &SweepRules, most: u32) -> Sql {
    let sql = sql.push(
        "SELECT 'resend' AS chore, CAST(e.id AS SIGNED) AS id, e.lane, e.attempt_id FROM email AS e \
         WHERE e.state = 'unknown' AND ",
    );
    may_resend(sql, rules).push(" LIMIT ").integer(most)
}

fn known(sql: Sql, most: u32) -> Sql {
    sql.push(
        "SELECT 'settle' AS chore, CAST(e.id AS SIGNED) AS id, e.lane FROM \
         (SELECT id FROM email WHERE state = 'unknown' LIMIT ",
    )
    .integer(SweepRules::REREAD)
    .push(") AS held STRAIGHT_JOIN email AS e ON e.id = held.id WHERE ")
    .push(ACCEPTED)
    .push(" LIMIT ")
    .integer(most)
}

/// Whether `e`, which is `unknown`, is to be sent again.
fn may_resend(sql: Sql, rules: &SweepRules) -> Sql {
    sql.push(if rules.resend_by_default {
        "COALESCE(e.on_unknown, 'resend') = 'resend'"
    } else {
        "e.on_unknown = 'resend'"
    })
    .push(" AND e.resends < ")
    .integer(rules.max_resends)
    .push(" AND e.state_at <= UTC_TIMESTAMP(6) - INTERVAL ")
    .micros(rules.unknown_wait)
    .push(" MICROSECOND AND (e.expires_at IS NULL OR e.expires_at > UTC_TIMESTAMP(6))")
}

/// The waiting rows of a lane. The inner query reads the index alone.
fn waiting(sql: Sql, rules: &SweepRules, share: &Share, most: u32) -> Sql {
    let sql = too_old(
        sql.push("SELECT CASE WHEN e.expires_at <= UTC_TIMESTAMP(6) THEN 'expire' WHEN "),
        rules,
    )
    .push(
        " THEN 'retire' ELSE 'ring' END AS chore, CAST(e.id AS SIGNED) AS id, e.lane, CAST(e.rung_at AS CHAR) AS rung_at, \
         TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), e.due_at) AS due_in \
         FROM (SELECT id FROM email WHERE state = 'pending' AND ",
    );
    let sql = match share {
        Share::Of(lane, _) => sql.push("lane = ").push(lane),
        Share::OfOthers => sql.push("lane NOT IN ('urgent', 'bulk')"),
    };
    let sql = sql
        .push(" AND due_at <= UTC_TIMESTAMP(6) + INTERVAL ")
        .micros(SweepRules::AHEAD)
        .push(" MICROSECOND ORDER BY due_at LIMIT ")
        .integer(SweepRules::EXAMINED)
        .push(
            ") AS waits STRAIGHT_JOIN email AS e ON e.id = waits.id WHERE e.state = 'pending' AND (\
               e.expires_at <= UTC_TIMESTAMP(6) OR ",
        );
    let sql = too_old(sql, rules).push(" OR ");
    let has_queue = match share {
        Share::Of(_, has_queue) => *has_queue,
        Share::OfOthers => rules.urgent_has_queue,
    };
    let sql = if has_queue { unheard(sql) } else { due(sql) };
    sql.push(") ORDER BY e.due_at LIMIT ").integer(most)
}

/// Whether `e` waits for longer than anybody can have meant. Every retry moves `due_at`; what only returns it to where it
/// was does not, so nothing goes round for ever.
fn too_old(sql: Sql, rules: &SweepRules) -> Sql {
    sql.push("GREATEST(e.due_at, e.created_at) <= UTC_TIMESTAMP(6) - INTERVAL ")
        .micros(rules.max_age)
        .push(" MICROSECOND")
}

/// Whether nobody rings for `e`: its producer did not, or the doorbell was lost, or it was not to be rung for so early.
/// While a backlog is worked off a doorbell may be under way for hours: the distance between two doubles.
fn unheard(sql: Sql) -> Sql {
    sql.push("IF(e.rung_at IS NULL, IF(e.due_at > e.state_at + INTERVAL ")
        .micros(Postpone::LONGEST)
        .push(" MICROSECOND, TRUE, e.due_at <= UTC_TIMESTAMP(6) - INTERVAL ")
        .micros(SweepRules::GRACE)
        .push(" MICROSECOND), e.due_at <= UTC_TIMESTAMP(6) AND e.rung_at <= UTC_TIMESTAMP(6) - INTERVAL GREATEST(")
        .micros(SweepRules::GRACE)
        .push(", LEAST(")
        .micros(SweepRules::LONGEST_GRACE)
        .push(", TIMESTAMPDIFF(MICROSECOND, e.due_at, e.rung_at))) MICROSECOND)")
}

/// Whether `e` may be sent now, where there is no doorbell to wait for.
fn due(sql: Sql) -> Sql {
    sql.push("(e.due_at <= UTC_TIMESTAMP(6) AND (e.rung_at IS NULL OR e.rung_at <= UTC_TIMESTAMP(6)))")
}

pub(super) fn chores(chores: &[Overdue], rules: &SweepRules) -> Sql {
    let mut sql = Sql::new("");
    for (at, overdue) in chores.iter().enumerate() {
        if at > 0 {
            sql = sql.push("; ");
        }
        sql = match &overdue.chore {
            Chore::EndLease { attempt } => end_lease(sql, overdue.id, attempt),
            Chore::Resend { attempt } => resend(sql, overdue.id, attempt, rules),
            Chore::Settle => settle(sql, overdue.id).push(" AND e.state = 'unknown'"),
            Chore::Expire => {
                let expired = |sql: Sql| sql.push(" AND e.expires_at <= UTC_TIMESTAMP(6)");
                end_waiting(
                    sql,
                    overdue.id,
                    "'expired', e.error_detail = \
                     'expires_at passed before the email could be sent.'",
                    expired,
                )
            }
            Chore::Retire => {
                let old = |sql: Sql| too_old(sql.push(" AND "), rules);
                end_waiting(
                    sql,
                    overdue.id,
                    "'too_old', e.error_detail = \
                     'The email waited for longer than MAX_AGE_S after it was due.'",
                    old,
                )
            }
            Chore::Ring { rung_at, delay } => {
                update(sql, overdue.id, "e.rung_at = UTC_TIMESTAMP(6) + INTERVAL ")
                    .micros(*delay)
                    .push(" MICROSECOND WHERE e.state = 'pending' AND e.rung_at <=> ")
                    .nullable_text(rung_at.as_deref())
            }
        };
    }
    sql
}

/// What became of a chore, by the statements of it that matched the row; the counterpart of [`chores`].
pub(super) fn outcome(chore: &Chore, matched: &mut impl Iterator<Item = bool>) -> Chored {
    let statements: &[Option<Chored>] = match chore {
        Chore::Settle => &[Some(Chored::Moved(State::Sent))],
        Chore::EndLease { .. } => &[Some(Chored::Moved(State::Sent)), Some(Chored::Moved(State::Unknown))],
        Chore::Resend { .. } => {
            &[Some(Chored::Moved(State::Sent)), None, Some(Chored::Moved(State::Pending))]
        }
        Chore::Expire | Chore::Retire => &[
            Some(Chored::Moved(State::Sent)),
            Some(Chored::Moved(State::Unknown)),
            Some(Chored::Moved(State::Expired)),
        ],
        Chore::Ring { .. } => &[Some(Chored::Rung)],
    };
    let mut outcome = Chored::Left;
    for statement in statements {
        if matched.next() == Some(true)
            && let Some(chored) = statement
        {
            outcome = *chored;
        }
    }
    outcome
}

fn end_lease(sql: Sql, id: u64, attempt: &str) -> Sql {
    let over = |sql: Sql| {
        sql.push(" AND e.state = 'sending' AND e.lease_until < UTC_TIMESTAMP(6) AND e.attempt_id = ")
            .text(attempt)
    };
    let sql = over(settle(sql, id));
    let sql = update(
        sql.push("; "),
        id,
        "e.state_at = UTC_TIMESTAMP(6), e.lease_until = NULL, e.error_kind = 'lease_expired', e.error_detail = \
         'The process that was sending the email died or was cut off; nobody can know whether SES took it.', \
         e.state = 'unknown' WHERE NOT ",
    );
    over(sql.push(ACCEPTED))
}

fn resend(sql: Sql, id: u64, attempt: &str, rules: &SweepRules) -> Sql {
    let given_up = |sql: Sql| {
        let sql = sql.push(" AND e.state = 'unknown' AND e.attempt_id = ").text(attempt).push(" AND ");
        may_resend(sql, rules)
    };
    let sql = settle(sql, id).push(" AND e.state = 'unknown' AND e.attempt_id = ").text(attempt);
    // The history first: whoever dies between the two finds it written already.
    let sql = sql.push(
        "; INSERT INTO email_event (email_id, kind, attempt_id, detail, dedup_key) SELECT e.id, 'resent', e.attempt_id, \
         JSON_OBJECT('by', 'sweep'), CONCAT('resent:', e.attempt_id) FROM email AS e",
    );
    let sql = given_up(unlocked(sql, id).push(" WHERE NOT ").push(ACCEPTED))
        .push(" ON DUPLICATE KEY UPDATE email_event.id = email_event.id; ");
    let sql = update(
        sql,
        id,
        "e.state_at = UTC_TIMESTAMP(6), e.resends = e.resends + 1, e.due_at = UTC_TIMESTAMP(6), \
         e.rung_at = UTC_TIMESTAMP(6), e.state = 'pending' WHERE NOT ",
    );
    given_up(sql.push(ACCEPTED))
}

/// Ends a waiting row: `unknown` where an earlier attempt may have reached its recipients, `expired` otherwise.
fn end_waiting(sql: Sql, id: u64, why: &'static str, condition: impl Fn(Sql) -> Sql) -> Sql {
    let end = |sql: Sql, state: &'static str, honest: &'static str| {
        let sql = update(sql.push("; "), id, "e.state_at = UTC_TIMESTAMP(6), e.rung_at = NULL, e.state = ");
        let sql =
            sql.push(state).push(", e.error_kind = ").push(why).push(" WHERE e.state = 'pending' AND NOT ");
        condition(sql.push(ACCEPTED)).push(honest).push(UNRESOLVED)
    };
    let sql = condition(settle(sql, id).push(" AND e.state = 'pending'"));
    end(end(sql, "'unknown'", " AND "), "'expired'", " AND NOT ")
}

/// Ends `e` as `sent` where the history says so; conditions follow.
fn settle(sql: Sql, id: u64) -> Sql {
    update(sql, id, SETTLED).push(" WHERE ").push(ACCEPTED)
}

/// A change of one row that nobody holds.
fn update(sql: Sql, id: u64, change: &'static str) -> Sql {
    unlocked(sql.push("UPDATE email AS e"), id).push(" SET ").push(change)
}
