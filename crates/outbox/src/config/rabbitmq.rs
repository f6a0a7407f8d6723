//! What the function that sends for RabbitMQ needs to know.

use doorbell::ring::DeadLetterQueue;

use super::{ConfigError, DispatchConfig, Reader, Variables, dispatch};

/// Everything that `functions/dispatch-rabbitmq` needs: what sending needs, and a place for what nobody can read.
#[derive(Debug)]
pub struct RabbitmqConfig {
    /// Database, SES, queues, and what a send goes by. Its bell gives back what could not be looked at: the broker keeps
    /// it.
    pub dispatch: DispatchConfig,
    /// Where unreadable bodies go (`DEAD_LETTER_QUEUE_URL`).
    pub dead_letters: DeadLetterQueue,
}

impl RabbitmqConfig {
    /// Reads the environment and builds the clients.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] lists every wrong or missing variable.
    pub fn from_variables(variables: &(impl Variables + ?Sized)) -> Result<Self, ConfigError> {
        let mut reader = Reader::of(variables);
        let queue_url = reader.queue_url("DEAD_LETTER_QUEUE_URL");
        let config = dispatch::read(&mut reader).map(|mut dispatch| {
            let dead_letters = dispatch.bell.dead_letters(queue_url);
            dispatch.bell = dispatch.bell.giving_back();
            Self { dispatch, dead_letters }
        });
        reader.finish_with(config)
    }
}

#[cfg(test)]
mod tests {
    use super::RabbitmqConfig;

    #[test]
    fn what_is_wrong_with_either_part_is_named_at_once() {
        let variables: [(&str, &str); 3] =
            [("DEAD_LETTER_QUEUE_URL", "dead"), ("MAX_SEND_RATE", "fast"), ("DATABASE_TLS", "off")];
        let error = RabbitmqConfig::from_variables(&variables[..]).expect_err("much is wrong");
        for name in ["DEAD_LETTER_QUEUE_URL", "MAX_SEND_RATE", "DATABASE_URL", "AWS_REGION"] {
            assert!(error.problems().iter().any(|problem| problem.starts_with(name)), "{name}: {error}");
        }
    }
}
