//! What became of each email, what was left behind, and whether all that is as it should be.

use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

use serde_json::Value;
use stack::deploy::Depth;

use super::progress::Failure;
use super::rabbitmq::{DISPATCHED, RELAYED};
use super::run::{EVENT_KINDS, Row, Run, UNREADABLE};
use super::samples::End;
use super::stage::{DISPATCH, DISPATCH_RABBITMQ, FEEDBACK, FUNCTIONS, RELAY_RABBITMQ, SWEEP, Stage};

/// A function's last lines arrive a moment after its answer.
const SETTLES_WITHIN: Duration = Duration::from_secs(3);

/// Everything that was found out.
pub(super) struct Report {
    rows: Vec<Row>,
    in_time: bool,
    inbox: String,
    inbox_count: usize,
    connections: Connections,
    queues: Vec<Queue>,
    /// How many messages wait in each queue of RabbitMQ.
    broker: Vec<(String, u32)>,
    /// What is known of each email that ended elsewhere, or not at all.
    wrong: Vec<String>,
    problems: Vec<String>,
}

/// What the database server and the functions' logs say.
struct Connections {
    opened: u64,
    /// Invocations of each function that had a row to look at.
    needed: [(&'static str, u64); 4],
    /// Invocations that had none.
    spared: u64,
    aborted: u64,
    open_now: usize,
}

struct Queue {
    name: &'static str,
    depth: Depth,
    bodies: Vec<String>,
    expected: &'static [&'static str],
}

impl Report {
    /// Asks everybody.
    pub(super) async fn make(stage: &Stage, run: Run) -> Result<Self, Failure> {
        let emails = stage.inbox.emails().await?;
        let (connections, log) = settled(stage, run.connections_before).await?;
        let mut report = Self {
            rows: run.rows,
            in_time: run.in_time,
            inbox: stage.inbox.url(),
            inbox_count: emails.len(),
            connections,
            queues: queues(stage).await?,
            broker: broker(stage).await?,
            wrong: Vec::new(),
            problems: Vec::new(),
        };
        for row in report.rows.iter().filter(|row| row.seen.state != row.sample.end.state()) {
            report.wrong.push(all_about(stage, row.id, &log).await?);
        }
        report.check_rows(stage, &emails);
        report.check_the_rest(stage);
        Ok(report)
    }

    /// Whether each email ended where it should, once, and nothing was left behind.
    pub(super) fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    fn check_rows(&mut self, stage: &Stage, emails: &[Value]) {
        for row in &self.rows {
            let mut complain =
                |what: String| self.problems.push(format!("email {} ({}): {what}", row.id, row.sample.what));
            let expected = row.sample.end.state();
            if row.seen.state != expected {
                complain(format!("is {}, not {expected}", row.seen.state));
                continue;
            }
            let taken = stage.ses.times_taken(row.id);
            match row.sample.end {
                End::Sent(subject) => {
                    // By the id that SES gave it, whether its answer arrived or its event told.
                    let id = row.seen.ses_message_id.as_deref().and_then(|id| stage.front.shown(id));
                    let found = emails.iter().filter(|email| email["messageId"].as_str() == id.as_deref());
                    let subjects: Vec<&str> = found.filter_map(|email| email["subject"].as_str()).collect();
                    if id.is_none() || subjects != [subject] {
                        complain(format!("the inbox has {subjects:?} under its id, not {subject:?}"));
                    }
                    if taken != 1 {
                        complain(format!("SES took it {taken} times, not once"));
                    }
                    if !row.has_its_events() {
                        complain(format!("its events are {:?}, not {EVENT_KINDS:?}", row.seen.events));
                    }
                }
                End::Not(_, kind) => {
                    if row.seen.error_kind.as_deref() != kind {
                        complain(format!("the reason is {:?}, not {kind:?}", row.seen.error_kind));
                    }
                    if taken != 0 {
                        complain(format!("SES took it {taken} times"));
                    }
                }
            }
        }
    }

