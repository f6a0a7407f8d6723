//! The functions' database users, made at deploy by somebody with the rights of RDS's master user.

use outbox::store::{
    self, Tls,
    migrate::{Identification, MigrateError, Migrated, Migrations, Wanted},
};
use stack::database::{Database, Flavor, Options, PASSWORD, Server};

use super::{
    files,
    function::{Site, is_discreet, start},
    plenty,
};
use crate::{
    grants::rights,
    world::{flavor, open, reach, soon},
};

/// All but the producer.
const USERS: [&str; 6] = ["migrate", "dispatch_sqs", "dispatch_rabbitmq", "sweep", "feedback", "operator"];

/// What RDS and Aurora let their master user do. It is no SUPER.
const MASTER: &str = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES, \
                      CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, CREATE VIEW, \
                      SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER";

/// A way to sign in that a server here knows, in the place of RDS's.
fn identification() -> Identification {
    let plugin = match flavor() {
        Flavor::MariaDb => "mysql_native_password",
        Flavor::MySql => "caching_sha2_password",
    };
    Identification::new(plugin, "IDENTIFIED BY 'sendonce-local'")
}

/// A server where nobody was made yet, and an empty database.
struct Place {
    server: Server,
    database: Database,
    master: store::Database,
}

impl Place {
    async fn new() -> Self {
        let server = Server::start(Options::new(flavor())).await.expect("the server starts");
        let database = server.create_empty_database().await.expect("an empty database");
        let master = format!(
            "CREATE USER 'master'@'%' IDENTIFIED BY '{PASSWORD}'; GRANT {MASTER} ON *.* TO 'master'@'%' WITH GRANT OPTION"
        );
        server.admin().execute(&master).await.expect("made");
        let master = by_tls(&server, "master", database.name());
        Self { server, database, master }
    }

    async fn deploy(&self, users: Identification) -> Result<Migrated, MigrateError> {
        let migrations = Migrations::embedded();
        let wanted = Wanted { users: Some(users), ..Wanted::schema(&migrations) };
        self.master.deploy(wanted, plenty()).await
    }

