//! The Lambda function, through the `Invoke` API: the only module that names `aws_config` and `aws_sdk_lambda`.
//!
//! What an answer means for the messages is decided here. The function ran and failed: their try counts. Anything else
//! is the path's fault (throttled, not allowed, not there, no connection, no answer in time), and counts for nobody.

mod path;

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_lambda::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata as _, SdkError},
    operation::invoke::InvokeError,
    primitives::Blob,
    types::InvocationType,
};
use serde::Deserialize;

pub use self::path::Path;
use crate::config::FunctionConfig;

/// The function. Built once.
#[derive(Debug)]
pub struct Function {
    client: Client,
    name: String,
}

/// What came of an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The function handled every message.
    Done,
    /// The function failed, or refuses this very event. Says with which type of error.
    Failed(String),
    /// The function was not reached, or nobody knows.
    Away(Trouble),
}

/// What is wrong with the path to the function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// A short stable code.
    pub kind: &'static str,
    /// What AWS said.
    pub detail: String,
}

/// The function, or the account, is at its concurrency.
pub const THROTTLED: &str = "throttled";

/// The function was asked and has not answered in time.
pub const TIMED_OUT: &str = "timed_out";

const CONNECT: Duration = Duration::from_secs(5);

impl Function {
    /// The client. Credentials come from where every AWS SDK looks for them (variables, profile, web identity,
    /// container, instance), and are fetched again before they expire: nobody sets new ones for a process that runs for
    /// months. Nothing is asked for yet.
    pub async fn new(config: &FunctionConfig) -> Self {
        let shared = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(config.region.clone()))
            .http_client(config.http_client.clone())
            .load()
            .await;
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT).operation_timeout(config.timeout).build();
        let mut own = aws_sdk_lambda::config::Builder::from(&shared)
            // The bridge knows when to try again; the SDK would repeat an invocation whose answer was lost at once.
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(url) = &config.endpoint_url {
            own = own.endpoint_url(url);
        }
        Self { client: Client::from_conf(own.build()), name: config.name.clone() }
    }

    /// Its name, as configured.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Invokes it with an event, once, and waits for its answer.
    pub async fn invoke(&self, event: Vec<u8>) -> Answer {
        let call = self.client.invoke().function_name(&self.name);
        let call = call.invocation_type(InvocationType::RequestResponse).payload(Blob::new(event));
        match call.send().await {
            Ok(answer) if answer.function_error().is_none() => Answer::Done,
            Ok(answer) => {
                let payload = answer.payload().map(Blob::as_ref).unwrap_or_default();
                Answer::Failed(error_type(payload).unwrap_or_else(|| "Unhandled".to_owned()))
            }
            Err(error) => judged(&error),
        }
    }

    /// Whether it could be invoked: nothing runs.
    ///
    /// # Errors
    ///
    /// [`Trouble`] with the path.
    pub async fn dry_run(&self) -> Result<(), Trouble> {
        let call = self.client.invoke().function_name(&self.name).invocation_type(InvocationType::DryRun);
        call.send().await.map(drop).map_err(|error| trouble(&error))
    }
}

/// What the function's runtime calls its error. Its message may quote what it was about, and is not looked at.
fn error_type(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failure {
        error_type: String,
    }
    let Failure { error_type } = serde_json::from_slice(payload).ok()?;
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "._:<>&".contains(sign);
    (error_type.len() <= 80 && error_type.chars().all(is_plain)).then_some(error_type)
}

fn judged(error: &SdkError<InvokeError>) -> Answer {
    let refuses_the_event = matches!(
        error.as_service_error(),
        Some(
            InvokeError::RequestTooLargeException(_)
                | InvokeError::InvalidRequestContentException(_)
                | InvokeError::UnsupportedMediaTypeException(_)
        )
    );
    if refuses_the_event {
        return Answer::Failed(error.code().unwrap_or("refused").to_owned());
    }
    Answer::Away(trouble(error))
}

fn trouble(error: &SdkError<InvokeError>) -> Trouble {
    let kind = match error {
        SdkError::TimeoutError(_) => TIMED_OUT,
        SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => "unreachable",
        SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => "no_credentials",
        SdkError::ServiceError(answer) => match answer.raw().status().as_u16() {
            429 => THROTTLED,
            401 | 403 => "not_allowed",
            404 => "not_found",
            500.. => "unavailable",
            _ => "refused",
        },
        _ => "no_answer",
    };
    let mut detail = match error.message() {
        Some(message) => message.to_owned(),
        None => DisplayErrorContext(error).to_string(),
    };
    let end = (0..=detail.len().min(300)).rev().find(|end| detail.is_char_boundary(*end));
    detail.truncate(end.unwrap_or(0));
    Trouble { kind, detail }
}

impl Trouble {
    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self.kind {
            THROTTLED => {
                "the function is at its concurrency, or the account is: lower INVOCATIONS or raise the limit"
            }
            "not_allowed" => "allow lambda:InvokeFunction on it to whom the bridge runs as",
            "not_found" => "look at FUNCTION_NAME and at the region",
            TIMED_OUT => "INVOKE_TIMEOUT_S must be more than the function's own time-out",
            "no_credentials" => "there are no credentials of AWS, or they have expired",
            "unreachable" => "there is no way to Lambda's endpoint in that region",
            _ => "Lambda did not take the event; nothing is lost while it does not",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::error_type;

    #[test]
    fn only_the_type_of_an_error_is_taken() {
        let payload =
            br#"{"errorType":"alloc::boxed::Box<dyn Error>","errorMessage":"ada@customer.example"}"#;
        assert_eq!(error_type(payload), None, "a blank is no sign of a type's name");
        assert_eq!(error_type(br#"{"errorType":"Runtime.ExitError"}"#).as_deref(), Some("Runtime.ExitError"));
        assert_eq!(error_type(b"null"), None);
        assert_eq!(error_type(br#"{"errorType":"ada@customer.example"}"#), None);
    }
}
