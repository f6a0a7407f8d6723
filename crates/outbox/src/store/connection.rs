//! Reaching the server, and the one connection of an invocation.

mod address;
mod login;

use std::{
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{
    ConnectOptions as _, Connection as _, MySqlConnection,
    mysql::{MySqlConnectOptions, MySqlSslMode},
};

pub use self::{
    address::{Carries, DatabaseConfig, InvalidDatabaseUrl, Tls},
    login::{Login, LoginSource, NoLogin, Pending},
};
use super::{StoreError, relay::Relay};

/// A database that can be connected to. Cheap to keep for the life of an environment; holds no connection.
#[derive(Clone)]
pub struct Database {
    config: DatabaseConfig,
    options: MySqlConnectOptions,
    /// `None`: the URL says it all.
    source: Option<Arc<dyn LoginSource>>,
}

impl fmt::Debug for Database {
    /// Without sqlx's options, which would print the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, options: _, source } = self;
        f.debug_struct("Database").field("config", config).field("source", source).finish_non_exhaustive()
    }
}

/// A password in clear may not travel in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server wants this password in clear: it is told over verified TLS only")]
pub struct ClearTextNeedsTls;

impl Database {
    /// Bound of opening a connection.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    /// Bound of one statement batch.
    pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
    /// Bound of saying good-bye.
    pub const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

    /// Prepares the options; does not connect.
    #[must_use]
    pub fn new(config: DatabaseConfig) -> Self {
        let mut options = MySqlConnectOptions::new()
            // Only the name to verify: the bytes go through the relay.
            .host(&config.host)
            .port(config.port)
            .username(&config.user)
            .database(&config.name)
            // Each of these would cost a `SET` after the login, and with that a round trip. The server's defaults do:
            // the login names utf8mb4, statements use UTC_TIMESTAMP, none uses `||`.
            .set_names(false)
            .timezone(None)
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .statement_cache_capacity(0)
            // Statements hold whole emails: they never reach a log.
            .disable_statement_logging();
        if let Some(password) = &config.password {
            options = options.password(password);
        }
        options = match &config.tls {
            Tls::Verify { ca_file } => {
                let options = options.ssl_mode(MySqlSslMode::VerifyIdentity);
                // Read once here: sqlx would read the file at every connect, on a thread of its own. One that cannot be
                // read now is left to it, and to its error.
                match std::fs::read(ca_file) {
                    Ok(pem) => options.ssl_ca_from_pem(pem),
                    Err(_) => options.ssl_ca(ca_file),
                }
            }
            Tls::Off => options.ssl_mode(MySqlSslMode::Disabled),
        };
        Self { config, options, source: None }
    }

    /// The same with users and passwords from `source`, whatever the URL says of them.
    #[must_use]
    pub fn logging_in_from(self, source: Arc<dyn LoginSource>) -> Self {
        Self { source: Some(source), ..self }
    }

    /// The same for passwords that the server wants in clear (`mysql_clear_password`), as RDS wants its tokens.
    ///
    /// # Errors
    ///
    /// [`ClearTextNeedsTls`]: there is no other way to get a database that answers such a server.
    pub fn telling_in_clear_from(self, source: Arc<dyn LoginSource>) -> Result<Self, ClearTextNeedsTls> {
        match self.config.tls {
            Tls::Verify { .. } => {
                let options = self.options.enable_cleartext_plugin(true);
                Ok(Self { config: self.config, options, source: Some(source) })
            }
            Tls::Off => Err(ClearTextNeedsTls),
        }
    }

    /// Opens the connection before `deadline`, each try within [`Database::CONNECT_TIMEOUT`].
    ///
    /// A login that the server refuses is replaced once, if there is another by now: a password that was changed between
    /// two invocations costs one of them one more login, and no email anything.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`]; nothing was executed.
    pub async fn connect(&self, deadline: Instant) -> Result<Session, StoreError> {
        let Some(source) = &self.source else {
            return self.dial(self.options.clone(), deadline).await;
        };
        let login = source.login(deadline).await?;
        let refused = match self.dial(self.options_of(&login), deadline).await {
            Err(error) if error.may_be_an_old_password() => error,
            other => return other,
        };
        match source.instead_of(&login, deadline).await? {
            Some(login) => self.dial(self.options_of(&login), deadline).await,
            None => Err(refused),
        }
    }

    fn options_of(&self, login: &Login) -> MySqlConnectOptions {
        self.options.clone().username(&login.user).password(&login.password)
    }

    async fn dial(&self, options: MySqlConnectOptions, deadline: Instant) -> Result<Session, StoreError> {
        let (relay, connection) = bounded(deadline, Self::CONNECT_TIMEOUT, async {
            let relay =
                Relay::open(&self.config.host, self.config.port).await.map_err(StoreError::Unreachable)?;
            let connection = options.socket(relay.path()).connect().await.map_err(StoreError::from_login)?;
            Ok((relay, connection))
        })
        .await?;
        Ok(Session { connection, relay })
    }
}

/// The one connection of an invocation. Close it; never drop it.
#[derive(Debug)]
pub struct Session {
    pub(super) connection: MySqlConnection,
    relay: Relay,
}

impl Session {
    /// Says COM_QUIT and waits until it has left and the server has hung up. Never fails: what can be done is done.
    pub async fn close(self) {
        let _ = tokio::time::timeout(Database::CLOSE_TIMEOUT, self.connection.close()).await;
        self.relay.finish(Database::CLOSE_TIMEOUT).await;
    }
}

/// Runs a database operation before `deadline` and within `limit`, whichever is sooner.
pub(super) async fn bounded<T>(
    deadline: Instant,
    limit: Duration,
    operation: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let limit = limit.min(deadline.saturating_duration_since(Instant::now()));
    tokio::time::timeout(limit, operation).await.unwrap_or(Err(StoreError::TimedOut(limit)))
}
