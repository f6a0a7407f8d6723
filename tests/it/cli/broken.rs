//! A command that is cut off half-way: what was done is said, and what is not known is not guessed.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use stack::{
    database::{Database, Options, Server},
    proxy::Proxy,
};

use super::{Said, command};
use crate::world::{Table, flavor};

/// 120 failed emails, on a server of one's own behind a proxy.
async fn site() -> (Server, Database, Proxy, String) {
    let server = Server::start(Options::new(flavor())).await.expect("the server starts");
    let database = server.create_database().await.expect("the schema applies");
    for _ in 0..120 {
        let sql = "INSERT INTO email (sender, to_addresses, subject, state, error_kind) VALUES ('x', '[]', 'x', 'failed', 'x')";
        database.admin().execute(sql).await.expect("written");
    }
    let proxy = Proxy::start(([127, 0, 0, 1], server.port()).into()).await.expect("a free port");
    let url = database.url().replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()));
    (server, database, proxy, url)
}

/// Retries all of them: three batches, the flights 1 to 3 after the login.
fn retry_all(url: &str) -> Command {
    let ids: Vec<_> = (1..=120).map(|id: u64| id.to_string()).collect();
    let variables = [("DATABASE_URL", url), ("DATABASE_TLS", "off")];
    let mut command = command(&variables, &format!("retry {} --json", ids.join(" ")));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn count(database: &Database, sql: &str) -> u64 {
    database.admin().query_scalar_u64(sql).await.expect("a number")
}

#[tokio::test]
async fn a_lost_answer_is_said_to_be_not_known() {
    let (server, database, proxy, url) = site().await;
    proxy.lose_answer(2);
    let mut command = retry_all(&url);
    let output =
        tokio::task::spawn_blocking(move || command.output()).await.expect("it ran").expect("it runs");
    let said = Said::of(output);
    let document = said.json();
    assert_eq!((said.code, &document["error"]["kind"]), (5, &"database_connection_lost".into()), "{said:?}");
    assert_eq!((&document["changed"], &document["untouched"]), (&50.into(), &20.into()));
    let emails = document["emails"].as_array().expect("a list");
    assert!(emails[50..].iter().all(|email| email["outcome"] == "not_known"), "{document}");
    assert_eq!(emails.len(), 100);
    // The server notices when it next answers; until then it goes on. Whatever it changed has its audit row, and nothing
    // else has.
    while !server.processlist().await.expect("processes").is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let changed = count(&database, "SELECT COUNT(*) FROM email WHERE state = 'pending'").await;
    assert!((50..=100).contains(&changed), "{changed}");
    let orphans = "SELECT COUNT(*) FROM email AS e LEFT JOIN email_event AS v ON v.email_id = e.id \
                   WHERE (e.state = 'pending') <> (v.id IS NOT NULL)";
    assert_eq!(count(&database, orphans).await, 0);
}

#[tokio::test]
async fn an_interrupted_command_finishes_its_step_and_says_good_bye() {
    let (server, database, proxy, url) = site().await;
    let aborted = server.global_status("Aborted_clients").await.expect("a counter");
    let gate = proxy.hold(2);
    let child = retry_all(&url).spawn().expect("it starts");
    gate.reached().await;
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("it runs").success());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output());
    // The second batch is under way: it is waited for, and no third one is sent.
    gate.release();
    let output = output.await.expect("it ran").expect("it ended");
    proxy.idle().await;
    let said = Said::of(output);
    let document = said.json();
    assert_eq!((said.code, &document["error"]["kind"]), (130, &"interrupted".into()), "{said:?}");
    assert_eq!((&document["changed"], &document["untouched"]), (&100.into(), &20.into()), "{document}");
    assert_eq!(server.global_status("Aborted_clients").await.expect("a counter"), aborted);
    let orphans = "SELECT COUNT(*) FROM email AS e LEFT JOIN email_event AS v ON v.email_id = e.id \
                   WHERE (e.state = 'pending') <> (v.id IS NOT NULL)";
    assert_eq!(count(&database, orphans).await, 0);
}

#[tokio::test]
async fn nothing_is_changed_without_its_audit_row() {
    let table = Table::new().await;
    let id = table.insert(&[]).await;
    table
        .execute("CREATE TRIGGER refuse BEFORE INSERT ON email_event FOR EACH ROW SIGNAL SQLSTATE '45000'")
        .await;
    let said = table.type_in(&format!("cancel {id}"));
    assert_eq!(said.code, 5, "{said:?}");
    assert_eq!(table.state(id).await, "pending");
    table.execute("DROP TRIGGER refuse").await;
    table.type_in(&format!("cancel {id}")).done();
}
