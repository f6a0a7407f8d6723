//! What the tests stand on: a database each on a shared server, rows as a producer writes them, and their state.

use std::time::{Duration, Instant};

use outbox::store::{Database, DatabaseConfig, Session, Tls};
use stack::{
    database::{self, Flavor, Server},
    proxy::Proxy,
};

/// Which server the tests of the table run on.
pub(crate) const FLAVOR: Flavor = Flavor::MariaDb;

/// A table of one's own.
pub(crate) struct Table {
    pub(crate) server: &'static Server,
    pub(crate) database: database::Database,
}

impl Table {
    /// An empty one, on the server that all tests share.
    pub(crate) async fn new() -> Self {
        let server = Server::shared(FLAVOR).await.expect("the database server starts");
        let database = server.create_database().await.expect("the schema applies");
        Self { server, database }
    }

    /// Through a plaintext connection.
    pub(crate) fn plain(&self) -> Database {
        reach(self.database.url(), Tls::Off)
    }

    /// Through a verified one.
    pub(crate) fn encrypted(&self) -> Database {
        reach(self.database.url(), Tls::Verify { ca_file: self.server.ca_file().to_owned() })
    }

    /// A proxy before the server, and the URL that leads through it.
    pub(crate) async fn proxied(&self) -> (Proxy, String) {
        let proxy = Proxy::start(([127, 0, 0, 1], self.server.port()).into()).await.expect("a free port");
        let url = self.database.url().replace(
            &format!(":{}/", self.server.port()),
            &format!(":{}/", proxy.port()),
        );
        (proxy, url)
    }

    /// Writes an ordinary email, with these changes to its columns (SQL expressions), and returns its id.
    pub(crate) async fn insert(&self, changes: &[(&str, &str)]) -> u64 {
        let mut columns = vec![
            ("sender", "'Shop <orders@shop.example>'"),
            ("to_addresses", "JSON_ARRAY('Ada <ada@customer.example>')"),
            ("subject", "'Your receipt'"),
            ("text_body", "'Thank you.'"),
        ];
        for change in changes {
            columns.retain(|(name, _)| *name != change.0);
            columns.push(*change);
        }
        let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        self.execute(&format!("INSERT INTO email ({}) VALUES ({})", names.join(","), values.join(","))).await;
        self.value("SELECT MAX(id) FROM email").await.expect("an id").parse().expect("a number")
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.database.admin().execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The first column of the first row.
    pub(crate) async fn value(&self, sql: &str) -> Option<String> {
        let rows = self.database.admin().rows(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        rows.into_iter().next().and_then(|row| row.into_iter().next().flatten())
    }

    /// One column of an email.
    pub(crate) async fn column(&self, id: u64, column: &str) -> Option<String> {
        self.value(&format!("SELECT CAST({column} AS CHAR) FROM email WHERE id = {id}")).await
    }

    pub(crate) async fn state(&self, id: u64) -> String {
        self.column(id, "state").await.expect("the row is there")
    }
}

/// A database by its URL.
pub(crate) fn reach(url: &str, tls: Tls) -> Database {
    Database::new(DatabaseConfig::parse(url, tls).expect("the URL is right"))
}

/// Far enough away for any test.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// An open connection.
pub(crate) async fn open(database: &Database) -> Session {
    database.connect(soon()).await.unwrap_or_else(|error| panic!("{error:?}"))
}
