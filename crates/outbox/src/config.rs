//! The environment, read once into typed structs that report every problem at once, by variable name.

use std::{fmt, path::PathBuf, time::Duration};

use aws_credential_types::Credentials;
use doorbell::{
    aws::AwsAccess,
    ring::{Queues, SqsBell},
};

use crate::{
    retry::RetryPolicy,
    ses::{SesConfig, SesMailer},
    store::{Database, DatabaseConfig, Pace, Tls},
};

/// Everything that a function which sends emails needs to know.
#[derive(Debug)]
pub struct DispatchConfig {
    /// The database.
    pub database: Database,
    /// The way to SES.
    pub mailer: SesMailer,
    /// The way to the queues.
    pub bell: SqsBell,
    /// What the use case goes by.
    pub policy: SendPolicy,
}

/// What the dispatch goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendPolicy {
    /// Recipients a second over all invocations (`MAX_SEND_RATE`); `None`: not paced.
    pub pace: Option<Pace>,
    /// Bound of one `SendEmail` (`SES_TIMEOUT_MS`).
    pub ses_timeout: Duration,
    /// When failed attempts are repeated.
    pub retry: RetryPolicy,
    /// Sends under way in one invocation (`SEND_CONCURRENCY`).
    pub concurrency: usize,
}

/// What is wrong with the environment: every variable, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} problem(s): {}", self.problems.len(), self.problems.join("; "))
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// One sentence a variable. Never quotes a value that may be secret.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

/// Where variables come from: the process's environment, or a test's table.
pub trait Variables {
    /// The value of a variable; `None` when it is not set.
    fn value(&self, name: &str) -> Option<String>;
}

/// The environment of the process.
#[derive(Debug, Clone, Copy)]
pub struct ProcessEnvironment;

impl Variables for ProcessEnvironment {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    fn value(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Variables for [(&str, &str)] {
    fn value(&self, name: &str) -> Option<String> {
        self.iter().find(|(candidate, _)| *candidate == name).map(|(_, value)| (*value).to_owned())
    }
}

/// The level named by `LOG_LEVEL`. Read apart from the rest, since the rest's problems are logged.
///
/// # Errors
///
/// [`ConfigError`] names the variable.
pub fn log_level(variables: &(impl Variables + ?Sized)) -> Result<tracing::Level, ConfigError> {
    let mut reader = Reader { variables, problems: Vec::new() };
    let level =
        reader.parse("LOG_LEVEL", "error, warn, info, debug or trace").unwrap_or(tracing::Level::INFO);
    reader.finish(level)
}

impl DispatchConfig {
    /// Reads the environment and builds the clients. No I/O but reading `AWS_CA_BUNDLE`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] lists every wrong or missing variable.
    pub fn from_variables(variables: &(impl Variables + ?Sized)) -> Result<Self, ConfigError> {
        let mut reader = Reader { variables, problems: Vec::new() };
        let database = reader.database();
        let access = reader.aws_access();
        let ses_endpoint = reader.endpoint("AWS_ENDPOINT_URL_SESV2");
        let sqs_endpoint = reader.endpoint("AWS_ENDPOINT_URL_SQS");
        let queues =
            Queues { urgent: reader.queue_url("URGENT_QUEUE_URL"), bulk: reader.queue_url("BULK_QUEUE_URL") };
        let configuration_set = reader.text("CONFIGURATION_SET");
        let policy = reader.send_policy();
        let (Some(database), Some(access)) = (database, access) else {
            return Err(ConfigError { problems: reader.problems });
        };
        let mailer = SesMailer::new(
            &access,
            SesConfig { endpoint_url: ses_endpoint, configuration_set, connect_timeout: SES_CONNECT_TIMEOUT },
        );
        let bell = SqsBell::new(&access, sqs_endpoint.as_deref(), queues);
        reader.finish(Self { database, mailer, bell, policy })
    }
}

struct Reader<'v, V: ?Sized> {
    variables: &'v V,
    problems: Vec<String>,
}

impl<V: Variables + ?Sized> Reader<'_, V> {
    fn finish<T>(self, value: T) -> Result<T, ConfigError> {
        if self.problems.is_empty() { Ok(value) } else { Err(ConfigError { problems: self.problems }) }
    }

