//! Bringing the schema up to date: at deploy time and in tests, never in an invocation that sends.
//!
//! What was applied stands in sqlx's table, with sqlx's checksums, so that its command line tells the same story. But the
//! files are not run by sqlx's own `Migrator`. Its lock is `GET_LOCK(…, -1)`: on MySQL that waits without bound, and
//! MariaDB answers it with NULL and a warning, so that two at once would both run. And it fails wherever a migration is
//! marked as begun and not done: also in the release that a failed deploy is rolled back to, which does not even know that
//! migration. See docs/decisions/0013-migrate-and-grants.md.

mod error;
mod files;
mod users;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use futures_util::TryStreamExt as _;
use sqlx::mysql::MySqlRow;

pub use self::{error::MigrateError, files::Migrations, users::Identification};
use self::{error::Refusal, files::File};
use super::{
    Database, Session, StoreError,
    column::{get, unsigned},
    connection::bounded,
    literal::Sql,
};

/// What a deploy wants of a database.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What has to have been applied.
    pub migrations: &'a Migrations,
    /// The users of `infra/grants.sql` and their rights, and how they sign in; `None`: somebody else sees to them.
    pub users: Option<Identification>,
    /// As many connections at the same time have to be let in; `None`: that is not looked at.
    pub connections: Option<u64>,
}

impl<'a> Wanted<'a> {
    /// The tables, and nothing else.
    #[must_use]
    pub const fn schema(migrations: &'a Migrations) -> Self {
        Self { migrations, users: None, connections: None }
    }
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The files that were applied, in order.
    pub applied: Vec<String>,
    /// The number of the latest migration that the database has.
    pub version: i64,
    /// The database has migrations that this release does not know: it was rolled back, and works all the same.
    pub is_newer: bool,
    /// How many connections the server lets in at the same time.
    pub max_connections: u64,
}

/// The lock's name. It is the server's, of at most 64 characters, and another database's migration is not waited for.
const LOCK: &str = "CONCAT('sendonce:', LEFT(SHA2(DATABASE(), 256), 40))";

/// A statement that waits for a table holds up all that come after it: rather give up, let them pass, and try again. Less
/// than [`Database::STATEMENT_TIMEOUT`], so that what is held up is late and does not fail.
const LOCK_WAIT_S: u32 = 3;

/// What waits for a table lets others pass for this long before it tries again.
const BREATH: Duration = Duration::from_secs(2);

/// A database that is just failing over, or a secret that is just being rotated, is waited for: so long, or a quarter of the
/// time that there is.
const PATIENCE: Duration = Duration::from_mins(1);

/// Kept back from waiting for somebody else's migration, so that there is time to say so.
const FAREWELL: Duration = Duration::from_secs(2);

impl Database {
    /// Applies what is missing over a connection of its own, which is closed on every path.
    ///
    /// # Errors
    ///
    /// [`MigrateError`].
    pub async fn migrate(
        &self,
        migrations: &Migrations,
        deadline: Instant,
    ) -> Result<Migrated, MigrateError> {
        self.deploy(Wanted::schema(migrations), deadline).await
    }

    /// Sees to all that a deploy wants, over a connection of its own, which is closed on every path.
    ///
    /// # Errors
    ///
    /// [`MigrateError`].
    pub async fn deploy(&self, wanted: Wanted<'_>, deadline: Instant) -> Result<Migrated, MigrateError> {
        let mut session = self.connect_patiently(deadline).await.map_err(MigrateError::NotConnected)?;
        let migrated = session.apply(wanted, deadline).await;
        session.close().await;
        migrated
    }

    async fn connect_patiently(&self, deadline: Instant) -> Result<Session, StoreError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let until = Instant::now() + PATIENCE.min(left / 4);
        loop {
            match self.connect(deadline).await {
                Err(error) if error.may_pass() && Instant::now() + BREATH < until => {
                    tokio::time::sleep(BREATH).await;
                }
                other => return other,
            }
        }
    }
}

impl Session {
    /// Applies, in order, every file of `folder` that was not applied yet, however long it takes.
    ///
    /// # Errors
    ///
    /// As [`Session::apply`], or when the folder cannot be read.
    pub async fn migrate(&mut self, folder: &Path) -> Result<(), MigrateError> {
        const HOUR: Duration = Duration::from_hours(1);
        self.apply(Wanted::schema(&Migrations::of_folder(folder)?), Instant::now() + HOUR).await.map(drop)
    }

