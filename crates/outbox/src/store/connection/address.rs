//! Where the database is, as `DATABASE_URL` says it.

use std::{fmt, path::PathBuf};

use url::Url;

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

/// Where the database is and, as far as the URL says so, how to log in.
#[derive(Clone)]
pub struct DatabaseConfig {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) name: String,
    pub(super) tls: Tls,
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

/// How much of a login the URL holds. What it holds besides is refused: a password that is not used is one that nobody
/// knows to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// The user, and the password if there is one.
    UserAndPassword,
    /// The user alone.
    User,
    /// Neither.
    Nobody,
}

/// The text is not a database URL. Never quotes it: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatabaseUrl {
    /// Not a URL at all, or of another scheme.
    #[error("must look like {}", .0.example())]
    Shape(Carries),
    /// A part is missing.
    #[error("has no {0}; it must look like {example}", example = .1.example())]
    Missing(&'static str, Carries),
    /// A part comes from elsewhere.
    #[error("has a {0}, which comes from elsewhere with this DATABASE_AUTH; it must look like {example}", example = .1.example())]
    Unwanted(&'static str, Carries),
    /// User, password or name hold a `%` that is not a percent-encoded UTF-8 byte.
    #[error("has a {0} that is not percent-encoded UTF-8 (write % as %25, @ as %40, / as %2F)")]
    Encoding(&'static str),
    /// sqlx options in the URL would undo what the hot path relies on.
    #[error("takes no parameters after '?': use DATABASE_TLS and DATABASE_CA_FILE")]
    Parameters,
}

impl Carries {
    /// What such a URL looks like.
    #[must_use]
    pub const fn example(self) -> &'static str {
        match self {
            Self::UserAndPassword => "mysql://user:password@host:3306/name",
            Self::User => "mysql://user@host:3306/name",
            Self::Nobody => "mysql://host:3306/name",
        }
    }
}

impl DatabaseConfig {
    /// Reads `mysql://user[:password]@host[:port]/name`.
    ///
    /// # Errors
    ///
    /// [`InvalidDatabaseUrl`] names the part that is wrong, never its content.
    pub fn parse(text: &str, tls: Tls) -> Result<Self, InvalidDatabaseUrl> {
        Self::parse_carrying(text, Carries::UserAndPassword, tls)
    }

    /// The same for a URL that holds less.
    ///
    /// # Errors
    ///
    /// As [`DatabaseConfig::parse`], and for what it holds too much.
    pub fn parse_carrying(text: &str, carries: Carries, tls: Tls) -> Result<Self, InvalidDatabaseUrl> {
        let url = Url::parse(text).map_err(|_| InvalidDatabaseUrl::Shape(carries))?;
        if url.scheme() != "mysql" {
            return Err(InvalidDatabaseUrl::Shape(carries));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidDatabaseUrl::Parameters);
        }
        let missing = |what| InvalidDatabaseUrl::Missing(what, carries);
        let unwanted = |what| Err(InvalidDatabaseUrl::Unwanted(what, carries));
        let decode = |part: &str, what| {
            percent_decode(part).filter(|text| !text.is_empty()).ok_or(InvalidDatabaseUrl::Encoding(what))
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(missing("host"))?;
        let name = url.path().trim_start_matches('/');
        if name.is_empty() {
            return Err(missing("database name"));
        }
        let (user, password) = (Some(url.username()).filter(|user| !user.is_empty()), url.password());
        match (carries, user, password) {
            (Carries::UserAndPassword | Carries::User, None, _) => return Err(missing("user")),
            (Carries::User | Carries::Nobody, _, Some(_)) => return unwanted("password"),
            (Carries::Nobody, Some(_), None) => return unwanted("user"),
            _ => {}
        }
        Ok(Self {
            // An IPv6 address stands in brackets in a URL, and without them everywhere else.
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port().unwrap_or(3306),
            user: user.map(|user| decode(user, "user")).transpose()?.unwrap_or_default(),
            password: password.map(|password| decode(password, "password")).transpose()?,
            name: decode(name, "database name")?,
            tls,
        })
    }

    /// The server's name or address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The user of the URL; empty when it holds none.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
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

#[cfg(test)]
mod tests {
    use super::{Carries, DatabaseConfig, InvalidDatabaseUrl, Tls};

    fn read(text: &str, carries: Carries) -> Result<DatabaseConfig, InvalidDatabaseUrl> {
        DatabaseConfig::parse_carrying(text, carries, Tls::Off)
    }

    #[test]
    fn a_url_holds_as_much_as_it_should_and_no_more() {
        let (whole, user, nobody) =
            ("mysql://mail:hush@db/shop", "mysql://mail@db:3307/shop", "mysql://[::1]/shop");
        for (text, carries) in [
            (whole, Carries::UserAndPassword),
            (user, Carries::UserAndPassword),
            (user, Carries::User),
            (nobody, Carries::Nobody),
        ] {
            read(text, carries).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        for (text, carries, expected) in [
            (nobody, Carries::UserAndPassword, "has no user"),
            (nobody, Carries::User, "has no user"),
            (whole, Carries::User, "has a password, which comes from elsewhere"),
            (whole, Carries::Nobody, "has a password, which comes from elsewhere"),
            ("mysql://:hush@db/shop", Carries::Nobody, "has a password"),
            (user, Carries::Nobody, "has a user, which comes from elsewhere"),
            ("mysql://db", Carries::Nobody, "has no database name; it must look like mysql://host:3306/name"),
            ("db", Carries::User, "must look like mysql://user@host:3306/name"),
        ] {
            let error = read(text, carries).expect_err(text).to_string();
            assert!(error.starts_with(expected) && !error.contains("hush"), "{text}: {error}");
        }
        let config = read(user, Carries::User).unwrap();
        assert_eq!((config.host(), config.port(), config.user()), ("db", 3307, "mail"));
        assert_eq!(read(nobody, Carries::Nobody).unwrap().host(), "::1");
    }
}
