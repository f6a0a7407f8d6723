//! The function on this machine, with everything that it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use stack::database::{Database, Flavor, Options, Server};
use stack::deploy::Cloud;
use stack::ministack::{self, Ministack};
use stack::runtime_api::{Environment, Function, Outcome, RuntimeApi};
use stack::ses::Ses;
use tokio::task::spawn_blocking;

use super::event::emails;
use super::{Failure, Replayed, answer};
use crate::executables::executables;

/// As the template has it. SES must answer within a part of it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The configuration set that the events of SES in `events/` came through; those of another one are ignored.
const CONFIGURATION_SET: &str = "mail-events";

/// The email that a sweep finds: it has no event to name one.
const OVERDUE: u64 = 41;

/// Replays one event after the other, and returns whether every function answered.
pub(super) async fn replay(events: &[Replayed], show_log: bool) -> Result<bool, Failure> {
    let names: BTreeSet<String> = events.iter().map(|event| event.function.clone()).collect();
    let wanted = names.clone();
    let build = async { spawn_blocking(move || executables(wanted.iter().map(String::as_str))).await? };
    let (binaries, site) = tokio::try_join!(build, Site::start())?;
    let mut environments = BTreeMap::new();
    for (name, binary) in binaries {
        let environment = RuntimeApi::start().environment(site.configured(Function::new(binary))).await?;
        let after = environment
            .ready()
            .await
            .map_err(|error| format!("{name}: {error}: {}", environment.log_text()))?;
        println!("{name} was ready {:.1} ms after its start", after.as_secs_f64() * 1e3);
        environments.insert(name, environment);
    }
    let mut all_answered = true;
    for event in events {
        let environment = environments.get(&event.function).ok_or("a function was not built")?;
        all_answered &= site.replay(environment, event, show_log).await?;
    }
    Ok(all_answered)
}

