//! The store's part, on a real database, with files that a release may have.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use outbox::store::{
    Tls,
    migrate::{MigrateError, Migrations},
};
use sqlx::{Connection as _, Executor as _, MySqlConnection};
use stack::{
    database::{Database, Server, migrations_folder},
    gate::Gate,
    proxy::{Action, On, Point, Proxy},
};

use super::{files, plenty};
use crate::world::{flavor, reach};

/// A folder of migrations, gone with the test.
struct Folder(PathBuf);

impl Folder {
    /// The real ones, and these.
    fn with(name: &str, more: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("sendonce-migrations-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        for file in files() {
            std::fs::copy(migrations_folder().join(&file), folder.join(&file)).expect("copied");
        }
        for (name, text) in more {
            std::fs::write(folder.join(name), text).expect("written");
        }
        Self(folder)
    }

    fn migrations(&self) -> Migrations {
        Migrations::of_folder(&self.0).expect("they can be read")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all::<&Path>(&self.0);
    }
}

async fn empty() -> (&'static Server, Database) {
    let server = Server::shared(flavor()).await.expect("the database server starts");
    (server, server.create_empty_database().await.expect("an empty database"))
}

/// The first one is held where it has looked and not begun. The second must wait for it, and find nothing left to do.
#[tokio::test]
async fn of_two_at_once_one_waits_and_finds_nothing_to_do() {
    let (server, database) = empty().await;
    let proxy = Proxy::start(([127, 0, 0, 1], server.port()).into()).await.expect("a free port");
    let url = database.url().replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()));
    let gate = Gate::new();
    // Flights: the login, the settings, the lock, the book, its marks; then the first file is marked as begun.
    proxy.script(On::Next, Point::Request(5), Action::Hold(gate.clone()));
    let migrations = Migrations::embedded();
    let first = reach(&url, Tls::Off);
    let first = async { first.migrate(&migrations, plenty()).await };
    let second = async {
        gate.reached().await;
        let second = reach(database.url(), Tls::Off);
        let work = async { second.migrate(&migrations, plenty()).await };
        let watch = async {
            let waiting = format!(
                "SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{}' AND info LIKE 'SELECT CAST(COALESCE(GET_LOCK%'",
                database.name()
            );
            let tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()";
            while database.admin().query_scalar_u64(&waiting).await.expect("a number") == 0
                && database.admin().query_scalar_u64(tables).await.expect("a number") < 2
            {
                tokio::task::yield_now().await;
            }
            assert_eq!(
                database.admin().query_scalar_u64(tables).await.expect("a number"),
                1,
                "the book alone"
            );
            gate.release();
        };
        tokio::join!(work, watch).0
    };
    // Bounded, for a first one that fails before it gets there.
    let both = tokio::time::timeout(Duration::from_mins(1), async { tokio::join!(first, second) });
    let (first, second) = both.await.expect("they meet");
    assert_eq!(first.expect("it works").applied, files());
    assert_eq!(second.expect("it waited").applied, Vec::<String>::new());
    // The lock is nobody's any more, and one's own connection would not be kept from it.
    let free =
        format!("SELECT IS_FREE_LOCK(CONCAT('sendonce:', LEFT(SHA2('{}', 256), 40)))", database.name());
    assert_eq!(database.admin().query_scalar_u64(&free).await.expect("a number"), 1);
}

#[tokio::test]
async fn a_later_release_goes_on_from_where_the_schema_is() {
    let (_, database) = empty().await;
    let store = reach(database.url(), Tls::Off);
    let first = store.migrate(&Migrations::embedded(), plenty()).await.expect("it works");
    assert_eq!((first.version, first.is_newer), (2, false));
    let marker = "ada-marker@customer.example";
    database
        .admin()
        .execute(&format!("INSERT INTO suppression (address, list_name, reason) VALUES ('{marker}', 'a', 'x'), ('{marker}', 'b', 'x')"))
        .await
        .expect("written");
    // Its first file works, its second does not: the server's words would quote an address.
    let later = Folder::with(
        "later",
        &[
            ("0003_note.sql", "ALTER TABLE lane ADD COLUMN note TEXT NULL;"),
            ("0004_unique.sql", "ALTER TABLE suppression ADD UNIQUE KEY suppression_address (address);"),
        ],
    );
    let error = store.migrate(&later.migrations(), plenty()).await.expect_err("there are two of them");
    let said = error.to_string();
    assert!(said.starts_with("0004_unique.sql failed with MySQL error 1062: "), "{said}");
    assert!(!said.contains("marker") && !format!("{error:?}").contains("marker"), "{error:?}");
    // What the deploy is rolled back to does not know what was done.
    let back = store.migrate(&Migrations::embedded(), plenty()).await.expect("it works with it");
    assert_eq!((back.version, back.is_newer, back.applied.len()), (3, true, 0));
    database.admin().execute("DELETE FROM suppression WHERE list_name = 'b'").await.expect("deleted");
    let again = store.migrate(&later.migrations(), plenty()).await.expect("now it works");
    assert_eq!((again.version, again.applied), (4, vec!["0004_unique.sql".to_owned()]));
    // A number between those of this release that it does not know is of no release.
    let other = Folder::with("other", &[("0005_later.sql", "ALTER TABLE lane DROP COLUMN note;")]);
    let error = store.migrate(&other.migrations(), plenty()).await.expect_err("3 and 4 are not there");
    assert!(matches!(error, MigrateError::Unknown { version: 3 }), "{error}");
}

/// What waits for a table holds up all who come after it; so it gives up, and tries again when they have passed.
#[tokio::test]
async fn a_table_in_use_is_waited_for_in_turns() {
    let (_, database) = empty().await;
    let store = reach(database.url(), Tls::Off);
    store.migrate(&Migrations::embedded(), plenty()).await.expect("it works");
    let note = Folder::with("note", &[("0003_note.sql", "ALTER TABLE lane ADD COLUMN note TEXT NULL;")]);
    let mut reader: MySqlConnection = MySqlConnection::connect(database.url()).await.expect("it connects");
    reader.execute("START TRANSACTION").await.expect("begun");
    reader.execute("SELECT name FROM lane").await.expect("read");
    let let_go = async {
        // It is begun, given up, and begun again: only then does the reader go.
        let begun = "SELECT COUNT(*) FROM _sqlx_migrations WHERE version = 3 AND NOT success";
        for expected in [1, 0, 1] {
            while database.admin().query_scalar_u64(begun).await.expect("a number") != expected {
                tokio::task::yield_now().await;
            }
        }
        reader.close().await.expect("it goes");
    };
    let migrations = note.migrations();
    let both = async { tokio::join!(store.migrate(&migrations, plenty()), let_go) };
    // Bounded, for one that waits without giving up.
    let (migrated, ()) = tokio::time::timeout(Duration::from_mins(1), both).await.expect("it takes turns");
    assert_eq!(migrated.expect("it gets its turn").version, 3);
}
