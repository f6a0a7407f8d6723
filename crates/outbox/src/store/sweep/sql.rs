//! The text of the sweep's statements.

use super::{Chore, Chored, Overdue, Part, SweepRules};
use crate::{
    state::State,
    store::{
        Postpone,
        history::{ACCEPTED, SETTLED, UNRESOLVED},
        lane::PAUSED,
        literal::Sql,
        postpone::unlocked,
    },
};

pub(super) fn survey(part: Part, rules: &SweepRules, most: u32) -> Sql {
    let sql = Sql::new("");
    match part {
        Part::Attempts => {
            let sql = given_up(dead_leases(sql, most).push("; "), rules, most);
            waiting_and_unknown(known(sql.push("; "), most).push("; "))
        }
        Part::Urgent => waiting(sql, rules, "= 'urgent'", rules.urgent_has_queue, most),
        Part::Bulk => waiting(sql, rules, "= 'bulk'", rules.bulk_has_queue, most),
        Part::Others => waiting(sql, rules, "NOT IN ('urgent', 'bulk')", rules.urgent_has_queue, most),
    }
}

/// Two ends of the index on `(state, lane, due_at)`, and as many of its entries as the look before has read already.
fn waiting_and_unknown(sql: Sql) -> Sql {
    sql.push(
        "SELECT TIMESTAMPDIFF(MICROSECOND, LEAST(COALESCE(u.due_at, b.due_at), COALESCE(b.due_at, u.due_at)), \
         UTC_TIMESTAMP(6)) AS oldest_due, CAST(x.emails AS SIGNED) AS unknown FROM \
         (SELECT MIN(due_at) AS due_at FROM email WHERE state = 'pending' AND lane = 'urgent') AS u JOIN \
         (SELECT MIN(due_at) AS due_at FROM email WHERE state = 'pending' AND lane = 'bulk') AS b JOIN \
         (SELECT COUNT(*) AS emails FROM (SELECT id FROM email WHERE state = 'unknown' LIMIT ",
    )
    .integer(SweepRules::REREAD)
    .push(") AS held) AS x")
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
         WHERE e.state = 'unknown' AND e.attempt_id IS NOT NULL AND ",
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

/// Whether `e`, which is `unknown`, is to be sent again. Its latest attempt must be what is in doubt: an email that waited
/// after it had been put back, and was withdrawn or given up for its age, is `unknown` for the sake of an earlier one, and
/// nobody wants it sent.
fn may_resend(sql: Sql, rules: &SweepRules) -> Sql {
    let sql = sql
        .push(if rules.resend_by_default {
            "COALESCE(e.on_unknown, 'resend') = 'resend'"
        } else {
            "e.on_unknown = 'resend'"
        })
        .push(" AND e.resends < ")
        .integer(rules.max_resends)
        .push(" AND e.state_at <= UTC_TIMESTAMP(6) - INTERVAL ")
        .micros(rules.unknown_wait)
        .push(
            " MICROSECOND AND (e.expires_at IS NULL OR e.expires_at > UTC_TIMESTAMP(6)) AND NOT EXISTS \
             (SELECT 1 FROM email_event AS p WHERE p.email_id = e.id AND p.kind IN ('resent', 'cancelled') \
             AND p.attempt_id = e.attempt_id) AND NOT ",
        );
    too_old(sql, rules)
}

/// The waiting rows of a lane. The inner query reads the index alone.
fn waiting(sql: Sql, rules: &SweepRules, lane: &'static str, has_queue: bool, most: u32) -> Sql {
    let sql = too_old(
        sql.push("SELECT CASE WHEN e.expires_at <= UTC_TIMESTAMP(6) THEN 'expire' WHEN "),
        rules,
    )
    .push(
        " THEN 'retire' ELSE 'ring' END AS chore, CAST(e.id AS SIGNED) AS id, e.lane, CAST(e.rung_at AS CHAR) AS rung_at, \
         TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), e.due_at) AS due_in \
         FROM (SELECT id FROM email WHERE state = 'pending' AND lane ",
    )
    .push(lane)
    .push(" AND due_at <= UTC_TIMESTAMP(6) + INTERVAL ")
    .micros(SweepRules::AHEAD)
    .push(" MICROSECOND ORDER BY due_at LIMIT ")
    .integer(SweepRules::EXAMINED)
    .push(
        ") AS waits STRAIGHT_JOIN email AS e ON e.id = waits.id WHERE e.state = 'pending' AND (\
           e.expires_at <= UTC_TIMESTAMP(6) OR ",
    );
    // Of a lane that an operator paused nothing is rung for: its doorbells would be answered in vain.
    let sql = too_old(sql, rules)
        .push(" OR (NOT EXISTS (SELECT 1 FROM lane WHERE name ")
        .push(lane)
        .push(" AND ")
        .push(PAUSED)
        .push(") AND ");
    let sql = if has_queue { unheard(sql) } else { due(sql) };
    sql.push(")) ORDER BY e.due_at LIMIT ").integer(most)
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
    sql.push("IF(e.rung_at IS NULL OR e.rung_at > UTC_TIMESTAMP(6) + INTERVAL 2 * ")
        // Nobody rings so far ahead: that was a clock which has been set back.
        .micros(Postpone::LONGEST)
        .push(" MICROSECOND, IF(e.due_at > e.state_at + INTERVAL ")
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
            // In between: the transaction's beginning; after it: the history, and its end.
            &[Some(Chored::Moved(State::Sent)), None, Some(Chored::Moved(State::Pending)), None, None]
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

/// The count and the history go together: one without the other would let a later end be dishonest.
fn resend(sql: Sql, id: u64, attempt: &str, rules: &SweepRules) -> Sql {
    let sql = settle(sql, id).push(" AND e.state = 'unknown' AND e.attempt_id = ").text(attempt);
    let sql = update(
        sql.push("; START TRANSACTION; "),
        id,
        "e.state_at = UTC_TIMESTAMP(6), e.resends = e.resends + 1, e.due_at = UTC_TIMESTAMP(6), \
         e.rung_at = UTC_TIMESTAMP(6), e.state = 'pending' WHERE NOT ",
    );
    let sql = sql.push(ACCEPTED).push(" AND e.state = 'unknown' AND e.attempt_id = ").text(attempt);
    may_resend(sql.push(" AND "), rules)
        .push("; INSERT INTO email_event (email_id, kind, attempt_id, detail, dedup_key) SELECT ")
        .integer(id)
        .push(", 'resent', ")
        .text(attempt)
        .push(", JSON_OBJECT('by', 'sweep'), CONCAT('resent:', ")
        .text(attempt)
        .push(
            ") FROM (SELECT 1) AS one WHERE ROW_COUNT() > 0 \
             ON DUPLICATE KEY UPDATE email_event.id = email_event.id; COMMIT",
        )
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