    /// A set, non-empty variable: templates pass an empty text for "not set".
    fn text(&self, name: &str) -> Option<String> {
        self.variables.value(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn required(&mut self, name: &str, what: &str) -> Option<String> {
        let value = self.text(name);
        if value.is_none() {
            self.problems.push(format!("{name} is not set: {what}"));
        }
        value
    }

    fn parse<T: std::str::FromStr>(&mut self, name: &str, expected: &str) -> Option<T> {
        let text = self.text(name)?;
        let value = text.parse().ok();
        if value.is_none() {
            self.problems.push(format!("{name} must be {expected}"));
        }
        value
    }

    fn number(&mut self, name: &str, default: u64, least: u64, most: u64) -> u64 {
        match self.parse::<u64>(name, &format!("a whole number from {least} to {most}")) {
            Some(value) if (least..=most).contains(&value) => value,
            Some(_) => {
                self.problems.push(format!("{name} must be a whole number from {least} to {most}"));
                default
            }
            None => default,
        }
    }

    fn database(&mut self) -> Option<Database> {
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

    fn tls(&mut self) -> Option<Tls> {
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
    fn aws_access(&mut self) -> Option<AwsAccess> {
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

    fn url(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        match url::Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(text),
            _ => {
                self.problems.push(format!("{name} must be an http or https URL"));
                None
            }
        }
    }

    fn endpoint(&mut self, specific: &str) -> Option<String> {
        if self.text(specific).is_some() { self.url(specific) } else { self.url("AWS_ENDPOINT_URL") }
    }

    fn queue_url(&mut self, name: &str) -> Option<String> {
        let url = self.url(name)?;
        if url.ends_with(".fifo") {
            // SQS refuses a delay of its own for a message of a FIFO queue, and ringing again needs one.
            self.problems.push(format!("{name} must be a standard queue, not a FIFO one"));
            return None;
        }
        Some(url)
    }

    fn send_policy(&mut self) -> SendPolicy {
        let millis = |reader: &mut Self, name, default, least, most| {
            Duration::from_millis(reader.number(name, default, least, most))
        };
        let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let policy = SendPolicy {
            pace: Pace::new(narrow(self.number("MAX_SEND_RATE", 0, 0, 100_000))),
            ses_timeout: millis(self, "SES_TIMEOUT_MS", 10_000, 100, 600_000),
            retry: RetryPolicy {
                max_attempts: narrow(self.number("MAX_ATTEMPTS", 8, 1, 1000)),
                base: millis(self, "RETRY_BASE_MS", 2_000, 1, 3_600_000),
                cap: millis(self, "RETRY_CAP_MS", 3_600_000, 1, 86_400_000),
                retry_for: Duration::from_secs(self.number("RETRY_FOR_S", 172_800, 1, 31_536_000)),
            },
            concurrency: usize::try_from(self.number("SEND_CONCURRENCY", 4, 1, 100)).unwrap_or(1),
        };
        if policy.retry.cap < policy.retry.base {
            self.problems.push("RETRY_CAP_MS must not be less than RETRY_BASE_MS".to_owned());
        }
        policy
    }
}

/// Bound of reaching SES. A connection that is not there is certain: nothing was sent.
const SES_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Where a layer or the deployment package puts the RDS trust store's `global-bundle.pem`.
const DEFAULT_CA_FILE: &str = "/var/task/rds-global-bundle.pem";

#[cfg(test)]
mod tests {
    use super::{DispatchConfig, Variables};

    const GOOD: [(&str, &str); 5] = [
        ("DATABASE_URL", "mysql://mail:s3cr%40t@db.internal/shop"),
        ("DATABASE_TLS", "off"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
    ];

    fn problems(changes: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut variables = changes.to_vec();
        variables.extend(GOOD);
        match DispatchConfig::from_variables(variables.as_slice()) {
            Ok(_) => Vec::new(),
            Err(error) => error.problems().to_vec(),
        }
    }

    #[test]
    fn the_defaults_do() {
        assert_eq!(problems(&[]), Vec::<String>::new());
    }

    #[test]
    fn every_wrong_variable_is_named_at_once() {
        let problems = problems(&[
            ("DATABASE_URL", "postgres://u:p@h/n"),
            ("DATABASE_AUTH", "kerberos"),
            ("AWS_REGION", ""),
            ("AWS_ENDPOINT_URL", "localhost:4566"),
            ("URGENT_QUEUE_URL", "https://sqs.example/1/urgent.fifo"),
            ("MAX_SEND_RATE", "fast"),
            ("SES_TIMEOUT_MS", "0"),
            ("RETRY_CAP_MS", "1"),
            ("SEND_CONCURRENCY", "-1"),
        ]);
        for name in [
            "DATABASE_URL",
            "DATABASE_AUTH",
            "AWS_REGION",
            "AWS_ENDPOINT_URL",
            "URGENT_QUEUE_URL",
            "MAX_SEND_RATE",
            "SES_TIMEOUT_MS",
            "RETRY_CAP_MS",
            "SEND_CONCURRENCY",
        ] {
            assert!(problems.iter().any(|problem| problem.starts_with(name)), "{name} in {problems:#?}");
        }
    }

    #[test]
    fn nothing_secret_is_quoted() {
        let problems = problems(&[
            ("DATABASE_URL", "mysql://mail:hunter2@db.internal"),
            ("DATABASE_CA_FILE", "/nowhere.pem"),
            ("DATABASE_TLS", ""),
        ]);
        assert!(!problems.is_empty());
        assert!(!problems.join(" ").contains("hunter2"), "{problems:?}");
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        let empty: [(&str, &str); 1] = [("X", "")];
        assert_eq!(empty[..].value("X"), Some(String::new()));
        assert_eq!(problems(&[("MAX_ATTEMPTS", ""), ("BULK_QUEUE_URL", " ")]), Vec::<String>::new());
    }
}
