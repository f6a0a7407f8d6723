//! One short connection a command, closed properly; and what is said when there is none to be had.

use stack::database::{Options, Server};

use super::run;
use crate::world::{Table, flavor};

#[tokio::test]
async fn a_command_opens_one_connection_and_closes_it() {
    let server = Server::start(Options::new(flavor())).await.expect("the server starts");
    let database = server.create_database().await.expect("the schema applies");
    for _ in 0..120 {
        let sql =
            "INSERT INTO email (sender, to_addresses, subject, state) VALUES ('x', '[]', 'x', 'unknown')";
        database.admin().execute(sql).await.expect("written");
    }
    let variables = [("DATABASE_URL", database.url()), ("DATABASE_TLS", "off")];
    let aborted = server.global_status("Aborted_clients").await.expect("a counter");
    for (line, code) in [
        ("show 1", 0),
        ("show 4711", 1),
        ("list --state unknown", 0),
        ("list --state unknown --after 4711", 1),
        ("stats", 0),
        ("sweep --dry-run", 0),
        ("resolve 1 --assume-sent", 0),
        ("resolve --since 1h --resend --dry-run", 0),
        ("resolve --since 1h --resend --yes", 0),
        ("cancel 2 4711", 1),
        ("retry 1", 1),
        ("pause --for 1h", 0),
        ("resume --dry-run", 0),
        ("resume", 0),
    ] {
        let before = server.connections_made().await.expect("a counter");
        let said = run(&variables, line);
        assert_eq!(said.code, code, "{line}: {said:?}");
        assert_eq!(server.connections_made().await.expect("a counter") - before, 1, "{line}");
    }
    // A refused statement is an error like any other: it is closed then, too.
    database.admin().execute("RENAME TABLE email_event TO elsewhere").await.expect("renamed");
    let said = run(&variables, "show 3");
    assert_eq!(said.code, 5, "{said:?}");
    assert!(said.err.contains("migrations"), "{said:?}");
    assert_eq!(server.global_status("Aborted_clients").await.expect("a counter"), aborted);

    let encrypted =
        [("DATABASE_URL", database.url()), ("DATABASE_CA_FILE", server.ca_file().to_str().expect("UTF-8"))];
    assert_eq!(run(&encrypted, "stats").code, 0);
    assert_eq!(server.global_status("Aborted_clients").await.expect("a counter"), aborted);
}

#[tokio::test]
async fn every_wrong_variable_is_named() {
    let variables = [
        ("DATABASE_URL", "mysql://mail:password-marker@"),
        ("DATABASE_TLS", "perhaps"),
        ("ON_UNKNOWN", "ask"),
        ("UNKNOWN_WAIT_S", "soon"),
        ("MAX_SEND_RATE", "-5"),
    ];
    let said = run(&variables, "stats --json");
    assert_eq!(said.code, 3, "{said:?}");
    assert_eq!(said.json()["error"]["kind"], "configuration");
    for (name, _) in variables {
        assert!(said.err.contains(name) && said.out.contains(name), "{name} in {said:?}");
    }
    assert!(!said.err.contains("password-marker") && !said.out.contains("password-marker"), "{said:?}");
    let said = run(&[], "stats");
    assert_eq!(said.code, 3);
    assert!(said.err.contains("DATABASE_URL is not set") && said.err.contains("hint: "), "{said:?}");
    // A line that cannot be read is an error like any other.
    for line in ["show x --json", "resolve 5 --json", "list --state lost --json", "--json"] {
        let said = run(&[], line);
        assert_eq!((said.code, &said.json()["error"]["kind"]), (2, &"usage".into()), "{line}: {said:?}");
        assert!(
            !said.json()["error"]["message"].as_str().expect("a sentence").is_empty(),
            "{line}: {said:?}"
        );
    }
    // What only explains needs no configuration.
    for line in ["--help", "--version", "resolve --help"] {
        assert_eq!(run(&[], line).code, 0, "{line}");
    }
    let help = run(&[], "--help").out;
    for part in ["DATABASE_URL", "Exit codes", "130"] {
        assert!(help.contains(part), "{part} in {help}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_had_is_told_from_one_that_fails() {
    let table = Table::new().await;
    let url = table.database.url();
    let nowhere = url.replace(&format!(":{}/", table.server.port()), ":1/");
    let stranger = url.replace("://sendonce:", "://stranger:");
    // Without TLS, MySQL would not tell a wrong user from a right one that it wants a password from.
    let ca_file = table.server.ca_file().to_str().expect("UTF-8");
    for (url, kind) in
        [(nowhere.as_str(), "database_unreachable"), (stranger.as_str(), "database_access_denied")]
    {
        let said = run(&[("DATABASE_URL", url), ("DATABASE_CA_FILE", ca_file)], "stats --json");
        assert_eq!((said.code, &said.json()["error"]["kind"]), (4, &kind.into()), "{said:?}");
        assert!(said.err.starts_with("error: ") && said.err.contains("\nhint: "), "{said:?}");
    }
}

#[test]
fn a_login_that_aws_knows_is_had_from_aws() {
    let mut variables =
        vec![("DATABASE_AUTH", "iam"), ("DATABASE_URL", "mysql://sendonce_operator@127.0.0.1:1/shop")];
    let said = run(&variables, "stats");
    assert_eq!(said.code, 3, "{said:?}");
    for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID"] {
        assert!(said.err.contains(name), "{name}: {said:?}");
    }
    let closed = crate::world::closed_address();
    let nobody = format!("http://{closed}");
    variables = vec![
        ("DATABASE_AUTH", "secret"),
        ("DATABASE_URL", "mysql://127.0.0.1:1/shop"),
        ("DATABASE_TLS", "off"),
        ("DATABASE_SECRET_ARN", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:sendonce/operator"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "aws-secret-marker"),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &nobody),
    ];
    let said = run(&variables, "pause");
    assert_eq!(said.code, 4, "{said:?}");
    assert!(said.err.contains("no login") && said.err.contains("check DATABASE_SECRET_ARN"), "{said:?}");
    assert!(!said.err.contains("marker"), "{said:?}");
}
