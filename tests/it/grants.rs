//! `infra/grants.sql`: every right that it gives is needed, and none is missing.
//!
//! That none is missing, the tests of each function see as well: they run as its user. Here stands all that a function may
//! ever ask the database, and each single right is taken away in turn.

mod exercise;
mod schema;

use std::collections::BTreeSet;

use outbox::store::{StoreError, Tls, migrate::Migrations};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection};
use stack::{
    database::{Admin, Options, Server},
    install::workspace,
};

pub(crate) use self::schema::empty_for_migrate;

use self::exercise::Exercise;
use crate::world::{Table, flavor, open, reach, soon};

/// One right of a user: `UPDATE (state) ON email`, or `CREATE ON *`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    kind: String,
    column: Option<String>,
    table: Option<String>,
}

impl Right {
    fn clause(&self, database: &str) -> String {
        let column = self.column.as_ref().map_or_else(String::new, |column| format!(" (`{column}`)"));
        let place = self.table.as_ref().map_or_else(
            || format!("`{}`.*", database.replace('_', "\\_")),
            |table| format!("`{database}`.`{table}`"),
        );
        format!("{}{column} ON {place}", self.kind)
    }
}

/// What a user may do in a database, as the server sees it.
pub(crate) async fn rights(admin: &Admin, database: &str, user: &str) -> BTreeSet<Right> {
    let pattern = database.replace('_', "\\\\_");
    let who = format!("grantee = '\\'sendonce_{user}\\'@\\'%\\''");
    let sql = format!(
        "SELECT privilege_type, NULL, NULL FROM information_schema.schema_privileges WHERE {who} AND \
         table_schema = '{pattern}' UNION ALL \
         SELECT privilege_type, NULL, table_name FROM information_schema.table_privileges WHERE {who} AND \
         table_schema = '{database}' UNION ALL \
         SELECT privilege_type, column_name, table_name FROM information_schema.column_privileges WHERE {who} AND \
         table_schema = '{database}'"
    );
    let rows = admin.rows(&sql).await.expect("read").into_iter();
    let right = |row: Vec<Option<String>>| {
        let [Some(kind), column, table] = <[Option<String>; 3]>::try_from(row).expect("three") else {
            panic!("a right has a name")
        };
        Right { kind, column, table }
    };
    rows.map(right).collect()
}

/// Takes each right away and sees that something is refused; with all of them nothing is.
async fn is_exactly_enough(user: &str, exercise: Exercise) {
    let table = Table::new().await;
    let rows = exercise::Rows::insert(&table).await;
    let database = reach(&table.database.url_of(user), Tls::Off);
    let run = || async {
        let mut session = open(&database).await;
        let done = exercise::run(exercise, &mut session, &rows).await;
        session.close().await;
        done
    };
    run().await.unwrap_or_else(|error| panic!("{user} lacks a right: {error:?}"));
    let name = table.database.name();
    let rights = rights(table.server.admin(), name, user).await;
    assert!(rights.len() > 10, "{rights:?}");
    let mut needless = Vec::new();
    for right in &rights {
        let clause = right.clause(name);
        table.execute(&format!("REVOKE {clause} FROM 'sendonce_{user}'@'%'")).await;
        match run().await {
            Err(StoreError::Refused { code: 1142 | 1143 }) => {}
            Ok(()) => needless.push(clause.clone()),
            Err(error) => panic!("without {clause}: {error:?}"),
        }
        table.execute(&format!("GRANT {clause} TO 'sendonce_{user}'@'%'")).await;
    }
    assert!(needless.is_empty(), "{user} needs none of {needless:#?}");
}

#[tokio::test]
async fn what_sends_has_exactly_what_sending_takes() {
    is_exactly_enough("dispatch_sqs", Exercise::Dispatch).await;
    is_exactly_enough("dispatch_rabbitmq", Exercise::Dispatch).await;
}

#[tokio::test]
async fn the_sweep_has_exactly_what_its_chores_take() {
    is_exactly_enough("sweep", Exercise::Sweep).await;
}

#[tokio::test]
async fn feedback_has_exactly_what_an_event_takes() {
    is_exactly_enough("feedback", Exercise::Feedback).await;
}

#[tokio::test]
async fn operators_have_exactly_what_their_commands_take() {
    is_exactly_enough("operator", Exercise::Operator).await;
}