    async fn execute(&self, sql: &str) {
        self.database.admin().execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    async fn users(&self) -> u64 {
        let sql = "SELECT COUNT(*) FROM mysql.user WHERE user LIKE 'sendonce\\_%'";
        self.server.admin().query_scalar_u64(sql).await.expect("a number")
    }
}

fn by_tls(server: &Server, user: &str, database: &str) -> store::Database {
    let url = format!("mysql://{user}:{PASSWORD}@127.0.0.1:{}/{database}", server.port());
    reach(&url, Tls::Verify { ca_file: server.ca_file().to_owned() })
}

/// The other database has its rights from an administrator who ran the file.
#[tokio::test]
async fn everybody_has_the_rights_that_an_administrator_would_give() {
    let place = Place::new().await;
    let migrated = place.deploy(identification()).await.expect("it may");
    assert_eq!(migrated.applied, files());
    assert_eq!(place.users().await, 6, "and no producer");
    let (server, name) = (&place.server, place.database.name());
    let other = server.create_database().await.expect("the schema and the file apply");
    for user in USERS {
        let ours = rights(server.admin(), name, user).await;
        assert_eq!(ours, rights(server.admin(), other.name(), user).await, "{user}");
        open(&by_tls(server, &format!("sendonce_{user}"), name)).await.close().await;
        let plain = reach(&place.database.url_of(user), Tls::Off).connect(soon()).await;
        assert!(plain.is_err(), "{user} may not send anything in clear");
    }
    assert!(rights(server.admin(), name, "producer").await.is_empty(), "the application's user is its own");
    // `_` stands for itself, and not for any character.
    let alike = name.replace('_', "x");
    server.admin().execute(&format!("CREATE DATABASE `{alike}`")).await.expect("made");
    let alike = by_tls(server, "sendonce_migrate", &alike).connect(soon()).await;
    assert!(alike.is_err(), "another database is another's");
}

#[tokio::test]
async fn every_deploy_gives_what_is_missing_and_takes_nothing() {
    let place = Place::new().await;
    place.deploy(identification()).await.expect("it may");
    let (admin, name) = (place.server.admin(), place.database.name());
    let before = [rights(admin, name, "sweep").await, rights(admin, name, "feedback").await];
    // A release that gained a right, and a function that it gained; and a right of a release that is rolled back.
    place.execute("REVOKE SELECT ON lane FROM 'sendonce_sweep'@'%'; DROP USER 'sendonce_feedback'@'%'").await;
    place.execute("GRANT DELETE ON email TO 'sendonce_operator'@'%'").await;
    let operator = rights(admin, name, "operator").await;
    assert_ne!(rights(admin, name, "sweep").await, before[0]);
    for _ in 0..2 {
        let migrated = place.deploy(identification()).await.expect("it does no harm again");
        assert!(migrated.applied.is_empty());
        assert_eq!([rights(admin, name, "sweep").await, rights(admin, name, "feedback").await], before);
        assert_eq!(rights(admin, name, "operator").await, operator, "functions are running that may need it");
    }
}

#[tokio::test]
async fn two_deploys_at_once_make_everybody_once() {
    let place = Place::new().await;
    let (one, other) = tokio::join!(place.deploy(identification()), place.deploy(identification()));
    let applied = [one.expect("it works").applied, other.expect("it works, too").applied];
    assert!(applied.contains(&files()) && applied.contains(&Vec::new()), "{applied:?}");
    assert_eq!(place.users().await, 6);
}

#[tokio::test]
async fn who_signs_in_by_other_means_is_left_alone() {
    let place = Place::new().await;
    place.execute("CREATE USER 'sendonce_sweep'@'%' IDENTIFIED BY 'another'").await;
    let error = place.deploy(Identification::RDS_IAM).await.expect_err("it is somebody's");
    let said = error.to_string();
    let begins = "there is a database user sendonce_sweep already, who signs in with ";
    assert!(said.starts_with(begins) && said.contains("AWSAuthenticationPlugin"), "{said}");
    assert_eq!(place.users().await, 1, "and nobody was made");
    // Another who has the same name elsewhere is nobody's concern.
    place.execute("RENAME USER 'sendonce_sweep'@'%' TO 'sendonce_sweep'@'10.0.0.1'").await;
    place.deploy(identification()).await.expect("now it may");
}

#[tokio::test]
async fn a_database_whose_name_could_end_its_quotes_is_refused() {
    let place = Place::new().await;
    place.server.admin().execute("CREATE DATABASE `a.b``c`").await.expect("made");
    let odd = by_tls(&place.server, "master", "a.b%60c");
    let migrations = Migrations::embedded();
    let wanted = Wanted { users: Some(identification()), ..Wanted::schema(&migrations) };
    let error = odd.deploy(wanted, plenty()).await.expect_err("no such name");
    assert!(matches!(error, MigrateError::DatabaseName), "{error}");
    odd.migrate(&migrations, plenty()).await.expect("tables need no such care");
}

/// Through the real binary: the server here is none of RDS.
#[tokio::test]
async fn a_server_without_rdss_plugin_fails_the_deploy_with_its_words() {
    let site = Site::new().await;
    let environment = start(site.function().env("DATABASE_USERS", "iam")).await;
    let reason = site.reason(&environment, "create").await;
    let begins = "the server would not say which database users there are: MySQL error 1142: ";
    assert!(reason.starts_with(begins), "migrate's own user is not enough: {reason}");
    for user in USERS.into_iter().chain(["producer"]) {
        site.execute(&format!("DROP USER 'sendonce_{user}'@'%'")).await;
    }
    site.execute(&format!("CREATE USER 'master'@'%' IDENTIFIED BY '{PASSWORD}'")).await;
    site.execute(&format!("GRANT {MASTER} ON *.* TO 'master'@'%' WITH GRANT OPTION")).await;
    let environment = start(site.function_as("master").env("DATABASE_USERS", "iam")).await;
    for _ in 0..2 {
        let reason = site.reason(&environment, "create").await;
        assert_eq!(
            reason,
            "the database user sendonce_migrate could not be made or given a right: MySQL error 1524: Plugin \
             'AWSAuthenticationPlugin' is not loaded. Only RDS and Aurora have that plugin, where IAM database \
             authentication is turned on"
        );
    }
    assert_eq!(site.number("SELECT COUNT(*) FROM lane").await, 2, "the tables are there all the same");
    is_discreet(&environment.log_text());
    let environment = start(site.function_as("master").env("DATABASE_USERS", "password")).await;
    let reason = site.reason(&environment, "create").await;
    assert!(reason.contains("DATABASE_USERS must be iam"), "{reason}");
    assert_eq!(site.server.global_status("Aborted_clients").await.expect("status"), 0);
}
