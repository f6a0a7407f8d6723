//! The rights of `migrate`: its section stands by itself, before there is a table.

use outbox::store::{
    Tls,
    migrate::{MigrateError, Migrations},
};
use stack::database::{Database, Server, grants};

use super::{Right, rights};
use crate::world::{flavor, reach, soon};

/// An empty database, for which the first section of the file was run.
pub(crate) async fn empty_for_migrate(server: &Server) -> Database {
    let database = server.create_empty_database().await.expect("an empty database");
    let grants = grants(database.name()).expect("the file");
    let (first, _) = grants.split_once("-- ── dispatch-sqs ").expect("a second section");
    server.admin().execute(first).await.expect("it stands by itself");
    database
}

/// A file that is refused at first, all of them, and none.
async fn run(database: &Database) -> Result<(), MigrateError> {
    let (store, migrations) = (reach(&database.url_of("migrate"), Tls::Off), Migrations::embedded());
    database.admin().execute("CREATE TABLE email (id INT)").await.expect("a table in the way");
    let refused = store.migrate(&migrations, soon()).await;
    database.admin().execute("DROP TABLE email").await.expect("out of the way");
    match refused {
        Err(MigrateError::Failed { refusal, .. }) if refusal.code == 1050 => {}
        Err(error) => return Err(error),
        Ok(_) => panic!("there was a table in the way"),
    }
    store.migrate(&migrations, soon()).await?;
    store.migrate(&migrations, soon()).await.map(drop)
}

#[tokio::test]
async fn migrate_has_exactly_what_the_schema_takes() {
    let server = Server::shared(flavor()).await.expect("the database server starts");
    // Where passwords are remembered after a login over TLS, this has made them so.
    server.create_database().await.expect("the schema applies");
    let database = empty_for_migrate(server).await;
    run(&database).await.unwrap_or_else(|error| panic!("a right is missing: {error}"));
    let all = rights(server.admin(), database.name(), "migrate").await;
    let kinds: Vec<String> = all.iter().map(|right| right.clause("d")).collect();
    assert!(all.len() >= 7, "{kinds:?}");
    for right in &all {
        // MySQL gives no right on a table that is not there without it.
        let is_only_for_the_grant = right.kind == "CREATE" && right.table.is_some();
        if is_only_for_the_grant {
            continue;
        }
        let database = empty_for_migrate(server).await;
        let clause = Right::clause(right, database.name());
        let sql = format!("REVOKE {clause} FROM 'sendonce_migrate'@'%'");
        server.admin().execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let outcome = run(&database).await;
        let text = match &outcome {
            Ok(()) => "nothing was refused".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(text.contains(" 1142") || text.contains(" 1044"), "without {clause}: {text}");
    }
}
