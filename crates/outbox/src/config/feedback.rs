//! What the function that listens to SES needs to know.

use super::{ConfigError, Reader, Variables, database};
use crate::store::Database;

/// Everything that `functions/feedback` needs. It calls no service of AWS, so it needs no credentials.
#[derive(Debug)]
pub struct FeedbackConfig {
    /// The database.
    pub database: Database,
    /// The configuration set of every send (`CONFIGURATION_SET`): events of another one are not about these emails.
    pub configuration_set: Option<String>,
}

impl FeedbackConfig {
    /// Reads the environment. No I/O but reading the CA bundle.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] lists every wrong or missing variable.
    pub fn from_variables(variables: &(impl Variables + ?Sized)) -> Result<Self, ConfigError> {
        let mut reader = Reader::of(variables);
        let configuration_set = reader.text("CONFIGURATION_SET");
        let config = database::read(&mut reader).map(|database| Self { database, configuration_set });
        reader.finish_with(config)
    }
}

#[cfg(test)]
mod tests {
    use super::FeedbackConfig;

    #[test]
    fn a_database_is_all_it_needs() {
        let variables: [(&str, &str); 3] = [
            ("DATABASE_URL", "mysql://mail:secret@db.internal/shop"),
            ("DATABASE_TLS", "off"),
            ("CONFIGURATION_SET", " mail-events "),
        ];
        let config = FeedbackConfig::from_variables(&variables[..]).expect("all is well");
        assert_eq!(config.configuration_set.as_deref(), Some("mail-events"));
        let config = FeedbackConfig::from_variables(&variables[..2]).expect("all is well");
        assert_eq!(config.configuration_set, None);
        let error = FeedbackConfig::from_variables(&variables[1..]).expect_err("there is no database");
        assert!(error.problems().iter().any(|problem| problem.starts_with("DATABASE_URL")), "{error}");
    }
}
