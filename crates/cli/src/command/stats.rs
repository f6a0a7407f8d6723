//! `sendonce stats`: where the emails stand, what is overdue, how the lanes are.

use std::time::Duration;

use outbox::{
    config::OperatorConfig,
    state::State,
    store::operator::{Count, Stats},
};
use serde_json::{Value, json};

use super::pause::standing;
use crate::{
    failure::Failure,
    output::{Report, Table, plain, thousands},
    session::{self, LOOKING},
    when::{human, relative, rfc3339},
};

/// What is done is counted as far back as this: counting all of it would read all of it.
const WINDOW: Duration = Duration::from_hours(24);

pub(crate) async fn run(config: &OperatorConfig) -> Result<Report, Failure> {
    let mut stats = session::with(&config.database, LOOKING, async |session, deadline, _| {
        session.stats(WINDOW, deadline).await
    })
    .await?;
    let order = |state| State::ALL.iter().position(|candidate| *candidate == state);
    stats.counts.sort_by_key(|count| (order(count.state), std::cmp::Reverse(count.lane.clone())));
    Ok(Report::done(text(&stats, config), document(&stats, config)))
}

fn overdue(stats: &Stats) -> Option<&Count> {
    let pending = stats.counts.iter().filter(|count| count.state == State::Pending && count.due > 0);
    pending.min_by_key(|count| count.first_due_at)
}

fn text(stats: &Stats, config: &OperatorConfig) -> String {
    let (done, waiting): (Vec<_>, Vec<_>) = stats.counts.iter().partition(|count| count.state.is_terminal());
    let mut text = if waiting.is_empty() {
        "No email waits.\n".to_owned()
    } else {
        format!("Not done\n{}", counted(&waiting))
    };
    if !done.is_empty() {
        text.extend([format!("\nDone, of what was due in the last 24 hours\n{}", counted(&done))]);
    }
    match overdue(stats).and_then(|count| count.first_due_at.map(|due| (count, due))) {
        Some((count, due)) => text.extend([format!(
            "\nThe oldest due email was due {} ({}), lane {}.\n",
            human(due),
            relative(due, stats.now),
            plain(&count.lane)
        )]),
        None => text.push_str("\nNo email is overdue.\n"),
    }
    match stats.dead_leases {
        0 => text.push_str("No dead attempt waits for the sweep.\n"),
        dead => text.extend([format!(
            "{} sending with a lease that is over: the next sweep makes them unknown.\n",
            thousands(dead)
        )]),
    }
    text.push_str("\nLanes\n");
    let mut table = Table::new(2);
    for lane in &stats.lanes {
        let rest = standing(lane, stats.now);
        let strikes =
            if lane.strikes > 0 { format!("{} failures in a row", lane.strikes) } else { String::new() };
        let line = lane
            .line_until
            .map_or_else(String::new, |until| format!("emails wait in line until {}", human(until)));
        let resume = if lane.is_paused {
            format!("sendonce resume --lane {}", plain(&lane.name))
        } else {
            String::new()
        };
        let notes: Vec<_> = [resume, strikes, line].into_iter().filter(|note| !note.is_empty()).collect();
        table.row([plain(&lane.name), rest, notes.join("; ")]);
    }
    text.push_str(&table.text());
    text.push_str(&rate(stats, config));
    text
}

fn counted(counts: &[&Count]) -> String {
    let mut table = Table::new(2);
    for count in counts {
        let number = thousands(count.emails);
        let number = if count.stopped { format!("{number} or more") } else { number };
        let note = match count.state {
            State::Pending => format!("{} due", thousands(count.due)),
            State::Unknown | State::Failed => format!("sendonce list --state {}", count.state),
            _ => String::new(),
        };
        table.row([count.state.to_string(), plain(&count.lane), number, note]);
    }
    table.text()
}

fn rate(stats: &Stats, config: &OperatorConfig) -> String {
    if config.max_send_rate == 0 {
        return "\nSending rate: not paced (MAX_SEND_RATE is not set here).\n".to_owned();
    }
    let rate = format!("\nSending rate: at most {} recipients a second", thousands(config.max_send_rate));
    match stats.slots_taken_until.duration_since(stats.now) {
        Ok(ahead) if !ahead.is_zero() => {
            format!(
                "{rate}; slots are taken for the next {} ms.\n",
                thousands(u64::try_from(ahead.as_millis()).unwrap_or(0))
            )
        }
        _ => format!("{rate}; slots are free.\n"),
    }
}

fn document(stats: &Stats, config: &OperatorConfig) -> Value {
    let counts: Vec<_> = stats
        .counts
        .iter()
        .map(|count| {
            json!({
                "state": count.state.as_str(),
                "lane": count.lane,
                "emails": count.emails,
                "at_least": count.stopped,
                "due": count.due,
                "first_due_at": count.first_due_at.map(rfc3339),
                "due_within_s": count.state.is_terminal().then_some(WINDOW.as_secs()),
            })
        })
        .collect();
    let lanes: Vec<_> = stats
        .lanes
        .iter()
        .map(|lane| {
            json!({
                "name": lane.name,
                "rests_until": lane.rests_until.map(rfc3339),
                "is_paused": lane.is_paused,
                "strikes": lane.strikes,
                "is_probed": lane.probed,
                "line_until": lane.line_until.map(rfc3339),
            })
        })
        .collect();
    let oldest = overdue(stats).and_then(|count| count.first_due_at);
    json!({
        "now": rfc3339(stats.now),
        "counts": counts,
        "oldest_due_at": oldest.map(rfc3339),
        "oldest_due_s": oldest.map(|due| stats.now.duration_since(due).unwrap_or_default().as_secs()),
        "dead_leases": stats.dead_leases,
        "lanes": lanes,
        "max_send_rate": config.max_send_rate,
        "slots_taken_until": rfc3339(stats.slots_taken_until),
    })
}
