//! The users of the functions, made of the very file that an administrator runs.

use super::{DatabaseError, PASSWORD, USER};
use crate::install::workspace;

const BEFORE_PASSWORD: &str = "IDENTIFIED BY '";

/// The name of a function's user.
pub(super) fn user(function: &str) -> String {
    format!("{USER}_{}", function.replace('-', "_"))
}

/// Every user that the file makes.
pub(super) fn users() -> Result<Vec<String>, DatabaseError> {
    let users = |line: &str| {
        line.strip_prefix("CREATE USER IF NOT EXISTS '")?.split_once('\'').map(|(user, _)| user.to_owned())
    };
    Ok(file()?.lines().filter_map(users).collect())
}

/// The statements of `infra/grants.sql` for the database of this name, with [`PASSWORD`] for everybody.
///
/// Plaintext logins are let in: tests count round trips, and a proxy looks into what goes by.
///
/// # Errors
///
/// [`DatabaseError::File`].
pub fn grants(database: &str) -> Result<String, DatabaseError> {
    // On all tables of a database, its name is a pattern.
    let pattern = database.replace('_', "\\_");
    let file = file()?;
    let mut statements = String::with_capacity(file.len() * 2);
    for line in file.lines() {
        match line.split_once(BEFORE_PASSWORD) {
            Some((before, after)) if !line.starts_with("--") => {
                let after = after.split_once('\'').map_or("", |(_, after)| after);
                for part in [before, BEFORE_PASSWORD, PASSWORD, "'", &after.replace(" REQUIRE SSL", "")] {
                    statements += part;
                }
            }
            _ => statements += line,
        }
        statements.push('\n');
    }
    let statements = statements.replace("`shop`.*", &format!("`{pattern}`.*"));
    Ok(statements.replace("`shop`", &format!("`{database}`")))
}

fn file() -> Result<String, DatabaseError> {
    let path = workspace().join("infra/grants.sql");
    std::fs::read_to_string(&path).map_err(|source| DatabaseError::File { action: "read", path, source })
}
