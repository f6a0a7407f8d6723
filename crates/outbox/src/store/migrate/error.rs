//! Why a schema could not be brought up to date, in sentences for whoever deploys.

use std::time::Duration;

use super::StoreError;

/// The schema could not be brought up to date.
///
/// `Display` names the file and says what the server said. It speaks of the schema: where the server would quote a row, its
/// text is left out.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The files cannot be read, or one is not named `NNNN_name.sql`.
    #[error("the migrations cannot be read: {0}")]
    Files(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No connection was made, so nothing was done.
    #[error(transparent)]
    NotConnected(StoreError),
    /// The database could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another migration of this database is under way.
    #[error("another migration of this database is under way and did not end within {} s", .waited.as_secs())]
    Busy {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The server refused a statement of the bookkeeping.
    #[error("the server refused the bookkeeping of the migrations with {refusal}")]
    Refused {
        /// What it said.
        refusal: Refusal,
    },
    /// The server refused the first statement of a file. It may be tried again.
    #[error("{file} failed with {refusal}; nothing of it was done")]
    Failed {
        /// Which.
        file: String,
        /// What the server said.
        refusal: Refusal,
    },
    /// The server refused a later statement of a file.
    #[error(
        "{file} failed with {refusal}; its first {statements} statements were done. Undo or complete it by hand, then \
         delete its row from _sqlx_migrations, or set success there"
    )]
    HalfDone {
        /// Which.
        file: String,
        /// How many statements were done before.
        statements: u32,
        /// What the server said.
        refusal: Refusal,
    },
    /// The connection broke in the middle of a file.
    #[error("{file} was interrupted, and nobody knows how far it came: {source}")]
    Interrupted {
        /// Which.
        file: String,
        /// How it broke.
        source: StoreError,
    },
    /// There was no time left to wait for a file's end. The server may go on with it.
    #[error("{file} was still running when the time was over; the server may go on with it and finish it")]
    OutOfTime {
        /// Which.
        file: String,
    },
    /// A file was begun before, and not seen to end.
    #[error(
        "{file} was begun before and not seen to end. Look whether its change is there; undo or complete it by hand, then \
         delete its row from _sqlx_migrations, or set success there"
    )]
    Unfinished {
        /// Which.
        file: String,
    },
    /// The server lets in fewer connections than the deploy counts on.
    #[error(
        "DatabaseMaxConnections is {wanted}, but this server lets in {max_connections} connections at the same time \
         (max_connections): lower the one, or raise the other"
    )]
    Crowded {
        /// What was asked for.
        wanted: u64,
        /// What the server has.
        max_connections: u64,
    },
    /// The name of the database cannot stand in a statement that gives rights.
    #[error(
        "DATABASE_USERS gives rights on a database whose name has no other characters than letters and digits of ASCII, \
         _, -, $ and %"
    )]
    DatabaseName,
    /// Somebody made one of the users to sign in by other means. Nobody's sign-in is changed under their feet.
    #[error(
        "there is a database user {user} already, who signs in with {plugin}, and DATABASE_USERS makes users who sign in with \
         {expected}: drop that one, or alter it, by hand"
    )]
    OtherUser {
        /// Which.
        user: String,
        /// The plugin by which it signs in.
        plugin: String,
        /// The plugin by which it would have to.
        expected: &'static str,
    },
    /// The server refused to make a user, or to give it a right. All of it may be tried again.
    #[error("the database user {user} could not be made or given a right: {refusal}{}", .refusal.about_plugins())]
    User {
        /// Which.
        user: &'static str,
        /// What the server said.
        refusal: Refusal,
    },
    /// The server would not say which users there are.
    #[error("the server would not say which database users there are: {refusal}")]
    Users {
        /// What it said.
        refusal: Refusal,
    },
    /// A file was changed after it had been applied.
    #[error("{file} was changed after it had been applied to this database; a later change is a new file")]
    Changed {
        /// Which.
        file: String,
    },
    /// The database has a migration between those of this release that this release does not know.
    #[error("the database has a migration {version} that belongs to no release of sendonce")]
    Unknown {
        /// Its number.
        version: i64,
    },
}

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("MySQL error {code}: {text}")]
pub struct Refusal {
    /// MySQL's error number.
    pub code: u16,
    /// The server's own words.
    pub text: String,
}

impl Refusal {
    /// `None`: it was not the server that said something.
    pub(super) fn of(error: &sqlx::Error) -> Option<Self> {
        let error = error.as_database_error()?.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()?;
        let code = error.number();
        let text = match code {
            // A duplicate key, or a value that does not fit its new type: those quote the value, which may be an address.
            1062 | 1264 | 1292 | 1300 | 1366 | 1367 | 1411 | 1525 | 1526 | 1586 | 1761 | 1859 => {
                "(the server's own words quote a row and are left out)"
            }
            _ => error.message(),
        };
        Some(Self { code, text: text.to_owned() })
    }

    /// What to do where a server does not know how a user is to sign in.
    fn about_plugins(&self) -> &'static str {
        match self.code {
            1524 => ". Only RDS and Aurora have that plugin, where IAM database authentication is turned on",
            _ => "",
        }
    }

    /// Somebody else held the table, or the row.
    pub(super) fn is_contention(&self) -> bool {
        matches!(self.code, 1205 | 1213)
    }
}
