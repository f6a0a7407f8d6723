//! The administrator's way in: one short connection a call.

use std::path::{Path, PathBuf};

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};

use super::DatabaseError;

/// The administrator (`root`) of one server, over its Unix socket.
///
/// Nothing is kept between calls, so it may be used from any runtime and survives a restart of the server.
#[derive(Debug, Clone)]
pub struct Admin {
    socket: PathBuf,
    database: Option<String>,
}

/// One connection of a user that is not an administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The connection's id, as `KILL` wants it.
    pub id: u64,
    /// Who.
    pub user: String,
    /// From where.
    pub host: String,
    /// Its current database.
    pub database: Option<String>,
    /// `Sleep`, `Query`, …
    pub command: String,
    /// How long it has been in this state, in seconds.
    pub time_s: u64,
    /// What it is running.
    pub sql: Option<String>,
}

impl Admin {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket, database: None }
    }

    pub(super) fn in_database(&self, name: &str) -> Self {
        Self { socket: self.socket.clone(), database: Some(name.into()) }
    }

    /// The server's Unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Connects, for what takes more than one statement. Close it when it is done: a dropped one counts as aborted.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Connect`].
    pub async fn connect(&self) -> Result<MySqlConnection, DatabaseError> {
        let mut options = MySqlConnectOptions::new()
            .socket(&self.socket)
            .username("root")
            .ssl_mode(MySqlSslMode::Disabled)
            .set_names(false)
            .timezone(None)
            .pipes_as_concat(false)
            .no_engine_substitution(false);
        if let Some(database) = &self.database {
            options = options.database(database);
        }
        let connected = options.connect().await;
        connected.map_err(|source| DatabaseError::Connect { socket: self.socket.clone(), source })
    }

    /// Runs one or more statements, separated by `;`, and returns how many rows they changed.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Connect`] or [`DatabaseError::Statement`].
    pub async fn execute(&self, sql: &str) -> Result<u64, DatabaseError> {
        let mut connection = self.connect().await?;
        let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        // The answer counts, not the farewell.
        let _ = connection.close().await;
        Ok(done.map_err(|source| refused(sql, source))?.rows_affected())
    }

    /// Runs a query; every value comes as text.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Connect`] or [`DatabaseError::Statement`].
    pub async fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, DatabaseError> {
        let mut connection = self.connect().await?;
        let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        let _ = connection.close().await;
        let rows = rows.map_err(|source| refused(sql, source))?;
        rows.iter().map(|row| texts(row).map_err(|source| refused(sql, source))).collect()
    }

    /// Runs a query whose first row's first value is a number.
    ///
    /// # Errors
    ///
    /// As [`Admin::rows`], and [`DatabaseError::Answer`] when there is no such number.
    pub async fn query_scalar_u64(&self, sql: &str) -> Result<u64, DatabaseError> {
        let rows = self.rows(sql).await?;
        let value = rows.first().and_then(|row| row.first()).and_then(Option::as_deref);
        value
            .and_then(|value| value.parse().ok())
            .ok_or_else(|| DatabaseError::Answer { expected: "a whole number", sql: shorten(sql) })
    }

    /// A counter of `SHOW GLOBAL STATUS`, such as `Aborted_clients`.
    ///
    /// `Connections` counts the administrator's too, this call's among them: see [`super::Server::connections_made`].
    ///
    /// # Errors
    ///
    /// As [`Admin::query_scalar_u64`].
    pub async fn global_status(&self, name: &str) -> Result<u64, DatabaseError> {
        let sql = format!("SHOW GLOBAL STATUS LIKE '{name}'");
        let rows = self.rows(&sql).await?;
        let value = rows.first().and_then(|row| row.get(1)).and_then(Option::as_deref);
        value
            .and_then(|value| value.parse().ok())
            .ok_or_else(|| DatabaseError::Answer { expected: "a counter", sql: shorten(&sql) })
    }

    /// The connections that are open now, the administrators' and the server's own left out.
    ///
    /// # Errors
    ///
    /// As [`Admin::rows`].
    pub async fn processlist(&self) -> Result<Vec<Process>, DatabaseError> {
        let sql = "SELECT id, user, host, db, command, GREATEST(time, 0), info
                   FROM information_schema.processlist
                   WHERE user NOT IN ('root', 'system user', 'event_scheduler')
                   ORDER BY id";
        let rows = self.rows(sql).await?;
        let processes = rows.into_iter().map(|row| {
            let [Some(id), Some(user), Some(host), database, Some(command), Some(time), text] =
                <[Option<String>; 7]>::try_from(row).ok()?
            else {
                return None;
            };
            Some(Process {
                id: id.parse().ok()?,
                user,
                host,
                database,
                command,
                time_s: time.parse().ok()?,
                sql: text,
            })
        });
        processes
            .collect::<Option<_>>()
            .ok_or_else(|| DatabaseError::Answer { expected: "a process list", sql: shorten(sql) })
    }
}

fn texts(row: &MySqlRow) -> Result<Vec<Option<String>>, sqlx::Error> {
    (0..row.len())
        .map(|column| {
            // Over the text protocol every value is text already, whatever its column's type.
            let bytes = row.try_get_unchecked::<Option<Vec<u8>>, _>(column)?;
            Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        })
        .collect()
}

fn refused(sql: &str, source: sqlx::Error) -> DatabaseError {
    DatabaseError::Statement { sql: shorten(sql), source }
}

fn shorten(sql: &str) -> String {
    let mut short: String = sql.trim_start().chars().take(200).collect();
    if short.len() < sql.trim_start().len() {
        short.push('…');
    }
    short
}
