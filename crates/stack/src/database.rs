//! Private MariaDB and MySQL servers.
//!
//! A server starts in well under a second: its data directory is a copy of a template that is made once a workspace. It
//! listens on a free port of 127.0.0.1 with TLS, under an authority of its own, and on a Unix socket.
//!
//! Users keep what is measured apart from who measures. The application connects as [`USER`] over TCP, with rights
//! on the databases that [`Server::create_database`] made and on nothing else; each function may connect as the user that
//! `infra/grants.sql` makes for it, too ([`Database::url_of`]). [`Admin`] connects as `root` over the
//! socket, one connection a call, closed properly; it may do so even when `max_connections` is reached.
//!
//! `innodb_flush_log_at_trx_commit` is left at its default (1), the durability that the design counts on. The server
//! never honours a `max_connections` below 10.

mod admin;
mod grants;
mod instance;
mod options;
mod template;

use std::fs;
use std::path::{Path, PathBuf};

pub use self::admin::{Admin, Process};
pub use self::grants::grants;
pub use self::instance::{Database, Server};
pub use self::options::{Flavor, Options};

use crate::supervisor::ServerError;

/// The user as whom the application connects, from any address, with [`PASSWORD`].
pub const USER: &str = "sendonce";

/// The password of [`USER`]. Nothing secret: the server is private and lives as long as its test.
pub const PASSWORD: &str = "sendonce-local";

/// Why a database server could not be had, or a statement not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The server could not be installed, started, signalled or stopped.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The template of the data directories could not be made.
    #[error("cannot make a data directory for {flavor}")]
    Template {
        /// For which server.
        flavor: Flavor,
        /// What went wrong.
        source: crate::install::InstallError,
    },
    /// The administrator could not connect.
    #[error("cannot connect as root to {socket}", socket = socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the server or the system said.
        source: sqlx::Error,
    },
    /// The server refused a statement.
    #[error("the server refused: {sql}")]
    Statement {
        /// The start of the statement.
        sql: String,
        /// What it said.
        source: sqlx::Error,
    },
    /// A migration failed.
    #[error("cannot apply {path}", path = path.display())]
    Migration {
        /// Which.
        path: PathBuf,
        /// What the server said.
        source: Box<DatabaseError>,
    },
    /// An answer is not of the shape that was asked for.
    #[error("expected {expected} from: {sql}")]
    Answer {
        /// What was expected.
        expected: &'static str,
        /// The start of the statement.
        sql: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {path}", path = path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A blocking task of this crate was cancelled, because its runtime is shutting down.
    #[error("the runtime is shutting down")]
    Cancelled(#[from] tokio::task::JoinError),
}

/// The folder of the migrations that every database gets.
#[must_use]
pub fn migrations_folder() -> PathBuf {
    crate::install::workspace().join("infra/migrations")
}

/// The migrations in `folder`, in the order of their names.
fn migrations(folder: &Path) -> Result<Vec<(PathBuf, String)>, DatabaseError> {
    let read = |path: &Path, source| DatabaseError::File { action: "read", path: path.into(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| read(folder, error))? {
        let path = entry.map_err(|error| read(folder, error))?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            files.push(path);
        }
    }
    files.sort();
    files
        .into_iter()
        .map(|path| match fs::read_to_string(&path) {
            Ok(sql) => Ok((path, sql)),
            Err(source) => Err(read(&path, source)),
        })
        .collect()
}

#[cfg(test)]
mod tests;
