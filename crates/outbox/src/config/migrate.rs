//! What the function that brings the schema up to date needs to know.

use std::path::PathBuf;

use doorbell::presigned::Presigned;

use super::{ConfigError, Reader, Variables, database};
use crate::store::Database;

/// Everything that `functions/migrate` needs. It calls no service of AWS but by an address that it is handed, so it needs no
/// credentials.
#[derive(Debug)]
pub struct MigrateConfig {
    /// The database, or what is wrong: a deploy is told, and does not wait for an answer in vain.
    pub database: Result<Database, ConfigError>,
    /// The way back to CloudFormation.
    pub answers: Presigned,
}

impl MigrateConfig {
    /// Reads the environment. No I/O but reading the CA bundles.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when nobody could even be told.
    pub fn from_variables(variables: &(impl Variables + ?Sized)) -> Result<Self, ConfigError> {
        let mut reader = Reader::of(variables);
        let database = database::read(&mut reader);
        let database = reader.finish_with(database);
        let mut reader = Reader::of(variables);
        let ca_bundle = reader.text("AWS_CA_BUNDLE").map(PathBuf::from);
        let answers = Presigned::new(ca_bundle.as_deref());
        let answers = answers.inspect_err(|error| reader.problem(format!("AWS_CA_BUNDLE {error}"))).ok();
        reader.finish_with(answers.map(|answers| Self { database, answers }))
    }
}

#[cfg(test)]
mod tests {
    use super::MigrateConfig;

    #[test]
    fn without_a_database_there_is_still_somebody_to_tell() {
        let variables = [("DATABASE_URL", "mysql://mail:hush@db.internal"), ("DATABASE_TLS", "off")];
        let config = MigrateConfig::from_variables(&variables[..]).expect("it can answer");
        let error = config.database.expect_err("there is no name").to_string();
        assert!(error.contains("DATABASE_URL has no database name") && !error.contains("hush"), "{error}");
        let variables = [("DATABASE_URL", "mysql://mail:hush@db.internal/shop"), ("DATABASE_TLS", "off")];
        assert!(MigrateConfig::from_variables(&variables[..]).expect("all is well").database.is_ok());
        let error = MigrateConfig::from_variables(&[("AWS_CA_BUNDLE", "/nonexistent")][..]);
        assert!(error.expect_err("nobody to trust").to_string().contains("AWS_CA_BUNDLE"));
    }
}