    /// Applies, in order, every migration that was not applied yet, and makes the users that are wanted. Two at once are
    /// safe: the second waits on a named lock, and finds nothing left to do.
    ///
    /// # Errors
    ///
    /// [`MigrateError`]. Of a file whose first statement was refused nothing was done, and it may be tried again.
    pub async fn apply(&mut self, wanted: Wanted<'_>, deadline: Instant) -> Result<Migrated, MigrateError> {
        // With autocommit off, which can be a server's default, the marks would be taken back with COM_QUIT.
        let settings = Sql::new("SET SESSION autocommit = 1, SESSION lock_wait_timeout = ")
            .integer(LOCK_WAIT_S)
            .push("; SELECT CAST(@@GLOBAL.max_connections AS SIGNED) AS max_connections");
        let rows = self.ask(settings, deadline).await?;
        let max_connections: i64 = rows.first().map_or(Ok(0), |row| get(row, "max_connections"))?;
        let max_connections = unsigned(max_connections);
        if let Some(wanted) = wanted.connections.filter(|wanted| *wanted > max_connections) {
            return Err(MigrateError::Crowded { wanted, max_connections });
        }
        self.lock(deadline).await?;
        let migrated = self.prepare(wanted, max_connections, deadline).await;
        // Where something is still running, or the connection is gone, the lock goes with the connection.
        let is_lost = matches!(
            &migrated,
            Err(MigrateError::OutOfTime { .. } | MigrateError::Interrupted { .. } | MigrateError::Store(_))
        );
        if !is_lost {
            let _ = self.ask(Sql::new("DO RELEASE_LOCK(").push(LOCK).push(")"), deadline).await;
        }
        migrated
    }

    async fn lock(&mut self, deadline: Instant) -> Result<(), MigrateError> {
        let patience = deadline.saturating_duration_since(Instant::now()).saturating_sub(FAREWELL);
        let sql = Sql::new("SELECT CAST(COALESCE(GET_LOCK(")
            .push(LOCK)
            .push(", ")
            .integer(patience.as_secs())
            .push("), 0) AS SIGNED) AS taken");
        let rows = self.ask(sql, deadline).await?;
        let taken: i64 = rows.first().map_or(Ok(0), |row| get(row, "taken"))?;
        if taken == 1 { Ok(()) } else { Err(MigrateError::Busy { waited: patience }) }
    }

    /// What the lock is for.
    async fn prepare(
        &mut self,
        wanted: Wanted<'_>,
        max_connections: u64,
        deadline: Instant,
    ) -> Result<Migrated, MigrateError> {
        let mut migrated = Migrated { applied: Vec::new(), version: 0, is_newer: false, max_connections };
        self.bring_up_to_date(wanted.migrations, &mut migrated, deadline).await?;
        // Rights name tables and columns, so these come first.
        if let Some(identification) = wanted.users {
            self.make_users(identification, deadline).await?;
        }
        Ok(migrated)
    }

    async fn bring_up_to_date(
        &mut self,
        migrations: &Migrations,
        migrated: &mut Migrated,
        deadline: Instant,
    ) -> Result<(), MigrateError> {
        self.ask(Sql::new(BOOK), deadline).await?;
        let marks = self.marks(deadline).await?;
        for mark in &marks {
            match migrations.file(mark.version) {
                Some(file) if !mark.is_done => {
                    return Err(MigrateError::Unfinished { file: file.name.clone() });
                }
                Some(file) if *file.migration.checksum != *mark.checksum => {
                    return Err(MigrateError::Changed { file: file.name.clone() });
                }
                Some(_) => {}
                // Of a release that is rolled back, done or not: not for this one to judge.
                None if mark.version > migrations.latest() => migrated.is_newer = true,
                None => return Err(MigrateError::Unknown { version: mark.version }),
            }
            migrated.version = mark.version;
        }
        for file in migrations.files() {
            if marks.iter().all(|mark| mark.version != file.migration.version) {
                self.run(file, deadline).await?;
                migrated.applied.push(file.name.clone());
                migrated.version = migrated.version.max(file.migration.version);
            }
        }
        Ok(())
    }

