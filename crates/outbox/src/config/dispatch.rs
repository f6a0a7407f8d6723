//! What a function that sends needs to know.

use std::time::Duration;

use doorbell::ring::{Queues, SqsBell};

use super::{ConfigError, Reader, Variables, database};
use crate::{
    retry::RetryPolicy,
    ses::{SesConfig, SesMailer},
    store::{Database, Pace},
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

impl DispatchConfig {
    /// Reads the environment and builds the clients. No I/O but reading `AWS_CA_BUNDLE`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] lists every wrong or missing variable.
    pub fn from_variables(variables: &(impl Variables + ?Sized)) -> Result<Self, ConfigError> {
        let mut reader = Reader::of(variables);
        let config = read(&mut reader);
        reader.finish_with(config)
    }
}

/// What sending needs; `None` when what is wrong leaves nothing to build from.
pub(super) fn read<V: Variables + ?Sized>(reader: &mut Reader<'_, V>) -> Option<DispatchConfig> {
    let database = database::read(reader);
    let access = reader.aws_access();
    let ses_endpoint = reader.endpoint("AWS_ENDPOINT_URL_SESV2");
    let sqs_endpoint = reader.endpoint("AWS_ENDPOINT_URL_SQS");
    let queues =
        Queues { urgent: reader.queue_url("URGENT_QUEUE_URL"), bulk: reader.queue_url("BULK_QUEUE_URL") };
    let configuration_set = reader.text("CONFIGURATION_SET");
    let policy = send_policy(reader);
    let (database, access) = (database?, access?);
    let mailer = SesMailer::new(
        &access,
        SesConfig { endpoint_url: ses_endpoint, configuration_set, connect_timeout: SES_CONNECT_TIMEOUT },
    );
    let bell = SqsBell::new(&access, sqs_endpoint.as_deref(), queues);
    Some(DispatchConfig { database, mailer, bell, policy })
}

fn send_policy<V: Variables + ?Sized>(reader: &mut Reader<'_, V>) -> SendPolicy {
    let millis = |reader: &mut Reader<'_, V>, name, default, least, most| {
        Duration::from_millis(reader.number(name, default, least, most))
    };
    let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let policy = SendPolicy {
        pace: Pace::new(narrow(reader.number("MAX_SEND_RATE", 0, 0, 100_000))),
        ses_timeout: millis(reader, "SES_TIMEOUT_MS", 10_000, 100, 600_000),
        retry: RetryPolicy {
            max_attempts: narrow(reader.number("MAX_ATTEMPTS", 8, 1, 1000)),
            base: millis(reader, "RETRY_BASE_MS", 2_000, 1, 3_600_000),
            cap: millis(reader, "RETRY_CAP_MS", 3_600_000, 1, 86_400_000),
            retry_for: Duration::from_secs(reader.number("RETRY_FOR_S", 172_800, 1, 31_536_000)),
        },
        concurrency: usize::try_from(reader.number("SEND_CONCURRENCY", 4, 1, 100)).unwrap_or(1),
    };
    if policy.retry.cap < policy.retry.base {
        reader.problem("RETRY_CAP_MS must not be less than RETRY_BASE_MS".to_owned());
    }
    policy
}

/// Bound of reaching SES. A connection that is not there is certain: nothing was sent.
const SES_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

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