/// Of somebody who may look, and of `cargo xtask redrive`, which changes nothing but queues.
#[tokio::test]
async fn an_operator_who_only_looks_needs_no_right_to_write() {
    let table = Table::new().await;
    let rows = exercise::Rows::insert(&table).await;
    let name = table.database.name();
    for right in rights(table.server.admin(), name, "operator").await {
        if right.kind != "SELECT" {
            table.execute(&format!("REVOKE {} FROM 'sendonce_operator'@'%'", right.clause(name))).await;
        }
    }
    let mut session = open(&reach(&table.database.url_of("operator"), Tls::Off)).await;
    exercise::run(Exercise::Look, &mut session, &rows).await.expect("it only looks");
    assert!(
        exercise::run(Exercise::Operator, &mut session, &rows).await.is_err(),
        "it may not change anything"
    );
    session.close().await;
}

/// What a producer wrote is nobody else's to change, and nobody but `migrate` has a right on all tables.
#[tokio::test]
async fn what_a_producer_wrote_stays_as_it_is() {
    let table = Table::new().await;
    let of = |user: &'static str| rights(table.server.admin(), table.database.name(), user);
    let written: BTreeSet<String> = of("producer")
        .await
        .into_iter()
        .filter(|right| right.kind == "INSERT" && right.table.as_deref() == Some("email"))
        .filter_map(|right| right.column)
        .collect();
    assert_eq!(written.len(), 16, "{written:?}");
    for user in ["dispatch_sqs", "dispatch_rabbitmq", "sweep", "feedback", "operator"] {
        let rights = of(user).await;
        let changed: BTreeSet<String> = rights
            .iter()
            .filter(|right| right.kind != "SELECT" && right.table.as_deref() == Some("email"))
            .map(|right| right.column.clone().expect("column by column"))
            .collect();
        // A retry moves `due_at`, and an operator may forget an `expires_at` that is past.
        let both: Vec<&String> = changed.intersection(&written).collect();
        assert!(
            both.iter().all(|column| ["due_at", "expires_at"].contains(&column.as_str())),
            "{user}: {both:?}"
        );
        assert!(rights.iter().all(|right| right.table.is_some()), "{user}: {rights:?}");
        assert!(
            rights.iter().all(|right| ["SELECT", "INSERT", "UPDATE"].contains(&right.kind.as_str())),
            "{user}: {rights:?}"
        );
    }
    let read: Vec<Right> = of("feedback").await.into_iter().filter(|right| right.kind == "SELECT").collect();
    assert!(
        read.iter().all(|right| right.column.as_ref().is_some_and(|column| !written.contains(column))),
        "nothing that a person wrote: {read:?}"
    );
    // The row of the README, under the producer's own user, and nothing that is sendonce's.
    let url = table.database.url_of("producer");
    let mut producer: MySqlConnection = MySqlConnection::connect(&url).await.expect("it connects");
    let email = "INSERT INTO email (sender, to_addresses, subject, text_body) VALUES ('Shop <orders@shop.example>', \
                 JSON_ARRAY('Ada <ada@customer.example>'), 'Your receipt', 'Thank you.')";
    producer.execute(email).await.expect("it may");
    let attachment =
        "INSERT INTO attachment (email_id, name, content) VALUES (LAST_INSERT_ID(), 'receipt.txt', 'x')";
    producer.execute(attachment).await.expect("it may");
    let forged =
        email.replace("subject,", "state, subject,").replace("'Your receipt',", "'sent', 'Your receipt',");
    let refused = producer.execute(AssertSqlSafe(forged)).await;
    assert!(refused.expect_err("not its own").to_string().contains("state"));
    producer.close().await.expect("it goes");
}

/// As an administrator does it: the first section, the first deploy, the file, and the file again for a later release.
#[tokio::test]
async fn the_file_as_it_stands_is_run_before_and_after_the_first_deploy() {
    let server = Server::start(Options::new(flavor())).await.expect("the server starts");
    server.admin().execute("CREATE DATABASE shop CHARACTER SET utf8mb4").await.expect("made");
    let file = std::fs::read_to_string(workspace().join("infra/grants.sql")).expect("the file");
    let (first, _) = file.split_once("-- ── dispatch-sqs ").expect("a second section");
    server.admin().execute(first).await.expect("it stands by itself");
    let url = |user: &str| {
        let password = format!("%3Cpassword%20of%20{user}%3E");
        format!("mysql://sendonce_{user}:{password}@127.0.0.1:{}/shop", server.port())
    };
    let tls = || Tls::Verify { ca_file: server.ca_file().to_owned() };
    let migrate = reach(&url("migrate"), tls());
    migrate.migrate(&Migrations::embedded(), soon()).await.expect("it may");
    for _ in 0..2 {
        server.admin().execute(&file).await.expect("it does no harm again");
    }
    for user in ["migrate", "dispatch_sqs", "dispatch_rabbitmq", "sweep", "feedback", "operator", "producer"]
    {
        open(&reach(&url(user), tls())).await.close().await;
        let plain = reach(&url(user), Tls::Off).connect(soon()).await;
        assert!(plain.is_err(), "{user} may not send anything in clear");
    }
}