/// What the function finds around it.
struct Site {
    _server: Server,
    database: Database,
    ses: Ses,
    ministack: Ministack,
    /// By the names of their variables.
    queues: [(&'static str, String); 3],
}

impl Site {
    async fn start() -> Result<Self, Failure> {
        let database = async {
            let server = Server::start(Options::new(Flavor::MariaDb)).await?;
            let database = server.create_database().await?;
            Ok::<_, Failure>((server, database))
        };
        let cloud = async { Ok(Ministack::start(ministack::Options::default().region("eu-west-1")).await?) };
        let ((server, database), ministack) = tokio::try_join!(database, cloud)?;
        let mut queues =
            ["URGENT_QUEUE_URL", "BULK_QUEUE_URL", "DEAD_LETTER_QUEUE_URL"].map(|name| (name, String::new()));
        for (name, url) in &mut queues {
            let made =
                Cloud::of(&ministack).sqs("CreateQueue", &json!({ "QueueName": queue_name(name) })).await?;
            made["QueueUrl"].as_str().ok_or("a queue without a URL")?.clone_into(url);
        }
        Ok(Self { _server: server, database, ses: Ses::start().await?, ministack, queues })
    }

    fn configured(&self, function: Function) -> Function {
        let function = function
            .timeout(TIMEOUT)
            .env("DATABASE_URL", self.database.url())
            .env("DATABASE_TLS", "off")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_ENDPOINT_URL_SESV2", self.ses.endpoint())
            .env("AWS_ENDPOINT_URL_SQS", self.ministack.endpoint())
            .env("CONFIGURATION_SET", CONFIGURATION_SET)
            .env("LOG_LEVEL", "debug");
        self.queues.iter().fold(function, |function, (name, url)| function.env(*name, url))
    }

    async fn replay(
        &self,
        environment: &Environment,
        event: &Replayed,
        show_log: bool,
    ) -> Result<bool, Failure> {
        self.make_emails(event).await?;
        let before = self.states().await?;
        let logged = environment.logs().len();
        let done = environment.invoke(&event.event).await;
        println!("\n{} → {}", event.file.display(), event.function);
        println!("  took      {:.1} ms", done.latency.as_secs_f64() * 1e3);
        let (said, has_answered) = said(&done.outcome);
        println!("  {said}");
        let after = self.states().await?;
        for (id, was) in &before {
            let is = after.get(id).map_or("gone", String::as_str);
            let taken = self.ses.times_taken(*id);
            let taken = if taken == 0 { String::new() } else { format!(", taken by SES {taken} time(s)") };
            println!("  email     {id}: {was} → {is}{taken}");
        }
        if before.is_empty() {
            println!(
                "  email     none: nothing in the event can be read as a doorbell or as an event of SES"
            );
        }
        for (name, url) in &self.queues {
            let bodies = self.take(url).await?;
            if bodies > 0 {
                println!("  queue     {}: {bodies} message(s) were put on it", queue_name(name));
            }
        }
        if show_log || !has_answered {
            for line in &environment.logs()[logged..] {
                println!("  log       {}", line.text);
            }
        }
        if !environment.is_running() {
            return Err(format!("{} has ended: nothing more can be replayed", event.function).into());
        }
        Ok(has_answered)
    }

    /// Makes the emails that the event speaks of, and no other, as they are before such an event.
    async fn make_emails(&self, event: &Replayed) -> Result<(), Failure> {
        self.ses.forget();
        self.database.admin().execute("DELETE FROM email_event; DELETE FROM email").await?;
        let mut emails = emails(&event.event);
        if event.function == "sweep" {
            emails.insert(OVERDUE, None);
        }
        for (id, attempt) in emails {
            // An id of an attempt is plain letters and digits, or none of ours.
            let attempt = attempt.filter(|attempt| {
                attempt.len() == 26 && attempt.chars().all(|sign| sign.is_ascii_alphanumeric())
            });
            let (columns, values) = match attempt {
                Some(attempt) => (
                    "state, attempt_id, attempts, lease_until",
                    format!("'sending', '{attempt}', 1, UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE"),
                ),
                // Old enough for a sweep to be sure that nobody else rings.
                None => (
                    "due_at, created_at",
                    "UTC_TIMESTAMP(6) - INTERVAL 1 HOUR, UTC_TIMESTAMP(6) - INTERVAL 1 HOUR".into(),
                ),
            };
            let sql = format!(
                "INSERT INTO email (id, sender, to_addresses, subject, text_body, {columns}) VALUES ({id}, \
                 'Shop <orders@shop.example>', JSON_ARRAY('ada@customer.example'), 'Your receipt', 'Thank you.', {values})"
            );
            self.database.admin().execute(&sql).await?;
        }
        Ok(())
    }

    async fn states(&self) -> Result<BTreeMap<u64, String>, Failure> {
        let rows = self.database.admin().rows("SELECT CAST(id AS CHAR), state FROM email").await?;
        let mut states = BTreeMap::new();
        for row in rows {
            if let [Some(id), Some(state)] = row.as_slice() {
                states.insert(id.parse()?, state.clone());
            }
        }
        Ok(states)
    }

    /// Empties a queue; returns how many messages were on it, those whose delay is not over among them.
    async fn take(&self, url: &str) -> Result<u64, Failure> {
        let cloud = Cloud::of(&self.ministack);
        let depth = cloud.depth(url).await?;
        cloud.sqs("PurgeQueue", &json!({ "QueueUrl": url })).await?;
        Ok(depth.visible + depth.in_flight + depth.delayed)
    }
}

fn queue_name(variable: &str) -> String {
    variable.trim_end_matches("_QUEUE_URL").to_lowercase().replace('_', "-")
}

/// What came of an invocation, and whether that was an answer.
fn said(outcome: &Outcome) -> (String, bool) {
    match outcome {
        Outcome::Response(value) => (format!("response  {}", answer(value)), true),
        Outcome::Unreadable(bytes) => (format!("response  {} bytes that are no JSON", bytes.len()), false),
        Outcome::Error { kind, message } => (format!("error     {kind}: {}", message.trim_end()), false),
        Outcome::TimedOut => {
            (format!("error     no answer within {} s; it was killed", TIMEOUT.as_secs()), false)
        }
        Outcome::Died(status) => (format!("error     it ended without an answer: {status}"), false),
    }
}
