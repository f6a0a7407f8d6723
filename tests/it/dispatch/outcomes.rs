//! What each answer of SES leads to, and that an ambiguous one is asked for exactly once.

use std::time::Duration;

use outbox::dispatch::Answer;
use stack::ses::{Fault, Match, SesError};

use crate::stage::{Stage, ring};

/// State, attempts left on the row, whether it is rung for again, and the error's code.
struct Expected {
    state: &'static str,
    attempts: &'static str,
    rung: bool,
    rests: bool,
    kind: Option<&'static str>,
}

const FAILED: Expected = Expected { state: "failed", attempts: "1", rung: false, rests: false, kind: None };
const UNKNOWN: Expected = Expected { state: "unknown", attempts: "1", rung: false, rests: false, kind: None };
/// The account's or the path's fault: the attempt is given back.
const RESTS: Expected = Expected { state: "pending", attempts: "0", rung: true, rests: true, kind: None };
/// Perhaps only this sender's: the attempt is given back, the lane rests after three.
const DOUBTED: Expected = Expected { rests: false, ..RESTS };
const LATER: Expected = Expected { state: "pending", attempts: "1", rung: true, rests: false, kind: None };

fn status(code: u16) -> Fault {
    Fault::status(code)
}

async fn check(name: &str, fault: Fault, expected: &Expected) {
    let mut stage = Stage::new().await;
    stage.policy.ses_timeout = Duration::from_millis(700);
    let id = stage.table.insert(&[]).await;
    stage.ses.script(Match::Any, 1, fault);
    let (answer, rings) = stage.ring(id).await;
    assert_eq!(answer, Answer::Done, "{name}");
    assert_eq!(stage.table.state(id).await, expected.state, "{name}");
    assert_eq!(stage.table.column(id, "attempts").await.as_deref(), Some(expected.attempts), "{name}");
    assert_eq!(!rings.is_empty(), expected.rung, "{name}: {rings:?}");
    let kind = stage.table.column(id, "error_kind").await.unwrap_or_default();
    assert!(kind.starts_with("ses_"), "{name}: {kind}");
    if let Some(expected) = expected.kind {
        assert_eq!(kind, expected, "{name}");
    }
    assert!(stage.table.column(id, "error_detail").await.is_some_and(|detail| detail.len() > 10), "{name}");
    let requests = stage.ses.requests_for(id);
    assert!(requests.len() <= 1, "{name}: asked {} times", requests.len());
    if expected.state == "unknown" && name != "close before read" {
        assert_eq!(requests.len(), 1, "{name}");
    }
    // A doorbell that comes again asks SES only where it certainly did not take the email.
    if expected.state != "pending" {
        stage.ring(id).await;
        assert_eq!(stage.ses.requests_for(id).len(), requests.len(), "{name}");
    }
    let rest = "SELECT rest_until > UTC_TIMESTAMP(6) FROM lane WHERE name = 'urgent'";
    let rests = stage.table.value(rest).await;
    assert_eq!(rests.as_deref(), Some(if expected.rests { "1" } else { "0" }), "{name}: the lane");
}

