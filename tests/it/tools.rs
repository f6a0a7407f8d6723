//! `cargo xtask replay` and `cargo xtask redrive`, as typed, and the files that are replayed.

mod events;
mod redrive;
mod replay;

use std::process::{Output, Stdio};

use serde_json::{Value, json};
use stack::{
    deploy::{Cloud, Depth},
    ministack::{Ministack, Options},
};
use tokio::process::Command;

use crate::world::function_binary;

/// What a command said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    /// The only line that holds all of these.
    fn line(&self, parts: &[&str]) -> &str {
        let lines: Vec<&str> =
            self.out.lines().filter(|line| parts.iter().all(|part| line.contains(part))).collect();
        let [line] = lines.as_slice() else { panic!("{parts:?} in {} lines: {self:?}", lines.len()) };
        line
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

/// A command with these variables and no other of sendonce's or AWS's.
fn xtask(variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new(function_binary("xtask"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("AWS_") || text.starts_with("DATABASE_") || text.ends_with("_QUEUE_URL") {
            command.env_remove(name);
        }
    }
    command.args(arguments).envs(variables.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(variables: &[(&str, &str)], arguments: &[&str]) -> Said {
    xtask(variables, arguments).output().await.expect("it runs").into()
}

/// A queue service with a queue for each lane and one for dead letters.
struct Queues {
    ministack: Ministack,
    urgent: String,
    bulk: String,
    dead: String,
}

impl Queues {
    async fn new() -> Self {
        let ministack = Ministack::start(Options::default()).await.expect("ministack starts");
        let mut urls = Vec::new();
        for name in ["urgent", "bulk", "dead"] {
            let made = Cloud::of(&ministack).sqs("CreateQueue", &json!({ "QueueName": name })).await;
            urls.push(made.expect("made")["QueueUrl"].as_str().expect("a URL").to_owned());
        }
        let [urgent, bulk, dead] = urls.try_into().expect("three");
        Self { ministack, urgent, bulk, dead }
    }

    async fn sqs(&self, action: &str, parameters: Value) -> Value {
        Cloud::of(&self.ministack).sqs(action, &parameters).await.expect("the queue service answers")
    }

    /// Puts a message on the dead-letter queue; returns its id.
    async fn bury(&self, body: &str) -> String {
        let sent = self.sqs("SendMessage", json!({ "QueueUrl": self.dead, "MessageBody": body })).await;
        sent["MessageId"].as_str().expect("an id").to_owned()
    }

    async fn depth(&self, url: &str) -> Depth {
        Cloud::of(&self.ministack).depth(url).await.expect("the queue service answers")
    }

    /// The ids that a queue rings for, in order. They stay in it.
    async fn ids(&self, url: &str) -> Vec<u64> {
        let bodies = Cloud::of(&self.ministack).peek(url).await.expect("the queue service answers");
        let id = |body: &String| doorbell::body::parse(body.as_bytes()).expect("a doorbell");
        let mut ids: Vec<u64> = bodies.iter().map(id).collect();
        ids.sort_unstable();
        ids
    }
}