    /// Runs one file. It is marked as begun before, and as done afterwards: no DDL can be rolled back.
    async fn run(&mut self, file: &File, deadline: Instant) -> Result<(), MigrateError> {
        loop {
            self.ask(begun(file), deadline).await?;
            let began = Instant::now();
            let mut statements = 0;
            let outcome = bounded(deadline, Duration::MAX, async {
                let mut results = sqlx::raw_sql(file.migration.sql.clone()).fetch_many(&mut self.connection);
                loop {
                    match results.try_next().await {
                        Ok(Some(result)) => statements += u32::from(result.is_left()),
                        Ok(None) => return Ok(Ok(())),
                        Err(error) => return Ok(Err(error)),
                    }
                }
            })
            .await;
            let name = file.name.clone();
            let Ok(outcome) = outcome else { return Err(MigrateError::OutOfTime { file: name }) };
            let Err(error) = outcome else {
                self.ask(done(file, began.elapsed()), deadline).await?;
                return Ok(());
            };
            let Some(refusal) = Refusal::of(&error) else {
                let source = StoreError::from_statement(error);
                return Err(MigrateError::Interrupted { file: name, source });
            };
            if statements > 0 {
                return Err(MigrateError::HalfDone { file: name, statements, refusal });
            }
            // A statement is done whole or not at all, so nothing of this file is.
            self.ask(not_begun(file), deadline).await?;
            if !refusal.is_contention() || Instant::now() + BREATH + FAREWELL >= deadline {
                return Err(MigrateError::Failed { file: name, refusal });
            }
            tokio::time::sleep(BREATH).await;
        }
    }

    async fn marks(&mut self, deadline: Instant) -> Result<Vec<Mark>, MigrateError> {
        let sql = Sql::new(
            "SELECT CAST(version AS SIGNED) AS version, CAST(success AS SIGNED) AS success, checksum \
             FROM _sqlx_migrations ORDER BY version",
        );
        let rows = self.ask(sql, deadline).await?;
        let mark = |row: &MySqlRow| {
            Ok(Mark {
                version: get(row, "version")?,
                is_done: get::<i64>(row, "success")? != 0,
                checksum: get(row, "checksum")?,
            })
        };
        rows.iter().map(mark).collect::<Result<_, StoreError>>().map_err(MigrateError::Store)
    }

    /// Runs a statement of the bookkeeping.
    async fn ask(&mut self, sql: Sql, deadline: Instant) -> Result<Vec<MySqlRow>, MigrateError> {
        self.attempt(sql, deadline).await?.map_err(|refusal| MigrateError::Refused { refusal })
    }

    /// Runs a statement that the server may refuse.
    async fn attempt(
        &mut self,
        sql: Sql,
        deadline: Instant,
    ) -> Result<Result<Vec<MySqlRow>, Refusal>, StoreError> {
        let asked = bounded(deadline, Duration::MAX, async {
            Ok(sqlx::raw_sql(sql).fetch_all(&mut self.connection).await)
        });
        match asked.await? {
            Ok(rows) => Ok(Ok(rows)),
            Err(error) => Refusal::of(&error).map(Err).ok_or_else(|| StoreError::from_statement(error)),
        }
    }
}

/// What the database says of a migration.
struct Mark {
    version: i64,
    is_done: bool,
    checksum: Vec<u8>,
}

/// As sqlx makes it.
const BOOK: &str = "CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
)";

fn begun(file: &File) -> Sql {
    Sql::new(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (",
    )
    .integer(file.migration.version)
    .push(", ")
    .text(&file.migration.description)
    .push(", FALSE, ")
    .bytes(&file.migration.checksum)
    .push(", -1)")
}

fn done(file: &File, took: Duration) -> Sql {
    Sql::new("UPDATE _sqlx_migrations SET success = TRUE, execution_time = ")
        .integer(i64::try_from(took.as_nanos()).unwrap_or(i64::MAX))
        .push(" WHERE version = ")
        .integer(file.migration.version)
}

fn not_begun(file: &File) -> Sql {
    Sql::new("DELETE FROM _sqlx_migrations WHERE success = FALSE AND version = ")
        .integer(file.migration.version)
}