#[tokio::test]
async fn accepted_is_sent() {
    let stage = Stage::new().await;
    let id = stage.table.insert(&[("tags", r#"'{"campaign": "spring"}'"#)]).await;
    let (answer, rings) = stage.ring(id).await;
    assert_eq!((answer, rings), (Answer::Done, vec![]));
    assert_eq!(stage.table.state(id).await, "sent");
    let sent = &stage.ses.accepted()[0];
    assert_eq!(stage.table.column(id, "ses_message_id").await, sent.message_id);
    assert_eq!(stage.table.column(id, "attempt_id").await, sent.attempt_id);
    assert_eq!(sent.email_id, Some(id));
    assert_eq!(sent.tags.get("campaign").map(String::as_str), Some("spring"));
    for extra in ["error_kind", "lease_until", "rung_at"] {
        assert_eq!(stage.table.column(id, extra).await, None, "{extra}");
    }
}

#[tokio::test]
async fn every_error_that_ses_models() {
    for (error, expected) in [
        (SesError::TooManyRequests, RESTS),
        (SesError::LimitExceeded, RESTS),
        (SesError::AccountSuspended, RESTS),
        (SesError::SendingPaused, RESTS),
        (SesError::MailFromDomainNotVerified, RESTS),
        (SesError::NotFound, RESTS),
        (SesError::MessageRejected, FAILED),
        (SesError::BadRequest, FAILED),
    ] {
        check(error.name(), Fault::Refuse(error), &expected).await;
    }
}

#[tokio::test]
async fn statuses_that_nobody_modelled() {
    for (code, expected) in [
        // No code: perhaps it was not SES that spoke.
        (400, LATER),
        (403, DOUBTED),
        (408, UNKNOWN),
        (409, LATER),
        (413, FAILED),
        (500, UNKNOWN),
        (502, UNKNOWN),
        (503, UNKNOWN),
        (504, UNKNOWN),
    ] {
        check(&format!("status {code}"), status(code), &expected).await;
    }
}

#[tokio::test]
async fn answers_that_leave_everybody_in_doubt() {
    for (name, fault) in [
        ("closed after reading, taken", Fault::CloseAfterRead { taken: true }),
        ("closed after reading, not taken", Fault::CloseAfterRead { taken: false }),
        ("reset, taken", Fault::ResetAfterRead { taken: true }),
        ("no answer, taken", Fault::HangForever { taken: true }),
        ("no answer, not taken", Fault::HangForever { taken: false }),
        ("closed within the headers", Fault::CloseInHeaders),
        ("closed within the body", Fault::CloseInBody),
        ("unreadable 200", Fault::Unreadable200),
        ("truncated 200", Fault::Truncated200),
        ("200 without an id", Fault::NoMessageId200),
    ] {
        check(name, fault, &UNKNOWN).await;
    }
}

#[tokio::test]
async fn no_connection_to_ses_costs_no_attempt() {
    let stage = Stage::new().await;
    let id = stage.table.insert(&[]).await;
    stage.ses.refuse(true).await;
    let (answer, rings) = stage.ring(id).await;
    assert_eq!((answer, rings.len()), (Answer::Done, 1));
    assert_eq!(stage.table.state(id).await, "pending");
    assert_eq!(stage.table.column(id, "attempts").await.as_deref(), Some("0"));
    // The lane rests: the next doorbell claims nothing.
    let other = stage.table.insert(&[]).await;
    let (answer, rings) = stage.ring(other).await;
    assert_eq!((answer, rings.len()), (Answer::Done, 1));
    assert_eq!(stage.table.column(other, "attempt_id").await, None);
    // It ends, and one probe that succeeds opens the lane again.
    stage.ses.refuse(false).await;
    stage.table.execute("UPDATE lane SET rest_until = UTC_TIMESTAMP(6)").await;
    stage.table.execute("UPDATE email SET due_at = created_at, rung_at = NULL").await;
    stage.ring(id).await;
    assert_eq!(stage.table.state(id).await, "sent");
    assert_eq!(
        stage.table.value("SELECT strikes FROM lane WHERE name = 'urgent'").await.as_deref(),
        Some("0")
    );
    stage.ring(other).await;
    assert_eq!(stage.table.state(other).await, "sent");
}

#[tokio::test]
async fn attempts_run_out() {
    let mut stage = Stage::new().await;
    stage.policy.retry.max_attempts = 2;
    let id = stage.table.insert(&[]).await;
    stage.ses.script(Match::Any, 2, status(409));
    stage.ring(id).await;
    assert_eq!(stage.table.state(id).await, "pending");
    stage.table.execute("UPDATE email SET due_at = created_at, rung_at = NULL").await;
    stage.ring(id).await;
    assert_eq!(stage.table.state(id).await, "failed");
    assert_eq!(stage.table.column(id, "attempts").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn an_account_that_stays_closed_fails_the_email_in_the_end() {
    let stage = Stage::new().await;
    let id = stage.table.insert(&[]).await;
    let other = stage.table.insert(&[("expires_at", "UTC_TIMESTAMP(6) + INTERVAL 3 SECOND")]).await;
    stage
        .table
        .execute(&format!(
            "UPDATE email SET first_attempt_at = UTC_TIMESTAMP(6) - INTERVAL 49 HOUR WHERE id = {id}"
        ))
        .await;
    stage.ses.pause(true);
    stage.ring(id).await;
    assert_eq!(stage.table.state(id).await, "failed", "after RETRY_FOR");
    stage.table.execute("UPDATE lane SET rest_until = UTC_TIMESTAMP(6), strikes = 0").await;
    stage.ring(other).await;
    assert_eq!(stage.table.state(other).await, "pending", "it has three seconds left, and may still be sent");
    stage.table.execute("UPDATE email SET expires_at = UTC_TIMESTAMP(6)").await;
    stage.ring(other).await;
    assert_eq!(stage.table.state(other).await, "expired");
    assert_eq!(stage.ses.request_count(), 2);
}

#[tokio::test]
async fn a_burst_of_outages_makes_the_lane_rest_instead_of_a_pile_of_unknowns() {
    let mut stage = Stage::new().await;
    stage.policy.concurrency = 1;
    stage.ses.script(Match::Any, 100, status(503));
    let dispatcher = stage.dispatcher();
    let mut unknown = 0;
    for _ in 0..12 {
        let id = stage.table.insert(&[]).await;
        ring(&dispatcher, id).await;
        unknown += usize::from(stage.table.state(id).await == "unknown");
    }
    assert_eq!((unknown, stage.ses.request_count()), (3, 3));
    assert_eq!(dispatcher.bell().rings().len(), 9);
}
