//! `sendonce`, whose operator may have no password either.

use std::process::{Command, Output, Stdio};

use stack::{database::PASSWORD, rds::Rds, secrets::Secrets};

use super::{REGION, login};
use crate::world::{Table, function_binary};

fn sendonce(variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(function_binary("sendonce"));
    command.args(["stats", "--json"]).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    command.output().expect("it runs")
}

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(!text.contains(PASSWORD), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_logs_in_as_the_functions_do() {
    let table = Table::new().await;
    let secrets = Secrets::start().await.expect("a free port");
    let arn = secrets.put("operator", &login("sendonce_operator", PASSWORD));
    let (url, endpoint) =
        (format!("mysql://127.0.0.1:{}/{}", table.server.port(), table.database.name()), secrets.endpoint());
    let ca_file = table.server.ca_file().to_string_lossy();
    let variables = [
        ("DATABASE_AUTH", "secret"),
        ("DATABASE_URL", url.as_str()),
        ("DATABASE_SECRET_ARN", arn.as_str()),
        ("DATABASE_CA_FILE", ca_file.as_ref()),
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
    ];
    let output = sendonce(&variables);
    assert!(output.status.success(), "{}", said(&output));
    // Without credentials it says so, and what for.
    let output = sendonce(&variables[..5]);
    let text = said(&output);
    assert!(!output.status.success() && text.contains("AWS_ACCESS_KEY_ID"), "{text}");
    secrets.delete("operator");
    let output = sendonce(&variables);
    let text = said(&output);
    assert!(
        !output.status.success() && text.contains(&arn) && text.contains("DATABASE_SECRET_ARN"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_may_have_tokens() {
    let table = Table::new().await;
    let user = format!("operator_{}", table.database.name());
    for sql in [
        format!("CREATE USER '{user}'@'%'"),
        format!("GRANT SELECT ON `{}`.* TO '{user}'@'%'", table.database.name()),
    ] {
        table.server.admin().execute(&sql).await.expect("made");
    }
    let rds = Rds::before(table.server.port()).await.expect("a free port");
    let url = format!("mysql://{user}@127.0.0.1:{}/{}", rds.port(), table.database.name());
    let ca_file = rds.ca_file().to_string_lossy();
    let variables = [
        ("DATABASE_AUTH", "iam"),
        ("DATABASE_URL", url.as_str()),
        ("DATABASE_CA_FILE", ca_file.as_ref()),
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
    ];
    let output = sendonce(&variables);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(rds.told().len(), 1);
}
