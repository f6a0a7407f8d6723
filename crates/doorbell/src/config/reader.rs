//! How variables are read: each in one way, whichever part asks.

use std::{cell::OnceCell, path::PathBuf};

use aws_credential_types::Credentials;

use super::{ConfigError, Variables};
use crate::aws::AwsAccess;

/// Reads variables and collects what is wrong with them.
#[derive(Debug)]
pub struct Reader<'v, V: ?Sized> {
    variables: &'v V,
    problems: Vec<String>,
    /// Read once, whoever asks: its problems are told once, and its connections are shared.
    access: OnceCell<Option<AwsAccess>>,
}

impl<'v, V: Variables + ?Sized> Reader<'v, V> {
    /// A reader that has found nothing wrong yet.
    pub fn of(variables: &'v V) -> Self {
        Self { variables, problems: Vec::new(), access: OnceCell::new() }
    }

    /// What was read, if nothing was wrong.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] lists every problem.
    pub fn finish<T>(self, value: T) -> Result<T, ConfigError> {
        self.finish_with(Some(value))
    }

    /// The same for what could not be built when something was wrong.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] lists every problem.
    pub fn finish_with<T>(self, value: Option<T>) -> Result<T, ConfigError> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(ConfigError { problems: self.problems }),
        }
    }

    /// Notes a problem: a sentence that begins with the variable's name and quotes nothing secret.
    pub fn problem(&mut self, sentence: impl Into<String>) {
        self.problems.push(sentence.into());
    }

    /// A set, non-empty variable: templates pass an empty text for "not set".
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.variables.value(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// A variable that must be set; `what` says to what.
    pub fn required(&mut self, name: &str, what: &str) -> Option<String> {
        let value = self.text(name);
        if value.is_none() {
            self.problem(format!("{name} is not set: {what}"));
        }
        value
    }

    /// A variable of a type that can be parsed; `None` when it is not set, too.
    pub fn parse<T: std::str::FromStr>(&mut self, name: &str, expected: &str) -> Option<T> {
        let text = self.text(name)?;
        let value = text.parse().ok();
        if value.is_none() {
            self.problem(format!("{name} must be {expected}"));
        }
        value
    }

    /// A whole number within bounds.
    pub fn number(&mut self, name: &str, default: u64, least: u64, most: u64) -> u64 {
        match self.parse::<u64>(name, &format!("a whole number from {least} to {most}")) {
            Some(value) if (least..=most).contains(&value) => value,
            Some(_) => {
                self.problem(format!("{name} must be a whole number from {least} to {most}"));
                default
            }
            None => default,
        }
    }

    /// As every AWS SDK reads them. On Lambda the credentials stand in the environment for its whole life, so the
    /// provider chain of `aws-config` has nothing to add.
    pub fn aws_access(&mut self) -> Option<AwsAccess> {
        if self.access.get().is_none() {
            let access = self.read_aws_access();
            // It is empty, as was just seen.
            let _ = self.access.set(access);
        }
        self.access.get().cloned().flatten()
    }

    fn read_aws_access(&mut self) -> Option<AwsAccess> {
        let region = self.text("AWS_REGION").or_else(|| self.text("AWS_DEFAULT_REGION"));
        if region.is_none() {
            self.problem("AWS_REGION is not set: the region of SES and SQS, such as eu-west-1");
        }
        let key = self.required("AWS_ACCESS_KEY_ID", "Lambda sets it from the function's role");
        let secret = self.required("AWS_SECRET_ACCESS_KEY", "Lambda sets it from the function's role");
        let session = self.text("AWS_SESSION_TOKEN");
        let ca_bundle = self.text("AWS_CA_BUNDLE").map(PathBuf::from);
        let credentials = Credentials::new(key?, secret?, session, None, "environment");
        match AwsAccess::new(region?, credentials, ca_bundle.as_deref()) {
            Ok(access) => Some(access),
            Err(error) => {
                self.problem(format!("AWS_CA_BUNDLE {error}"));
                None
            }
        }
    }

    /// A URL of a service.
    pub fn url(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        match url::Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(text),
            _ => {
                self.problem(format!("{name} must be an http or https URL"));
                None
            }
        }
    }

    /// The endpoint of one service, or else of all.
    pub fn endpoint(&mut self, specific: &str) -> Option<String> {
        if self.text(specific).is_some() { self.url(specific) } else { self.url("AWS_ENDPOINT_URL") }
    }

    /// The URL of a standard queue.
    pub fn queue_url(&mut self, name: &str) -> Option<String> {
        let url = self.url(name)?;
        if url.ends_with(".fifo") {
            // SQS refuses a delay of its own for a message of a FIFO queue, and ringing again needs one.
            self.problem(format!("{name} must be a standard queue, not a FIFO one"));
            return None;
        }
        Some(url)
    }
}
