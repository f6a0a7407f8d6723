use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{ConnectOptions as _, Connection as _};

use super::*;

/// A MySQL server is left out where it cannot be had; MariaDB never is.
async fn start(options: Options, flavor: Flavor) -> Option<Server> {
    match Server::start(options).await {
        Ok(server) => Some(server),
        Err(DatabaseError::Server(ServerError::Install(error))) if flavor == Flavor::MySql => {
            eprintln!("SKIPPED on MySQL, which cannot be had here: {error}");
            None
        }
        Err(error) => panic!("{flavor} does not start: {error}"),
    }
}

fn options(database: &Database) -> MySqlConnectOptions {
    database.url().parse().expect("a valid address")
}

async fn connect(options: &MySqlConnectOptions) -> MySqlConnection {
    options.connect().await.expect("the application can connect")
}

async fn life_of_a_server(flavor: Flavor) {
    let Some(server) = start(Options::new(flavor).arg("--max-connections=20"), flavor).await else { return };
    let one = server.create_empty_database().await.unwrap();
    let two = server.create_empty_database().await.unwrap();
    assert_ne!(one.name(), two.name());
    one.admin().execute("CREATE TABLE t (x INT); INSERT INTO t VALUES (1), (NULL)").await.unwrap();
    let rows = one.admin().rows("SELECT x, 'é' FROM t ORDER BY x DESC").await.unwrap();
    assert_eq!(rows, [[Some("1".into()), Some("é".into())], [None, Some("é".into())]]);
    assert_eq!(server.admin().query_scalar_u64("SELECT @@max_connections").await.unwrap(), 20);
    assert_eq!(server.admin().query_scalar_u64("SELECT @@innodb_flush_log_at_trx_commit").await.unwrap(), 1);

    let before = server.connections_made().await.unwrap();
    let tls = options(&one).ssl_mode(MySqlSslMode::VerifyIdentity).ssl_ca(server.ca_file());
    let verified = connect(&tls).await;
    let plain = connect(&options(&one).ssl_mode(MySqlSslMode::Disabled)).await;
    let open = server.processlist().await.unwrap();
    assert_eq!(open.len(), 2, "the administrator is not among them: {open:?}");
    assert!(
        open.iter().all(|process| process.user == USER && process.database.as_deref() == Some(one.name()))
    );
    assert_eq!(server.connections_made().await.unwrap() - before, 2);
    assert_eq!(server.global_status("Aborted_clients").await.unwrap(), 0);
    verified.close().await.unwrap();
    plain.close().await.unwrap();

    let port = server.port();
    server.kill().await.unwrap();
    assert!(matches!(server.admin().rows("SELECT 1").await, Err(DatabaseError::Connect { .. })));
    server.restart().await.unwrap();
    assert_eq!(server.port(), port);
    assert_eq!(one.admin().query_scalar_u64("SELECT COUNT(*) FROM t").await.unwrap(), 2, "the data stayed");
    connect(&tls).await.close().await.unwrap();
    server.stop().await.unwrap();
    server.restart().await.unwrap();
    connect(&options(&one).ssl_mode(MySqlSslMode::Disabled)).await.close().await.unwrap();
}

#[tokio::test]
async fn life_of_a_mariadb_server() {
    life_of_a_server(Flavor::MariaDb).await;
}

#[tokio::test]
async fn life_of_a_mysql_server() {
    life_of_a_server(Flavor::MySql).await;
}

#[tokio::test]
async fn the_shared_server_takes_every_migration() {
    let server = Server::shared(Flavor::MariaDb).await.unwrap();
    let database = server.create_database().await.unwrap();
    let tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()";
    assert!(database.admin().query_scalar_u64(tables).await.unwrap() > 0);
}

#[tokio::test]
async fn the_application_may_not_leave_its_databases() {
    let server = Server::shared(Flavor::MariaDb).await.unwrap();
    let database = server.create_empty_database().await.unwrap();
    let options = options(&database).ssl_mode(MySqlSslMode::Disabled).database("mysql");
    assert!(options.connect().await.is_err());
}

#[tokio::test]
async fn a_suspended_server_answers_when_it_goes_on() {
    let server = Server::start(Options::new(Flavor::MariaDb)).await.unwrap();
    server.suspend().unwrap();
    let asked = tokio::spawn({
        let admin = server.admin().clone();
        async move { admin.query_scalar_u64("SELECT 7").await }
    });
    tokio::task::yield_now().await;
    server.resume().unwrap();
    assert_eq!(asked.await.unwrap().unwrap(), 7);
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_its_log() {
    let refused = Server::start(Options::new(Flavor::MariaDb).arg("--no-such-option")).await;
    let error = refused.expect_err("it cannot start").to_string();
    assert!(error.contains("no-such-option"), "{error}");
}
