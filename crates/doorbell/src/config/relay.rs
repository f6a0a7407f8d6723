//! What the function that hands doorbells on needs to know.

use super::{ConfigError, Reader, Variables};
use crate::ring::{DeadLetterQueue, Queues, SqsBell};

/// Everything that `functions/relay-rabbitmq` needs. It has no database.
#[derive(Debug)]
pub struct RelayConfig {
    /// The way to the queues of the two lanes.
    pub bell: SqsBell,
    /// Where unreadable bodies go.
    pub dead_letters: DeadLetterQueue,
}

impl RelayConfig {
    /// Reads the environment and builds the clients. No I/O but reading `AWS_CA_BUNDLE`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] lists every wrong or missing variable.
    pub fn from_variables(variables: &(impl Variables + ?Sized)) -> Result<Self, ConfigError> {
        // Elsewhere a lane without a queue is left to the sweep. Here it would throw away what it was asked to hand on.
        const WHY: &str = "a relay needs the queues of both lanes, which may be one and the same";
        let mut reader = Reader::of(variables);
        let access = reader.aws_access();
        let endpoint = reader.endpoint("AWS_ENDPOINT_URL_SQS");
        let mut queue = |name| reader.required(name, WHY).and_then(|_| reader.queue_url(name));
        let queues = Queues { urgent: queue("URGENT_QUEUE_URL"), bulk: queue("BULK_QUEUE_URL") };
        let dead_letters = reader.queue_url("DEAD_LETTER_QUEUE_URL");
        let config = access.map(|access| {
            let bell = SqsBell::new(&access, endpoint.as_deref(), queues);
            let dead_letters = bell.dead_letters(dead_letters);
            Self { bell, dead_letters }
        });
        reader.finish_with(config)
    }
}

#[cfg(test)]
mod tests {
    use super::RelayConfig;

    const GOOD: [(&str, &str); 5] = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
        ("URGENT_QUEUE_URL", "https://sqs.example/1/mail"),
        ("BULK_QUEUE_URL", "https://sqs.example/1/mail"),
    ];

    #[test]
    fn both_lanes_may_share_a_queue_and_nothing_else_is_needed() {
        RelayConfig::from_variables(&GOOD[..]).expect("all is well");
    }

    #[test]
    fn every_wrong_variable_is_named_at_once() {
        let variables: [(&str, &str); 4] = [
            ("URGENT_QUEUE_URL", "urgent"),
            ("DEAD_LETTER_QUEUE_URL", "https://sqs.example/1/dead.fifo"),
            ("AWS_ENDPOINT_URL_SQS", "localhost:4566"),
            ("AWS_ACCESS_KEY_ID", "key"),
        ];
        let error = RelayConfig::from_variables(&variables[..]).expect_err("much is wrong");
        for name in [
            "URGENT_QUEUE_URL",
            "BULK_QUEUE_URL",
            "DEAD_LETTER_QUEUE_URL",
            "AWS_ENDPOINT_URL_SQS",
            "AWS_REGION",
            "AWS_SECRET_ACCESS_KEY",
        ] {
            assert!(error.problems().iter().any(|problem| problem.starts_with(name)), "{name}: {error}");
        }
    }
}
