//! The real binary `sendonce` on a real table: what operators type, what they read, what is left behind.

mod broken;
mod change;
mod connection;
mod list;
mod pause;
mod resolve;
mod show;
mod stats;

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::world::{Table, function_binary};

/// What a command left.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let said = Self {
            code: output.status.code().expect("it was not killed"),
            out: text(output.stdout),
            err: text(output.stderr),
        };
        // Whatever it says, it never says this.
        for text in [&said.out, &said.err] {
            assert!(!text.contains(stack::database::PASSWORD), "{said:?}");
        }
        said
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The text that a successful command printed.
    fn done(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{self:?}");
        self.out
    }
}

/// The command, with this configuration and nothing else, and no terminal.
fn command(variables: &[(&str, &str)], line: &str) -> Command {
    let mut command = Command::new(function_binary("sendonce"));
    command.args(line.split(' ')).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    command
}

fn run(variables: &[(&str, &str)], line: &str) -> Said {
    Said::of(command(variables, line).output().expect("it runs"))
}

impl Table {
    /// Types a line, with the default configuration.
    fn type_in(&self, line: &str) -> Said {
        run(&[("DATABASE_URL", &self.database.url_of("operator")), ("DATABASE_TLS", "off")], line)
    }

    /// The same, for programs; asserts the exit code.
    fn ask(&self, line: &str, code: i32) -> Value {
        let said = self.type_in(&format!("{line} --json"));
        assert_eq!(said.code, code, "{said:?}");
        said.json()
    }

    /// An email in some state, after one attempt whose name is made of its serial number.
    async fn in_state(&self, state: &str, serial: u64) -> u64 {
        let state_text = format!("'{state}'");
        let attempt = format!("'{}'", attempt(serial));
        let mut changes = vec![
            ("state", state_text.as_str()),
            ("attempts", "1"),
            ("attempt_id", attempt.as_str()),
            ("first_attempt_at", "UTC_TIMESTAMP(6)"),
        ];
        match state {
            "sending" => changes.push(("lease_until", "UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE")),
            "sent" => changes.push(("sent_at", "UTC_TIMESTAMP(6)")),
            "failed" => changes.push(("error_kind", "'rejected'")),
            _ => {}
        }
        self.insert(&changes).await
    }

    /// SES's event of this kind for an attempt.
    async fn event(&self, id: u64, kind: &str, serial: u64) {
        let attempt = attempt(serial);
        self.execute(&format!(
            "INSERT INTO email_event (email_id, kind, attempt_id, detail) VALUES ({id}, '{kind}', '{attempt}', \
             JSON_OBJECT('ses_message_id', '0102-{serial}'))"
        ))
        .await;
    }

    /// The kinds of an email's history, in the order in which they were written.
    async fn kinds(&self, id: u64) -> String {
        let sql = format!(
            "SELECT COALESCE(GROUP_CONCAT(kind ORDER BY id), '') FROM email_event WHERE email_id = {id}"
        );
        self.value(&sql).await.expect("a text")
    }

    /// All of the tables that a command could change, as one text.
    async fn checksum(&self) -> String {
        let email = "SELECT GROUP_CONCAT(CONCAT_WS(',', id, state, state_at, attempts, resends, due_at, rung_at, \
                     expires_at, attempt_id) ORDER BY id SEPARATOR ';') FROM email";
        let events = "SELECT CAST(COUNT(*) AS CHAR) FROM email_event";
        format!("{:?} {:?}", self.value(email).await, self.value(events).await)
    }
}

/// The name of an attempt.
fn attempt(serial: u64) -> String {
    outbox::state::AttemptId::new(1_777_897_800_000 + serial, u128::from(serial)).to_string()
}
