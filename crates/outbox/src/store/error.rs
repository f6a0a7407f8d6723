//! What can go wrong between an invocation and its database, classified once.

use std::{io, time::Duration};

use super::NoLogin;

/// A database operation failed.
///
/// `Display` never quotes the server's message, which may repeat a row's content: it goes to logs.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection was established: nothing listens, the name does not resolve, the server hung up while greeting.
    #[error("the database cannot be reached")]
    Unreachable(#[source] io::Error),
    /// The server has no connection to spare (`max_connections`, `max_user_connections`, or the proxy's limit).
    #[error("the database has no connection to spare (MySQL error {code})")]
    TooManyConnections {
        /// MySQL's error number: 1040, 1203 or 1226.
        code: u16,
    },
    /// User, password or database name are not accepted.
    #[error("the database refused the login (MySQL error {code}): check user, password and database name")]
    AccessDenied {
        /// MySQL's error number.
        code: u16,
    },
    /// There is nobody to log in as: the secret cannot be read, say. Nothing was asked of the database.
    #[error("there is no login for the database: {0}")]
    NoLogin(#[from] NoLogin),
    /// The server's certificate is not acceptable, or it offers no TLS, or it takes the password over TLS only.
    #[error("TLS to the database failed: check DATABASE_TLS and DATABASE_CA_FILE")]
    Tls(#[source] sqlx::Error),
    /// An established connection was lost. Whether the latest statement was executed is not known.
    #[error("the database connection was lost")]
    Lost(#[source] sqlx::Error),
    /// The server did not answer in time. Whether the latest statement was executed is not known.
    #[error("the database did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// A lock could not be had (1205) or the server chose this statement to break a deadlock (1213): not executed.
    #[error("the database gave up on a lock (MySQL error {code})")]
    Contended {
        /// MySQL's error number.
        code: u16,
    },
    /// The server refused a statement for another reason.
    #[error("the database refused a statement (MySQL error {code})")]
    Refused {
        /// MySQL's error number.
        code: u16,
    },
    /// The server's defaults would undo what is written, or mutilate what is read. Nothing was executed.
    #[error(
        "the database's defaults do not fit: autocommit must be on, and the client's utf8mb4 be respected \
             (check autocommit, init_connect and skip-character-set-client-handshake)"
    )]
    Unfit,
    /// The server's answer was not understood.
    #[error("the database's answer was not understood")]
    Protocol(#[source] sqlx::Error),
}

impl StoreError {
    /// A short stable code for logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "database_unreachable",
            Self::TooManyConnections { .. } => "database_too_many_connections",
            Self::AccessDenied { .. } => "database_access_denied",
            Self::NoLogin(_) => "database_no_login",
            Self::Tls(_) => "database_tls",
            Self::Lost(_) => "database_connection_lost",
            Self::TimedOut(_) => "database_timed_out",
            Self::Contended { .. } => "database_contended",
            Self::Refused { .. } => "database_refused",
            Self::Unfit => "database_unfit",
            Self::Protocol(_) => "database_protocol",
        }
    }

    /// Whether the statement was certainly not executed and may be repeated on the same connection.
    #[must_use]
    pub const fn is_contended(&self) -> bool {
        matches!(self, Self::Contended { .. })
    }

    /// Whether the connection is unusable from here on.
    #[must_use]
    pub const fn ends_session(&self) -> bool {
        !matches!(self, Self::Contended { .. } | Self::Refused { .. } | Self::Unfit)
    }

    /// Whether a connection that could not be had may be had in a moment.
    #[must_use]
    pub(super) const fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::TooManyConnections { .. } | Self::NoLogin(_) | Self::TimedOut(_)
        )
    }

    /// Whether the password may have been changed since it was learnt. 1045 says so, and 1698 of a user that has none any
    /// more; after 1044 the password was right, and the database was not the user's.
    #[must_use]
    pub(super) const fn may_be_an_old_password(&self) -> bool {
        matches!(self, Self::AccessDenied { code: 1045 | 1698 })
    }

    /// Classifies an error of an established connection.
    pub(super) fn from_statement(error: sqlx::Error) -> Self {
        match mysql_code(&error) {
            // A lock, a deadlock, or a transaction that a snapshot or another node overtook: rolled back, each of them.
            Some(code @ (1020 | 1205 | 1213 | 3101)) => Self::Contended { code },
            // The server is going away, killed this connection or statement, or is no longer the one that may be
            // written to (read-only after a failover, not in its cluster): another connection may lead to a better one.
            Some(1047 | 1053 | 1077 | 1079 | 1080 | 1290 | 1317 | 1792 | 1836 | 1927 | 1969 | 4031) => {
                Self::Lost(error)
            }
            Some(code) => Self::Refused { code },
            None => match error {
                sqlx::Error::Io(_) => Self::Lost(error),
                other => Self::Protocol(other),
            },
        }
    }

    /// Classifies an error of logging in.
    pub(super) fn from_login(error: sqlx::Error) -> Self {
        match mysql_code(&error) {
            Some(code @ (1040 | 1203 | 1226)) => Self::TooManyConnections { code },
            Some(code @ (1044 | 1045 | 1049 | 1130 | 1251 | 1698 | 3159 | 3955)) => {
                Self::AccessDenied { code }
            }
            Some(code) => Self::Refused { code },
            None => match error {
                // rustls reports what it refuses as invalid data.
                sqlx::Error::Io(ref io) if io.kind() == io::ErrorKind::InvalidData => Self::Tls(error),
                sqlx::Error::Io(io) => Self::Unreachable(io),
                // MySQL that wants the password itself: sqlx tells it over TLS only.
                sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => Self::Tls(error),
                other => Self::Protocol(other),
            },
        }
    }
}

fn mysql_code(error: &sqlx::Error) -> Option<u16> {
    error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>())
        .map(sqlx::mysql::MySqlDatabaseError::number)
}
