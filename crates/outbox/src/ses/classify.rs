//! What one call to SES means: the only place that decides between accepted, not sent and unknown.
//!
//! The HTTP status decides what is *certain*: a 4xx but 408 is a refusal, whatever its body says; a 5xx is not, even
//! with the name of a modelled error in it. The error's code then decides what *follows*.

use std::{error::Error, time::Duration};

use aws_sdk_sesv2::{
    config::http::HttpResponse,
    error::{ConnectorError, ProvideErrorMetadata, SdkError},
    operation::{
        RequestId,
        send_email::{SendEmailError, SendEmailOutput},
    },
};

use hyper_util::client::legacy::Error as HttpError;

use super::punctual::TooLate;
use crate::mailer::{Consequence, Reason, Refusal, SendOutcome};

/// No connection: a passing fault of the path, or a deployment that cannot reach SES at all.
pub const NO_CONNECTION_REST: Duration = Duration::from_secs(5);
/// "Maximum sending rate exceeded": the rate is counted per second.
pub const THROTTLED_REST: Duration = Duration::from_secs(1);
/// The daily quota: a rolling window of 24 hours, so room comes back bit by bit.
pub const QUOTA_REST: Duration = Duration::from_mins(5);
/// Suspended, paused, MAIL FROM unverified: people must act.
pub const ACCOUNT_REST: Duration = Duration::from_mins(5);
/// Credentials or permissions: a deployment must be repaired, or a clock set.
pub const ACCESS_REST: Duration = Duration::from_mins(1);
/// The configuration set does not exist (yet).
pub const NOT_FOUND_REST: Duration = Duration::from_mins(1);

type SendResult = Result<SendEmailOutput, SdkError<SendEmailError, HttpResponse>>;

pub(super) fn classify(result: SendResult) -> SendOutcome {
    let error = match result {
        Ok(output) => return accepted(output.message_id),
        Err(error) => error,
    };
    match &error {
        SdkError::ConstructionFailure(_) => rest(
            NO_CONNECTION_REST,
            "ses_request_unbuildable",
            format!("The request to Amazon SES could not be built: {}. It did not leave.", chain(&error)),
        ),
        SdkError::DispatchFailure(_) if caused_by(&error, |_: &TooLate| true) => {
            SendOutcome::NotSent(Refusal {
                consequence: Consequence::Later,
                reason: Reason::new(
                    "ses_too_late",
                    "The request to Amazon SES did not leave: the process was held up until its time was over.",
                ),
            })
        }
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(connector) if never_connected(connector) => rest(
                NO_CONNECTION_REST,
                "ses_no_connection",
                format!("Amazon SES could not be reached: {}. The request did not leave.", chain(connector)),
            ),
            _ => unknown(
                "ses_connection_lost",
                &format!("The connection to Amazon SES was lost: {}", chain(&error)),
            ),
        },
        SdkError::TimeoutError(_) => unknown("ses_timeout", "Amazon SES did not answer in time"),
        SdkError::ServiceError(_) | SdkError::ResponseError(_) => answered(&error),
        _ => unknown("ses_unknown_failure", &format!("The call to Amazon SES failed: {}", chain(&error))),
    }
}

pub(super) fn timed_out(timeout: Duration) -> SendOutcome {
    unknown("ses_timeout", &format!("Amazon SES did not answer within {} ms", timeout.as_millis()))
}

fn accepted(message_id: Option<String>) -> SendOutcome {
    match message_id.filter(|id| !id.trim().is_empty()) {
        Some(message_id) => SendOutcome::Accepted { message_id },
        None => unknown("ses_no_message_id", "Amazon SES answered with success, but with no message id"),
    }
}

/// Whether the failure lies before the first byte of the request: DNS, TCP connect, TLS handshake, or the time-out
/// of these. Hyper's client marks exactly those, and sends nothing on a connection before they are done.
fn never_connected(error: &ConnectorError) -> bool {
    caused_by(error, HttpError::is_connect)
}

/// Whether an error of this type, for which `is_it` holds, stands anywhere in the chain.
fn caused_by<E: Error + 'static>(error: &(dyn Error + 'static), is_it: impl Fn(&E) -> bool) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<E>().is_some_and(&is_it) {
            return true;
        }
        next = error.source();
    }
    false
}

/// SES, or something in its place, answered with a status.
fn answered(error: &SdkError<SendEmailError, HttpResponse>) -> SendOutcome {
    let status = error.raw_response().map(|response| response.status().as_u16());
    let answer =
        Answer { status, code: error.code(), message: error.message(), request_id: error.request_id() };
    match status {
        Some(status @ 400..=499) if status != 408 => SendOutcome::NotSent(answer.refusal(status)),
        Some(200..=299) => {
            unknown("ses_unreadable_response", &answer.sentence("answered with success, but unreadably"))
        }
        Some(408) => unknown("ses_timeout", &answer.sentence("gave up waiting for the request")),
        _ => unknown("ses_server_error", &answer.sentence("failed")),
    }
}

