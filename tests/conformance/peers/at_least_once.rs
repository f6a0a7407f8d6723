//! The plain at-least-once handler as a subject of the kit: the same cells, servers and kills as sendonce's.
//!
//! It has no policy, and SES's events tell it nothing.

use std::path::{Path, PathBuf};

use stack::runtime_api::Function;

use crate::{
    cell::{Cell, Events, Policy, Step, World},
    subject::{End, Place, Subject, Wiring},
};

/// The handler's binary.
#[derive(Debug, Clone)]
pub struct AtLeastOnce {
    /// `at-least-once`.
    pub worker: PathBuf,
    /// Whether the SDK repeats a request by itself, as it does where nobody turns it off.
    pub sdk_retries: bool,
}

impl AtLeastOnce {
    /// The binary to build.
    pub const BINARY: &str = "at-least-once";

    /// The binary in this folder.
    #[must_use]
    pub fn in_folder(folder: &Path, sdk_retries: bool) -> Self {
        Self { worker: folder.join(Self::BINARY), sdk_retries }
    }

    /// The cells that mean something to it. It ends without waiting for its COM_QUIT to arrive; and without the SDK's
    /// retries it ends with the lost answer, before it would mark anything.
    #[must_use]
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells = super::cells(Policy::Hold, Events::Off);
        let ends_early = |cell: &Cell| cell.world == World::AnswerLost && cell.step > Step::SesTook;
        cells.retain(|cell| cell.step != Step::Quit && (self.sdk_retries || !ends_early(cell)));
        cells
    }
}

/// The flights of its connection, in their order: the login; the session's settings; each statement is prepared and then
/// executed.
const LOGIN: usize = 0;
const READ: usize = 3;
const MARK: usize = 5;

impl Subject for AtLeastOnce {
    fn name(&self) -> &'static str {
        if self.sdk_retries { "at-least-once handler" } else { "at-least-once handler, SDK retries off" }
    }

    /// Its read stands where sendonce claims, its mark where sendonce records.
    fn place(&self, step: Step) -> Option<Place> {
        Some(match step {
            Step::EventHanded => Place::Handed,
            Step::LoginRequest => Place::Request(LOGIN),
            Step::LoginAnswer => Place::Answer(LOGIN),
            Step::ClaimRequest => Place::Request(READ),
            Step::ClaimAnswer => Place::Answer(READ),
            Step::SesAsked => Place::SesAsked,
            Step::SesTook => Place::SesTook,
            Step::RecordRequest => Place::Request(MARK),
            Step::RecordAnswer => Place::Answer(MARK),
            Step::Quit => return None,
            Step::Response => Place::Response,
            Step::DoorbellKept => Place::Done,
        })
    }

    fn record_flight(&self) -> usize {
        MARK
    }

    fn worker(&self, wiring: &Wiring) -> Function {
        Function::new(&self.worker)
            .env("DATABASE_URL", format!("{}?ssl-mode=disabled", wiring.database_url))
            .env("AWS_REGION", &wiring.region)
            .env("AWS_ENDPOINT_URL_SESV2", &wiring.ses_endpoint)
            .env("SDK_RETRIES", if self.sdk_retries { "on" } else { "off" })
    }

    fn sweep(&self, _wiring: &Wiring) -> Option<Function> {
        None
    }

    fn feedback(&self, _wiring: &Wiring) -> Option<Function> {
        None
    }

    fn schema(&self) -> Option<String> {
        Some(
            "CREATE TABLE email (id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, recipient VARCHAR(320) NOT NULL, \
             subject VARCHAR(998) NOT NULL, body TEXT NOT NULL, status VARCHAR(10) NOT NULL DEFAULT 'queued', \
             sent_at DATETIME(6))"
                .to_owned(),
        )
    }

    fn clean(&self) -> String {
        "DELETE FROM email".to_owned()
    }

    fn insert(&self, recipient: &str, _policy: Policy) -> String {
        format!(
            "INSERT INTO email (recipient, subject, body) VALUES ('{recipient}', 'Your receipt', 'Thank you.')"
        )
    }

    fn row(&self, id: u64) -> String {
        format!("SELECT status, '0', '', CONCAT('sent_at=', sent_at) FROM email WHERE id = {id}")
    }

    fn history(&self, _id: u64) -> Option<String> {
        None
    }

    fn end(&self, state: &str) -> End {
        match state {
            "queued" => End::Waiting,
            "sent" => End::Sent,
            _ => End::Gone,
        }
    }
}
