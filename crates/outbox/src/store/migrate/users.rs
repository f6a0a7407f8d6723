//! The database users of `infra/grants.sql`, made at deploy.
//!
//! The file is the one list of rights, for an administrator as for this: here the database's name and the way to sign in are
//! put into it. All of it is run whenever a deploy asks, and the template's property `Rights` makes a deploy ask that brings
//! one more right. What is there already stays as it is. No right is ever taken away: the functions of the release before
//! are still running, and so are those of the release after where this one is rolled back to. See
//! docs/decisions/0013-migrate-and-grants.md.

use std::time::Instant;

use super::{MigrateError, Session, Sql, get};
use crate::store::literal::DatabaseName;

const LIST: &str = include_str!("../../../../../infra/grants.sql");

/// The user in whose place the application has its own, which is not for anybody else to make.
const PRODUCER: &str = "sendonce_producer";

/// What the file says where a database has its name.
const NAME: &str = "`shop`";

/// How users prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identification {
    plugin: &'static str,
    clause: &'static str,
}

impl Identification {
    /// With a token of RDS: who may have one is IAM's to say, and there is no password.
    pub const RDS_IAM: Self =
        Self::new("AWSAuthenticationPlugin", "IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'");

    /// By a plugin of the server, and the clause of `CREATE USER` that leads to it.
    #[must_use]
    pub const fn new(plugin: &'static str, clause: &'static str) -> Self {
        Self { plugin, clause }
    }
}

impl Session {
    /// Makes the users that are missing, and gives all of them their rights.
    pub(super) async fn make_users(
        &mut self,
        identification: Identification,
        deadline: Instant,
    ) -> Result<(), MigrateError> {
        let rows = self.ask(Sql::new("SELECT CAST(DATABASE() AS CHAR) AS name"), deadline).await?;
        let name: String = rows.first().map_or_else(|| Ok(String::new()), |row| get(row, "name"))?;
        let name = DatabaseName::parse(&name).ok_or(MigrateError::DatabaseName)?;
        let statements = statements(LIST);
        self.check_users(&statements, identification, deadline).await?;
        for statement in &statements {
            let made = self.attempt(statement.sql(&name, identification), deadline).await?;
            made.map_err(|refusal| MigrateError::User { user: statement.user, refusal })?;
        }
        Ok(())
    }

    /// Nobody of such a name signs in by other means. Looked at before anybody is made.
    async fn check_users(
        &mut self,
        statements: &[Statement],
        identification: Identification,
        deadline: Instant,
    ) -> Result<(), MigrateError> {
        let sql = Sql::new(
            "SELECT CAST(user AS CHAR) AS user, CAST(COALESCE(plugin, '') AS CHAR) AS plugin \
             FROM mysql.user WHERE host = '%'",
        );
        let rows = self.attempt(sql, deadline).await?.map_err(|refusal| MigrateError::Users { refusal })?;
        for row in &rows {
            let (user, plugin): (String, String) = (get(row, "user")?, get(row, "plugin")?);
            let is_ours = statements.iter().any(|statement| statement.user == user);
            if is_ours && !plugin.eq_ignore_ascii_case(identification.plugin) {
                return Err(MigrateError::OtherUser { user, plugin, expected: identification.plugin });
            }
        }
        Ok(())
    }
}

/// One statement of the file.
struct Statement {
    user: &'static str,
    /// Comments between them are left out.
    lines: Vec<&'static str>,
}

impl Statement {
    fn sql(&self, name: &DatabaseName, identification: Identification) -> Sql {
        let mut sql = Sql::new("");
        for line in &self.lines {
            let mut rest: &'static str = line;
            while let Some((before, after)) = rest.split_once(NAME) {
                sql = sql.push(before);
                // On all tables of a database, its name is a pattern.
                sql = if after.starts_with(".*") { sql.database_pattern(name) } else { sql.database(name) };
                rest = after;
            }
            if let Some((before, after)) = by_password(rest) {
                sql = sql.push(before).push(identification.clause);
                rest = after;
            }
            sql = sql.push(rest).push("\n");
        }
        sql
    }
}

/// What stands before and after a password to be filled in.
fn by_password(line: &'static str) -> Option<(&'static str, &'static str)> {
    let (before, after) = line.split_once("IDENTIFIED BY '<")?;
    Some((before, after.split_once(">'")?.1))
}

/// The statements of the file, but the producer's. Each begins a line, and ends one.
fn statements(list: &'static str) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut lines = Vec::new();
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with("--")) {
        let end = line.strip_suffix(';');
        lines.push(end.unwrap_or(line));
        if end.is_some() {
            let lines = std::mem::take(&mut lines);
            if let Some(user) = lines.iter().find_map(|line| user(line)).filter(|user| *user != PRODUCER) {
                statements.push(Statement { user, lines });
            }
        }
    }
    statements
}

/// Whom a line of a statement is about.
fn user(line: &'static str) -> Option<&'static str> {
    let (_, after) = line.split_once("CREATE USER IF NOT EXISTS '").or_else(|| line.split_once(" TO '"))?;
    after.split_once('\'').map(|(user, _)| user)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{DatabaseName, Identification, LIST, statements};

    #[test]
    fn every_statement_is_understood_and_the_producers_left_out() {
        let name = DatabaseName::parse("my_shop").expect("it is plain");
        let statements = statements(LIST);
        let text = |identification| {
            let sql = |statement: &super::Statement| statement.sql(&name, identification).into_text();
            statements.iter().map(sql).map(|sql| sql.as_str().to_owned()).collect::<Vec<_>>()
        };
        let made = text(Identification::RDS_IAM);
        let users: BTreeSet<&str> = statements.iter().map(|statement| statement.user).collect();
        assert_eq!(users.len(), 6, "{users:?}");
        for (statement, sql) in statements.iter().zip(&made) {
            let user = format!("'{}'@'%'", statement.user);
            let is_whole = if sql.starts_with("CREATE USER IF NOT EXISTS ") {
                sql.ends_with(&format!(
                    "{user} IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' REQUIRE SSL\n"
                ))
            } else {
                sql.starts_with("GRANT ") && sql.ends_with(&format!(" TO {user}\n"))
            };
            assert!(is_whole && sql.matches('@').count() == 1, "{sql}");
            assert!(!sql.contains(['<', ';']) && !sql.contains("`shop`"), "{sql}");
        }
        // Whatever the file says of somebody is among them.
        let of_producer = LIST.matches("'sendonce_producer'@").count();
        let all =
            LIST.lines().filter(|line| !line.starts_with("--")).map(|line| line.matches("'@'%'").count());
        assert_eq!(made.len() + of_producer, all.sum::<usize>());
        assert!(made.iter().any(|sql| sql.contains(r" ON `my\_shop`.* TO ")), "a pattern");
        assert!(made.iter().any(|sql| sql.contains(" ON `my_shop`.`email` TO ")), "no pattern");
        assert!(made.concat().contains("/*!80000 , REFERENCES */"));
        let other = text(Identification::new("ed25519", "IDENTIFIED VIA ed25519"));
        assert!(other[0].contains(" IDENTIFIED VIA ed25519 REQUIRE SSL"), "{}", other[0]);
    }
}