struct Answer<'a> {
    status: Option<u16>,
    code: Option<&'a str>,
    message: Option<&'a str>,
    request_id: Option<&'a str>,
}

impl Answer<'_> {
    fn refusal(&self, status: u16) -> Refusal {
        use Consequence::{Doubt, Later, Permanent, Rest};

        // Some front ends append the namespace: `Code:http://…`, or prefix it: `ns#Code`.
        let code = self.code.unwrap_or_default();
        let code = code.split(':').next().unwrap_or_default().rsplit('#').next().unwrap_or_default();
        let (consequence, kind, what) = match code {
            "TooManyRequestsException" if self.speaks_of_a_day() => {
                (Rest(QUOTA_REST), "ses_quota_exceeded", "refused: the daily sending quota is used up")
            }
            "LimitExceededException" => {
                (Rest(QUOTA_REST), "ses_quota_exceeded", "refused: the sending quota is used up")
            }
            "TooManyRequestsException"
            | "ThrottlingException"
            | "Throttling"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "RequestLimitExceeded"
            | "SlowDown" => (Rest(THROTTLED_REST), "ses_throttled", "refused: too many requests"),
            "AccountSuspendedException" => {
                (Rest(ACCOUNT_REST), "ses_account_suspended", "refused: the account may not send")
            }
            "SendingPausedException" => {
                (Rest(ACCOUNT_REST), "ses_sending_paused", "refused: sending is paused")
            }
            "MailFromDomainNotVerifiedException" => (
                Rest(ACCOUNT_REST),
                "ses_mail_from_not_verified",
                "refused: the MAIL FROM domain of the sender's identity is not verified",
            ),
            "NotFoundException" => (
                Rest(NOT_FOUND_REST),
                "ses_not_found",
                "refused: something that the deployment names, such as its configuration set, does not exist",
            ),
            "MessageRejected" => (Permanent, "ses_message_rejected", "rejected the email"),
            // A role is granted identities one by one: perhaps it is only this sender that it may not use.
            "AccessDenied" | "AccessDeniedException" => (
                Doubt(ACCESS_REST),
                "ses_access_denied",
                "refused the permissions of the deployment for this sender",
            ),
            "ExpiredToken"
            | "ExpiredTokenException"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "NotAuthorized"
            | "OptInRequired"
            | "RequestExpired"
            | "RequestTimeTooSkewed"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException" => (
                Rest(ACCESS_REST),
                "ses_access_denied",
                "refused the credentials or permissions of the deployment",
            ),
            _ => match status {
                429 => (Rest(THROTTLED_REST), "ses_throttled", "refused: too many requests"),
                401 | 403 | 407 => (
                    Doubt(ACCESS_REST),
                    "ses_access_denied",
                    "refused the credentials or permissions of the deployment",
                ),
                404 => (Rest(NOT_FOUND_REST), "ses_not_found", "refused: nothing answers at that address"),
                413 => (Permanent, "ses_too_large", "refused the email as too large"),
                // Without a code it may not be SES who spoke.
                400 if !code.is_empty() => (Permanent, "ses_bad_request", "refused the request as invalid"),
                _ => (Later, "ses_refused", "refused the request"),
            },
        };
        Refusal { consequence, reason: Reason::new(kind, format!("{}.", self.sentence(what))) }
    }

    /// The daily quota has come back under the code of the rate as well; only the message tells them apart. Mistaking
    /// one for the other costs some rest, never an email.
    fn speaks_of_a_day(&self) -> bool {
        self.message.is_some_and(|message| message.to_ascii_lowercase().contains("daily"))
    }

    /// Without the final full stop.
    fn sentence(&self, what: &str) -> String {
        let mut sentence = format!("Amazon SES {what}");
        if let Some(message) = self.message.map(one_line).filter(|message| !message.is_empty()) {
            sentence.push_str(": ");
            sentence.push_str(message.trim_end_matches('.'));
        }
        let facts = [
            self.code.map(one_line),
            self.status.map(|status| format!("HTTP {status}")),
            self.request_id.map(|id| format!("request {}", one_line(id))),
        ];
        format!("{sentence} ({})", facts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

fn rest(duration: Duration, kind: &'static str, detail: String) -> SendOutcome {
    SendOutcome::NotSent(Refusal {
        consequence: Consequence::Rest(duration),
        reason: Reason::new(kind, detail),
    })
}

/// `what` without the final full stop.
fn unknown(kind: &'static str, what: &str) -> SendOutcome {
    SendOutcome::Unknown(Reason::new(kind, format!("{what}. Whether it took the email is not known.")))
}

/// An error and its causes, each once. (Some repeat their source in their own words.)
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = one_line(&error.to_string());
        if !words.iter().any(|word| word.contains(&text)) {
            words.push(text);
        }
        next = error.source();
    }
    words.join(": ")
}

/// What others wrote goes into a column: no control characters, and not more than a tired reader wants.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 500;
    text.chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}
