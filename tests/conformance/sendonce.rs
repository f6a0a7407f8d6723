//! sendonce as a subject: its functions' real binaries.

use std::path::PathBuf;

use stack::runtime_api::Function;

use crate::{
    cell::{Policy, Step},
    subject::{End, Place, Subject, Wiring},
};

/// The binaries of the functions.
#[derive(Debug, Clone)]
pub struct Sendonce {
    /// `dispatch-sqs`.
    pub dispatch: PathBuf,
    /// `sweep`.
    pub sweep: PathBuf,
    /// `feedback`.
    pub feedback: PathBuf,
}

impl Sendonce {
    /// The packages to build, named as their binaries.
    pub const BINARIES: [&str; 3] = ["dispatch-sqs", "sweep", "feedback"];

    /// The binaries in this folder.
    #[must_use]
    pub fn in_folder(folder: &std::path::Path) -> Self {
        let [dispatch, sweep, feedback] = Self::BINARIES.map(|name| folder.join(name));
        Self { dispatch, sweep, feedback }
    }
}

/// As the template configures every function; what it leaves out has its default.
fn configured(function: Function, database_url: &str, wiring: &Wiring) -> Function {
    function
        .env("DATABASE_URL", database_url)
        .env("DATABASE_TLS", "off")
        .env("AWS_REGION", &wiring.region)
        .env("AWS_ENDPOINT_URL_SESV2", &wiring.ses_endpoint)
        .env("AWS_ENDPOINT_URL_SQS", &wiring.sqs_endpoint)
        .env("CONFIGURATION_SET", "sendonce")
        .env("URGENT_QUEUE_URL", &wiring.queue_url)
        .env("BULK_QUEUE_URL", &wiring.queue_url)
        .env("LOG_LEVEL", "debug")
}

impl Subject for Sendonce {
    fn name(&self) -> &'static str {
        "sendonce"
    }

    fn place(&self, step: Step) -> Option<Place> {
        Some(match step {
            Step::EventHanded => Place::Handed,
            Step::LoginRequest => Place::Request(0),
            Step::LoginAnswer => Place::Answer(0),
            Step::ClaimRequest => Place::Request(1),
            Step::ClaimAnswer => Place::Answer(1),
            Step::SesAsked => Place::SesAsked,
            Step::SesTook => Place::SesTook,
            Step::RecordRequest => Place::Request(2),
            Step::RecordAnswer => Place::Answer(2),
            Step::Quit => Place::Request(3),
            Step::Response => Place::Response,
            Step::DoorbellKept => Place::Done,
        })
    }

    fn record_flight(&self) -> usize {
        2
    }

    fn worker(&self, wiring: &Wiring) -> Function {
        configured(Function::new(&self.dispatch), &wiring.database_url, wiring)
    }

    fn patient_worker(&self, wiring: &Wiring) -> Function {
        self.worker(wiring).env("SES_TIMEOUT_MS", "40000")
    }

    fn sweep(&self, wiring: &Wiring) -> Option<Function> {
        Some(configured(Function::new(&self.sweep), &wiring.office_url, wiring))
    }

    fn feedback(&self, wiring: &Wiring) -> Option<Function> {
        Some(configured(Function::new(&self.feedback), &wiring.office_url, wiring))
    }

    fn schema(&self) -> Option<String> {
        None
    }

    fn clean(&self) -> String {
        "DELETE FROM email; DELETE FROM email_event; DELETE FROM suppression; \
         UPDATE send_rate SET tat = '1970-01-01'; \
         UPDATE lane SET rest_until = '1970-01-01', rest_ms = 0, strikes = 0, struck_at = '1970-01-01', \
         ring_at = '1970-01-01'"
            .to_owned()
    }

    fn insert(&self, recipient: &str, policy: Policy) -> String {
        format!(
            "INSERT INTO email (sender, to_addresses, subject, text_body, on_unknown) VALUES \
             ('Shop <orders@shop.example>', JSON_ARRAY('{recipient}'), 'Your receipt', 'Thank you.', '{}')",
            policy.name()
        )
    }

    fn row(&self, id: u64) -> String {
        format!(
            "SELECT state, CAST(resends AS CHAR), CONCAT_WS(' ', CONCAT('attempts=', attempts), \
             CONCAT('attempt_id=', attempt_id)), CONCAT_WS(' ', CONCAT('lease_until=', lease_until), CONCAT('due_at=', due_at), \
             CONCAT('rung_at=', rung_at), CONCAT('ses_message_id=', ses_message_id), CONCAT('error_kind=', error_kind)) \
             FROM email WHERE id = {id}"
        )
    }

    fn rows(&self) -> Option<String> {
        Some("SELECT CAST(id AS CHAR), state FROM email".to_owned())
    }

    fn history(&self, id: u64) -> Option<String> {
        Some(format!(
            "SELECT CONCAT_WS(' ', at, kind, attempt_id) FROM email_event WHERE email_id = {id} ORDER BY id"
        ))
    }

    fn end(&self, state: &str) -> End {
        match state {
            "pending" => End::Waiting,
            "sending" => End::Busy,
            "sent" => End::Sent,
            "unknown" => End::Unknown,
            "failed" | "suppressed" | "cancelled" | "expired" => End::GivenUp,
            _ => End::Gone,
        }
    }
}
