//! What the function that brings the schema up to date needs to know.

use std::path::PathBuf;

use doorbell::presigned::Presigned;

use super::{ConfigError, Reader, Variables, database};
use crate::store::{Database, migrate::Identification};

/// Everything that `functions/migrate` needs. It calls no service of AWS but by an address that it is handed, and where
/// signing in to the database takes one, so with `DATABASE_AUTH=url` it needs no credentials.
#[derive(Debug)]
pub struct MigrateConfig {
    /// The database, or what is wrong: a deploy is told, and does not wait for an answer in vain.
    pub database: Result<Database, ConfigError>,
    /// How the database users sign in that it makes after the migrations; `None`: it makes none.
    pub users: Option<Identification>,
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
        let users = users(&mut reader);
        let database = reader.finish_with(database);
        let mut reader = Reader::of(variables);
        let ca_bundle = reader.text("AWS_CA_BUNDLE").map(PathBuf::from);
        let answers = Presigned::new(ca_bundle.as_deref());
        let answers = answers.inspect_err(|error| reader.problem(format!("AWS_CA_BUNDLE {error}"))).ok();
        reader.finish_with(answers.map(|answers| Self { database, users, answers }))
    }
}

fn users<V: Variables + ?Sized>(reader: &mut Reader<'_, V>) -> Option<Identification> {
    if reader.text("DATABASE_USERS")? == "iam" {
        return Some(Identification::RDS_IAM);
    }
    reader.problem("DATABASE_USERS must be iam, or not set where somebody else makes the users");
    None
}

#[cfg(test)]
mod tests {
    use super::MigrateConfig;
    use crate::store::migrate::Identification;

    #[test]
    fn without_a_database_there_is_still_somebody_to_tell() {
        let variables = [("DATABASE_URL", "mysql://mail:hush@db.internal"), ("DATABASE_TLS", "off")];
        let config = MigrateConfig::from_variables(&variables[..]).expect("it can answer");
        let error = config.database.expect_err("there is no name").to_string();
        assert!(error.contains("DATABASE_URL has no database name") && !error.contains("hush"), "{error}");
        let variables = [("DATABASE_URL", "mysql://mail:hush@db.internal/shop"), ("DATABASE_TLS", "off")];
        let config = MigrateConfig::from_variables(&variables[..]).expect("all is well");
        assert!(config.database.is_ok() && config.users.is_none());
        let error = MigrateConfig::from_variables(&[("AWS_CA_BUNDLE", "/nonexistent")][..]);
        assert!(error.expect_err("nobody to trust").to_string().contains("AWS_CA_BUNDLE"));
    }

    #[test]
    fn the_users_are_made_where_that_is_asked_for() {
        let with = |users| {
            let url = ("DATABASE_URL", "mysql://mail:hush@db.internal/shop");
            let variables = [url, ("DATABASE_TLS", "off"), ("DATABASE_USERS", users)];
            MigrateConfig::from_variables(&variables[..]).expect("it can answer")
        };
        assert_eq!(with("").users, None);
        let iam = with("iam");
        assert!(iam.database.is_ok() && iam.users == Some(Identification::RDS_IAM));
        let error = with("password").database.expect_err("there is no such way").to_string();
        assert!(error.contains("DATABASE_USERS must be iam"), "{error}");
    }
}