    fn check_the_rest(&mut self, stage: &Stage) {
        let sent = self.rows.iter().filter(|row| matches!(row.sample.end, End::Sent(_))).count();
        let mut problems = stage.front.not_shown();
        problems.extend(stage.ses.emit_errors());
        if stage.front.is_to_leave_unanswered() {
            problems.push("nobody was hung up on".to_owned());
        }
        if self.inbox_count != sent {
            problems.push(format!("the inbox holds {} emails, not {sent}", self.inbox_count));
        }
        let connections = &self.connections;
        if connections.opened != connections.needed() || connections.aborted + connections.open_now as u64 > 0
        {
            problems.push("the connections are not as they should be".to_owned());
        }
        for queue in &self.queues {
            if queue.bodies != queue.expected || queue.depth.in_flight + queue.depth.delayed > 0 {
                problems.push(format!("queue {} should hold {:?}", queue.name, queue.expected));
            }
        }
        if self.broker.iter().any(|(_, waiting)| *waiting > 0) {
            problems.push("RabbitMQ should hold nothing any more".to_owned());
        }
        if !self.in_time {
            problems.push("not everything came to its end within a minute".to_owned());
        }
        self.problems.append(&mut problems);
    }
}

impl Connections {
    fn needed(&self) -> u64 {
        self.needed.iter().map(|(_, count)| count).sum()
    }
}

/// The connections and the functions' logs, as soon as they agree.
async fn settled(stage: &Stage, before: u64) -> Result<(Connections, Vec<String>), Failure> {
    let begun = Instant::now();
    loop {
        let count = |log: &[String], part: &str| log.iter().filter(|line| line.contains(part)).count() as u64;
        let mut all = Vec::new();
        let mut needed = [(DISPATCH, 0), (SWEEP, 0), (FEEDBACK, 0), (DISPATCH_RABBITMQ, 0)];
        for (function, invocations) in &mut needed {
            let log = stage.cloud.log(function).await?;
            *invocations = count(&log, "START RequestId");
            all.extend(log);
        }
        // One doorbell an invocation, which is the template's default.
        all.extend(stage.cloud.log(RELAY_RABBITMQ).await?);
        let spared = count(&all, "\"doorbell.unreadable\"");
        needed[0].1 = needed[0].1.saturating_sub(spared);
        let connections = Connections {
            opened: stage.server.connections_made().await? - before,
            needed,
            spared,
            aborted: stage.server.global_status("Aborted_clients").await?,
            open_now: stage.server.processlist().await?.len(),
        };
        let agree = connections.opened == connections.needed() && connections.open_now == 0;
        if agree || begun.elapsed() > SETTLES_WITHIN {
            return Ok((connections, all));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn queues(stage: &Stage) -> Result<Vec<Queue>, Failure> {
    let wanted: [(_, _, &[&str]); 7] = [
        ("urgent", "UrgentQueueUrl", &[]),
        ("bulk", "BulkQueueUrl", &[]),
        ("urgent, dead letters", "UrgentDeadLetterQueueUrl", &[]),
        ("bulk, dead letters", "BulkDeadLetterQueueUrl", &[UNREADABLE]),
        ("SES's events", "FeedbackQueueUrl", &[]),
        ("SES's events, dead letters", "FeedbackDeadLetterQueueUrl", &[]),
        ("RabbitMQ's dead letters", "RabbitmqDeadLetterQueueUrl", &[UNREADABLE]),
    ];
    let mut queues = Vec::new();
    for (name, output, expected) in wanted {
        let url = stage.output(output)?;
        let depth = stage.cloud.depth(url).await?;
        let bodies = if depth.visible > 0 { stage.cloud.peek(url).await? } else { Vec::new() };
        queues.push(Queue { name, depth, bodies, expected });
    }
    Ok(queues)
}

/// The queues of RabbitMQ, and those of the bridge behind each.
async fn broker(stage: &Stage) -> Result<Vec<(String, u32)>, Failure> {
    let mut found = Vec::new();
    for queue in [RELAYED, DISPATCHED] {
        for name in [queue.to_owned(), format!("{queue}.dead")] {
            let waiting = stage.broker.waiting(&name).await?;
            found.push((name, waiting));
        }
    }
    Ok(found)
}

/// What all functions wrote.
pub(super) async fn logs(stage: &Stage) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for function in FUNCTIONS {
        all.extend(stage.cloud.log(function).await?);
    }
    Ok(all)
}

/// The row, what the functions wrote of it, and, if that is nothing, what else was written last.
pub(super) async fn all_about(stage: &Stage, id: u64, log: &[String]) -> Result<String, Failure> {
    let mut text = format!("What is known of email {id}:\n");
    let columns = [
        "state",
        "state_at",
        "attempts",
        "attempt_id",
        "lease_until",
        "due_at",
        "rung_at",
        "expires_at",
        "ses_message_id",
        "error_kind",
        "error_detail",
        "UTC_TIMESTAMP(6)",
    ];
    let sql = format!("SELECT {} FROM email WHERE id = {id}", columns.join(", "));
    for (column, value) in columns.iter().zip(stage.database.admin().rows(&sql).await?.concat()) {
        writeln!(text, "  {column:16} {}", value.as_deref().unwrap_or("NULL"))?;
    }
    let ids = [format!("\"email_id\":{id},"), format!("\"email_id\":{id}}}")];
    let is_about = |line: &&str| ids.iter().any(|id| line.contains(id));
    let mut lines: Vec<&str> = log.iter().map(String::as_str).filter(is_about).collect();
    let ministack = stage.ministack.log()?;
    if lines.is_empty() {
        writeln!(text, "  The functions never wrote of it. The last lines of them, then of ministack:")?;
        lines.extend(last(log.iter().map(String::as_str).collect(), 8));
        lines.extend(last(ministack.lines().collect(), 12));
    }
    for line in lines {
        writeln!(text, "  {line}")?;
    }
    Ok(text)
}

fn last(mut lines: Vec<&str>, count: usize) -> Vec<&str> {
    lines.split_off(lines.len().saturating_sub(count))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table(f)?;
        self.facts(f)?;
        if !self.problems.is_empty() {
            writeln!(f, "\nNOT as it should be:")?;
            for problem in &self.problems {
                writeln!(f, "  {problem}")?;
            }
        }
        self.wrong.iter().try_for_each(|known| write!(f, "\n{known}"))
    }
}

impl Report {
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["id", "email", "lane", "state", "tries", "SES's events", "ms"];
        let [id, what, lane, state, attempts, events, took] = heads;
        let rule = "─".repeat(97);
        writeln!(f, "\n{id:>3}  {what:42} {lane:7} {state:10} {attempts:>5}  {events:16} {took:>6}\n{rule}")?;
        for row in &self.rows {
            let seen = &row.seen;
            let took = row.took_ms().map_or_else(|| "–".to_owned(), |took| took.to_string());
            let mark = if seen.state == row.sample.end.state() { "" } else { "  ← wrong" };
            writeln!(
                f,
                "{:>3}  {:42} {:7} {:10} {:>5}  {:16} {took:>6}{mark}",
                row.id,
                row.sample.what,
                seen.lane,
                seen.state,
                seen.attempts,
                seen.events.as_deref().unwrap_or("–"),
            )?;
            let detail = match seen.state.as_str() {
                "suppressed" => Some("Every recipient is on the suppression list."),
                _ => seen.error_detail.as_deref(),
            };
            if let Some(detail) = detail {
                for line in wrapped(detail, 90) {
                    writeln!(f, "     │ {line}")?;
                }
            }
        }
        writeln!(
            f,
            "{rule}\ntries: claims, those given back not counted. SES's events: what it told afterwards. ms: from just \
             before\nthe doorbell was rung until the row entered its state. The first emails start ten environments \
             of an\nunoptimized function at once; the last one finds them warm."
        )
    }

    fn facts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Connections { opened, needed, spared, aborted, open_now } = &self.connections;
        let each = if self.is_good() { ", each once" } else { "" };
        writeln!(f, "\nInbox        {} emails{each}: {}", self.inbox_count, self.inbox)?;
        let [dispatch, sweep, feedback, rabbitmq] = needed.map(|(_, invocations)| invocations);
        writeln!(
            f,
            "Connections  {opened} opened by {} invocations that had a row to look at ({dispatch} of dispatch-sqs, \
             {rabbitmq} of\n             dispatch-rabbitmq, {sweep} of sweep, {feedback} of feedback), none by the \
             {spared} of dispatch-sqs that had not;\n             {aborted} aborted, {open_now} still open",
            self.connections.needed()
        )?;
        for (index, Queue { name, depth, bodies, .. }) in self.queues.iter().enumerate() {
            let head = if index == 0 { "Queues" } else { "" };
            write!(f, "{head:12} {name}: ")?;
            let Depth { visible, in_flight, delayed } = depth;
            match (visible, in_flight + delayed) {
                (0, 0) => writeln!(f, "empty")?,
                (_, 0) => writeln!(f, "{visible}, {bodies:?}")?,
                _ => writeln!(f, "{visible} waiting {bodies:?}, {in_flight} in flight, {delayed} delayed")?,
            }
        }
        for (index, (name, waiting)) in self.broker.iter().enumerate() {
            let head = if index == 0 { "RabbitMQ" } else { "" };
            match waiting {
                0 => writeln!(f, "{head:12} {name}: empty")?,
                _ => writeln!(f, "{head:12} {name}: {waiting} waiting")?,
            }
        }
        Ok(())
    }
}

/// Lines of at most so many characters, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines
            .last_mut()
            .filter(|line| line.is_empty() || line.chars().count() + 1 + word.chars().count() <= width);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => line.extend([" ", word]),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("one two  three\nfour", 9), ["one two", "three", "four"]);
        assert_eq!(wrapped("unbreakable x", 4), ["unbreakable", "x"]);
    }
}
