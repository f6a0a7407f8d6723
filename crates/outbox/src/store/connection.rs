//! Reaching the server, and the one connection of an invocation.

use std::{
    fmt,
    future::Future,
    path::PathBuf,
    time::{Duration, Instant},
};

use sqlx::{
    ConnectOptions as _, Connection as _, MySqlConnection,
    mysql::{MySqlConnectOptions, MySqlSslMode},
};
use url::Url;

use super::{StoreError, relay::Relay};

/// How to protect the way to the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// TLS with the server's certificate and host name verified against this PEM bundle. Anything less would let a
    /// server in the middle ask for the password in clear.
    Verify {
        /// PEM bundle of acceptable authorities.
        ca_file: PathBuf,
    },
    /// Plaintext: must be asked for.
    Off,
}

/// Where the database is and how to log in.
#[derive(Clone)]
pub struct DatabaseConfig {
    host: String,
    port: u16,
    user: String,
    password: Option<String>,
    name: String,
    tls: Tls,
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseConfig")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("name", &self.name)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// The text is not a database URL. Never quotes it: it holds a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatabaseUrl {
    /// Not a URL at all, or of another scheme.
    #[error("must look like mysql://user:password@host:3306/name")]
    Shape,
    /// A part is missing.
    #[error("has no {0}; it must look like mysql://user:password@host:3306/name")]
    Missing(&'static str),
    /// User, password or name hold a `%` that is not a percent-encoded UTF-8 byte.
    #[error("has a {0} that is not percent-encoded UTF-8 (write % as %25, @ as %40, / as %2F)")]
    Encoding(&'static str),
    /// sqlx options in the URL would undo what the hot path relies on.
    #[error("takes no parameters after '?': use DATABASE_TLS and DATABASE_CA_FILE")]
    Parameters,
}

impl DatabaseConfig {
    /// Reads `mysql://user[:password]@host[:port]/name`.
    ///
    /// # Errors
    ///
    /// [`InvalidDatabaseUrl`] names the part that is wrong, never its content.
    pub fn parse(text: &str, tls: Tls) -> Result<Self, InvalidDatabaseUrl> {
        let url = Url::parse(text).map_err(|_| InvalidDatabaseUrl::Shape)?;
        if url.scheme() != "mysql" {
            return Err(InvalidDatabaseUrl::Shape);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidDatabaseUrl::Parameters);
        }
        let decode = |part: &str, what| {
            percent_decode(part).filter(|text| !text.is_empty()).ok_or(InvalidDatabaseUrl::Encoding(what))
        };
        let host =
            url.host_str().filter(|host| !host.is_empty()).ok_or(InvalidDatabaseUrl::Missing("host"))?;
        let name = url.path().trim_start_matches('/');
        if name.is_empty() {
            return Err(InvalidDatabaseUrl::Missing("database name"));
        }
        if url.username().is_empty() {
            return Err(InvalidDatabaseUrl::Missing("user"));
        }
        Ok(Self {
            // An IPv6 address stands in brackets in a URL, and without them everywhere else.
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port().unwrap_or(3306),
            user: decode(url.username(), "user")?,
            password: url.password().map(|password| decode(password, "password")).transpose()?,
            name: decode(name, "database name")?,
            tls,
        })
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// A database that can be connected to. Cheap to keep for the life of an environment; holds no connection.
#[derive(Debug, Clone)]
pub struct Database {
    config: DatabaseConfig,
    options: MySqlConnectOptions,
}

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
        Self { config, options }
    }

    /// Opens the connection, before `deadline` and within [`Database::CONNECT_TIMEOUT`].
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`]; nothing was executed.
    pub async fn connect(&self, deadline: Instant) -> Result<Session, StoreError> {
        let (relay, connection) = bounded(deadline, Self::CONNECT_TIMEOUT, async {
            let relay =
                Relay::open(&self.config.host, self.config.port).await.map_err(StoreError::Unreachable)?;
            let connection =
                self.options.clone().socket(relay.path()).connect().await.map_err(StoreError::from_login)?;
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
