//! What the story does to the stack, and what it insists on.

use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stack::gate::Gate;
use stack::runtime_api::{Environment, Function, InFlight, RuntimeApi};
use stack::ses::{Fault, Match, Recorded};

use crate::demo::progress::Failure;
use crate::demo::report::{all_about, logs};
use crate::demo::stage::{DISPATCH, SWEEP, Stage};

/// What has not happened by then will not.
const HAPPENS_WITHIN: Duration = Duration::from_secs(15);

/// How often somebody looks.
const PAUSE: Duration = Duration::from_millis(20);

/// For how long the template lets an email be `unknown` before it may be sent again.
const UNKNOWN_WAIT_S: u32 = 600;

/// Where it plays.
pub(super) struct Scene<'a> {
    pub(super) stage: &'a Stage,
}

/// A worker whose email SES has taken and not yet answered for.
pub(super) struct Sending {
    pub(super) worker: Environment,
    /// Holds SES's answer.
    answer: Gate,
    attempt: Recorded,
    _invocation: InFlight,
}

impl Scene<'_> {
    pub(super) async fn write(&self, on_unknown: &str, subject: &str) -> Result<u64, Failure> {
        let sql = format!(
            "INSERT INTO email (sender, to_addresses, subject, text_body, on_unknown)
             VALUES ('Shop <orders@shop.example>', JSON_ARRAY('Ada <ada@customer.example>'), '{subject}',
                     'It leaves today.', '{on_unknown}');
             SELECT LAST_INSERT_ID()"
        );
        self.value(&sql).await?.parse().map_err(Into::into)
    }

    /// A worker of its own takes the email's doorbell; returns when SES has taken the email.
    pub(super) async fn send_until_taken(&self, id: u64) -> Result<Sending, Failure> {
        let Stage { ses, front, ministack, cloud, worker, .. } = self.stage;
        let answer = Gate::new();
        ses.script(Match::EmailId(id), 1, Fault::GateAnswer(answer.clone()));
        // As ministack sets them, and then what the template does.
        let mut function = Function::new(worker)
            .env("AWS_ENDPOINT_URL", ministack.endpoint())
            .env("AWS_ENDPOINT_URL_SESV2", front.endpoint());
        for (name, value) in cloud.variables(DISPATCH).await? {
            function = function.env(name, value);
        }
        let worker = RuntimeApi::start().environment(function).await?;
        worker.ready().await?;
        let invocation = worker.begin(&doorbell(id));
        if tokio::time::timeout(HAPPENS_WITHIN, answer.reached()).await.is_err() {
            return Err(
                format!("email {id} never came to SES; the worker says:\n{}", worker.log_text()).into()
            );
        }
        let attempt = ses.requests_for(id).into_iter().find(|request| request.taken);
        let attempt = attempt.ok_or_else(|| format!("SES did not take email {id}"))?;
        Ok(Sending { worker, answer, attempt, _invocation: invocation })
    }

    /// `kill -9`; then SES answers. Returns what SES knows of the attempt.
    pub(super) async fn kill(&self, id: u64, sending: Sending) -> Result<Recorded, Failure> {
        let status = sending.worker.kill().await;
        if status.signal() != Some(9) {
            return Err(self.but(id, format!("its worker ended by itself ({status})")).await);
        }
        sending.answer.release();
        Ok(sending.attempt)
    }

    /// Rings for the email and returns when dispatch-sqs is done with that.
    pub(super) async fn ring_and_wait(&self, id: u64) -> Result<(), Failure> {
        let urgent = self.stage.queue("urgent")?;
        let before = self.dispatched().await?;
        self.stage.cloud.send_message(urgent, &json!({ "email_id": id }).to_string()).await?;
        let begun = Instant::now();
        while begun.elapsed() < HAPPENS_WITHIN {
            if self.dispatched().await? > before && self.stage.cloud.depth(urgent).await?.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(self.but(id, "dispatch-sqs did not answer its doorbell".to_owned()).await)
    }

    /// How many invocations dispatch-sqs has answered.
    async fn dispatched(&self) -> Result<usize, Failure> {
        let log = self.stage.cloud.log(DISPATCH).await?;
        Ok(log.iter().filter(|line| line.starts_with("REPORT RequestId")).count())
    }

    pub(super) async fn sweep(&self) -> Result<(), Failure> {
        self.stage.cloud.invoke(SWEEP, &json!({})).await.map(drop).map_err(Into::into)
    }

    pub(super) async fn error_detail(&self, id: u64) -> Result<String, Failure> {
        self.value(&format!("SELECT error_detail FROM email WHERE id = {id}")).await
    }

    /// In how many seconds the email's lease is over.
    pub(super) async fn lease_s(&self, id: u64) -> Result<String, Failure> {
        let sql = "SELECT CAST(TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(6), lease_until) AS CHAR)";
        self.value(&format!("{sql} FROM email WHERE id = {id}")).await
    }

    /// Lets the time of these leases be over.
    pub(super) async fn end_leases(&self, ids: &[u64]) -> Result<(), Failure> {
        self.change("lease_until = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND", ids).await
    }

    /// Lets the time be over in which events are waited for.
    pub(super) async fn wait_for_events(&self, ids: &[u64]) -> Result<(), Failure> {
        self.change(&format!("state_at = state_at - INTERVAL {UNKNOWN_WAIT_S} SECOND"), ids).await
    }

    async fn change(&self, assignment: &str, ids: &[u64]) -> Result<(), Failure> {
        let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
        let sql = format!("UPDATE email SET {assignment} WHERE id IN ({})", ids.join(", "));
        self.stage.database.admin().execute(&sql).await?;
        Ok(())
    }

    /// Insists that the row is in this state, or soon will be.
    pub(super) async fn must_be(&self, id: u64, expected: &str) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            let state = self.state(id).await?;
            if state == expected {
                return Ok(());
            }
            if begun.elapsed() > HAPPENS_WITHIN {
                return Err(self.but(id, format!("its row says {state}, not {expected}")).await);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(super) async fn state(&self, id: u64) -> Result<String, Failure> {
        self.value(&format!("SELECT state FROM email WHERE id = {id}")).await
    }

    /// Insists that SES was asked to send the email so often.
    pub(super) async fn must_have_asked(&self, id: u64, expected: usize) -> Result<(), Failure> {
        let asked = self.stage.ses.requests_for(id).len();
        if asked == expected {
            return Ok(());
        }
        Err(self.but(id, format!("SES was asked for it {}, not {}", times(asked), times(expected))).await)
    }

    /// What is wrong with an email, and all that is known of it.
    async fn but(&self, id: u64, what: String) -> Failure {
        let known = async {
            let log = logs(self.stage).await?;
            all_about(self.stage, id, &log).await
        };
        let known = known.await.unwrap_or_else(|error| error.to_string());
        format!("email {id}: {what}\n\n{known}").into()
    }

    async fn value(&self, sql: &str) -> Result<String, Failure> {
        let rows = self.stage.database.admin().rows(sql).await?;
        let value = rows.into_iter().flatten().flatten().next();
        value.ok_or_else(|| format!("nothing was found by: {sql}").into())
    }
}

/// How often, in words.
pub(super) fn times(count: usize) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{count} times"),
    }
}

/// What Lambda hands to a function for a message of a queue.
fn doorbell(id: u64) -> Value {
    json!({ "Records": [{
        "messageId": "19dd0b57-b21e-4ac1-bd88-01bbb068cb78",
        "receiptHandle": "MessageReceiptHandle",
        "body": json!({ "email_id": id }).to_string(),
        "attributes": { "ApproximateReceiveCount": "1" },
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:000000000000:urgent",
        "awsRegion": "eu-west-1",
    }] })
}
