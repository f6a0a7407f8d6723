//! How variables are read: each in one way, whichever function asks.

use std::path::PathBuf;

use aws_credential_types::Credentials;
use doorbell::aws::AwsAccess;

use super::{ConfigError, Variables};
use crate::store::{Database, DatabaseConfig, Tls};

/// Reads variables and collects what is wrong with them.
pub(super) struct Reader<'v, V: ?Sized> {
    variables: &'v V,
    pub(super) problems: Vec<String>,
}

impl<'v, V: Variables + ?Sized> Reader<'v, V> {
    pub(super) fn of(variables: &'v V) -> Self {
        Self { variables, problems: Vec::new() }
    }

    pub(super) fn finish<T>(self, value: T) -> Result<T, ConfigError> {
        if self.problems.is_empty() { Ok(value) } else { Err(ConfigError { problems: self.problems }) }
    }

    /// The same for what could not be built when something was wrong.
    pub(super) fn finish_with<T>(self, value: Option<T>) -> Result<T, ConfigError> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(ConfigError { problems: self.problems }),
        }
    }

    /// A set, non-empty variable: templates pass an empty text for "not set".
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.variables.value(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    pub(super) fn required(&mut self, name: &str, what: &str) -> Option<String> {
        let value = self.text(name);
        if value.is_none() {
            self.problems.push(format!("{name} is not set: {what}"));
        }
        value
    }

    pub(super) fn parse<T: std::str::FromStr>(&mut self, name: &str, expected: &str) -> Option<T> {
        let text = self.text(name)?;
        let value = text.parse().ok();
        if value.is_none() {
            self.problems.push(format!("{name} must be {expected}"));
        }
        value
    }

    pub(super) fn number(&mut self, name: &str, default: u64, least: u64, most: u64) -> u64 {
        match self.parse::<u64>(name, &format!("a whole number from {least} to {most}")) {
            Some(value) if (least..=most).contains(&value) => value,
            Some(_) => {
                self.problems.push(format!("{name} must be a whole number from {least} to {most}"));
                default
            }
            None => default,
        }
    }

    pub(super) fn database(&mut self) -> Option<Database> {
        let auth = self.text("DATABASE_AUTH").unwrap_or_else(|| "url".to_owned());
        match auth.as_str() {
            "url" => {}
            "secret" | "iam" => self.problems.push(format!(
                "DATABASE_AUTH={auth} is not supported by this version: use url, with the password in DATABASE_URL"
            )),
            _ => self.problems.push("DATABASE_AUTH must be url".to_owned()),
        }
        let tls = self.tls();
        let url = self.required("DATABASE_URL", "mysql://user:password@host:3306/name")?;
        // The URL is looked at even where the other two are wrong: every problem is reported at once.
        match DatabaseConfig::parse(&url, tls.clone().unwrap_or(Tls::Off)) {
            Ok(config) => tls.map(|_| Database::new(config)),
            Err(error) => {
                self.problems.push(format!("DATABASE_URL {error}"));
                None
            }
        }
    }

    pub(super) fn tls(&mut self) -> Option<Tls> {
        let ca_file = self.text("DATABASE_CA_FILE").map(PathBuf::from);
        match self.text("DATABASE_TLS").as_deref() {
            Some("off") => Some(Tls::Off),
            None | Some("verify") => {
                let ca_file = ca_file.unwrap_or_else(|| PathBuf::from(DEFAULT_CA_FILE));
                // sqlx reads it at every connect: better to say now that it cannot.
                if let Err(error) = std::fs::File::open(&ca_file) {
                    self.problems.push(format!(
                        "DATABASE_CA_FILE {} cannot be read ({error}): it is the PEM bundle that the database's \
                         certificate is verified against (DATABASE_TLS=off for plaintext)",
                        ca_file.display()
                    ));
                    return None;
                }
                Some(Tls::Verify { ca_file })
            }
            Some(_) => {
                self.problems.push("DATABASE_TLS must be verify or off".to_owned());
                None
            }
        }
    }

    /// As every AWS SDK reads them. On Lambda the credentials stand in the environment for its whole life, so the
    /// provider chain of `aws-config` has nothing to add.
    pub(super) fn aws_access(&mut self) -> Option<AwsAccess> {
        let region = self.text("AWS_REGION").or_else(|| self.text("AWS_DEFAULT_REGION"));
        if region.is_none() {
            self.problems
                .push("AWS_REGION is not set: the region of SES and SQS, such as eu-west-1".to_owned());
        }
        let key = self.required("AWS_ACCESS_KEY_ID", "Lambda sets it from the function's role");
        let secret = self.required("AWS_SECRET_ACCESS_KEY", "Lambda sets it from the function's role");
        let session = self.text("AWS_SESSION_TOKEN");
        let ca_bundle = self.text("AWS_CA_BUNDLE").map(PathBuf::from);
        let credentials = Credentials::new(key?, secret?, session, None, "environment");
        match AwsAccess::new(region?, credentials, ca_bundle.as_deref()) {
            Ok(access) => Some(access),
            Err(error) => {
                self.problems.push(format!("AWS_CA_BUNDLE {error}"));
                None
            }
        }
    }

    pub(super) fn url(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        match url::Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(text),
            _ => {
                self.problems.push(format!("{name} must be an http or https URL"));
                None
            }
        }
    }

    pub(super) fn endpoint(&mut self, specific: &str) -> Option<String> {
        if self.text(specific).is_some() { self.url(specific) } else { self.url("AWS_ENDPOINT_URL") }
    }

    pub(super) fn queue_url(&mut self, name: &str) -> Option<String> {
        let url = self.url(name)?;
        if url.ends_with(".fifo") {
            // SQS refuses a delay of its own for a message of a FIFO queue, and ringing again needs one.
            self.problems.push(format!("{name} must be a standard queue, not a FIFO one"));
            return None;
        }
        Some(url)
    }
}

/// Where a layer or the deployment package puts the RDS trust store's `global-bundle.pem`.
const DEFAULT_CA_FILE: &str = "/var/task/rds-global-bundle.pem";
