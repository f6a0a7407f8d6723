//! What the command line needs to know: the database, and what the functions go by.

use super::{ConfigError, Reader, Variables, database, sweep};
use crate::store::{Database, SweepRules};

/// Everything that `sendonce` needs to know. No credentials of AWS: it calls neither SES nor SQS.
#[derive(Debug)]
pub struct OperatorConfig {
    /// The database.
    pub database: Database,
    /// What the sweep goes by.
    pub rules: SweepRules,
    /// Recipients a second over all invocations; 0: not paced.
    pub max_send_rate: u64,
}

impl OperatorConfig {
    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] lists every wrong or missing variable.
    pub fn from_variables(variables: &(impl Variables + ?Sized)) -> Result<Self, ConfigError> {
        let mut reader = Reader::of(variables);
        let database = database::read(&mut reader);
        let rules = sweep::rules(&mut reader);
        let max_send_rate = reader.number("MAX_SEND_RATE", 0, 0, 100_000);
        reader.finish_with(database.map(|database| Self { database, rules, max_send_rate }))
    }
}

#[cfg(test)]
mod tests {
    use super::OperatorConfig;

    #[test]
    fn the_database_alone_does() {
        let variables = [("DATABASE_URL", "mysql://mail:secret@db.internal/shop"), ("DATABASE_TLS", "off")];
        let config = OperatorConfig::from_variables(&variables[..]).expect("all is well");
        assert!(!config.rules.resend_by_default);
    }

    #[test]
    fn every_wrong_variable_is_named_at_once() {
        let variables = [
            ("DATABASE_TLS", "perhaps"),
            ("ON_UNKNOWN", "ask"),
            ("UNKNOWN_WAIT_S", "0"),
            ("MAX_SEND_RATE", "?"),
        ];
        let error = OperatorConfig::from_variables(&variables[..]).expect_err("much is wrong");
        for name in ["DATABASE_URL", "DATABASE_TLS", "ON_UNKNOWN", "UNKNOWN_WAIT_S", "MAX_SEND_RATE"] {
            assert!(error.problems().iter().any(|problem| problem.starts_with(name)), "{name}: {error}");
        }
    }
}
