//! What the tests stand on: a database each on a shared server, rows as a producer writes them, and their state.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use outbox::store::{Database, DatabaseConfig, Session, Tls};
use stack::{
    database::{self, Flavor, Server},
    proxy::Proxy,
    supervisor::free_port,
};

/// Which server the tests of the table run on: MariaDB, or what `SENDONCE_TEST_SERVER` says.
pub(crate) fn flavor() -> Flavor {
    #[expect(clippy::disallowed_methods, reason = "the one setting of the tests, read here alone")]
    let name = std::env::var("SENDONCE_TEST_SERVER");
    match name.as_deref() {
        Err(_) | Ok("mariadb") => Flavor::MariaDb,
        Ok("mysql") => Flavor::MySql,
        Ok(other) => panic!("SENDONCE_TEST_SERVER is mariadb or mysql, not {other}"),
    }
}

/// An address of this machine where nobody listens, and nobody will by chance: a port that the system gives to whoever asks
/// for any may be another test's a moment later.
pub(crate) fn closed_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port().expect("a free port")).into()
}

/// A table of one's own.
pub(crate) struct Table {
    pub(crate) server: &'static Server,
    pub(crate) database: database::Database,
}

impl Table {
    /// An empty one, on the server that all tests share.
    pub(crate) async fn new() -> Self {
        let server = Server::shared(flavor()).await.expect("the database server starts");
        let database = server.create_database().await.expect("the schema applies");
        Self { server, database }
    }

    /// Through a plaintext connection.
    pub(crate) fn plain(&self) -> Database {
        reach(self.database.url(), Tls::Off)
    }

    /// The same, with the rights of a function and no others.
    pub(crate) fn plain_as(&self, function: &str) -> Database {
        reach(&self.database.url_of(function), Tls::Off)
    }

    /// Through a verified one.
    pub(crate) fn encrypted(&self) -> Database {
        reach(self.database.url(), Tls::Verify { ca_file: self.server.ca_file().to_owned() })
    }

    /// A proxy before the server, and the URL that leads through it.
    pub(crate) async fn proxied(&self) -> (Proxy, String) {
        let proxy = Proxy::start(([127, 0, 0, 1], self.server.port()).into()).await.expect("a free port");
        let url =
            self.database.url().replace(&format!(":{}/", self.server.port()), &format!(":{}/", proxy.port()));
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

/// The binary of a function, brought up to date once a run: a stale one would prove nothing.
///
/// It is where the tests themselves were built. The whole workspace is named, because the package alone would be
/// resolved to other features: then most of its dependencies would be built a second time.
pub(crate) fn function_binary(name: &'static str) -> PathBuf {
    static BUILT: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let tests = std::env::current_exe().expect("the path of the tests");
    let folder = tests.parent().and_then(Path::parent).expect("deps lies in the profile's folder");
    let mut built = BUILT.lock().expect("not poisoned");
    if !built.contains(name) {
        let profile = folder.file_name().filter(|name| *name != "debug").unwrap_or("dev".as_ref());
        let mut cargo = stack::install::cargo();
        cargo.args(["build", "--quiet", "--workspace", "--bin", name]);
        cargo.arg("--profile").arg(profile);
        cargo.arg("--target-dir").arg(folder.parent().expect("the target folder"));
        assert!(cargo.status().expect("cargo runs").success(), "{name} does not build");
        built.insert(name);
    }
    folder.join(name)
}
