//! Events out of files, to the real binaries here and behind Lambda's Invoke API.

use stack::{
    install::{self, workspace},
    lambda::Lambda,
    runtime_api::Function,
};

use super::run;
use crate::{function::Site, world::function_binary};

fn file(name: &str) -> String {
    workspace().join("events").join(name).display().to_string()
}

#[tokio::test]
async fn what_an_event_does_is_shown() {
    // Built here, so that the command finds them as the tests do.
    for name in ["dispatch-sqs", "dispatch-rabbitmq", "feedback", "sweep"] {
        function_binary(name);
    }
    let files = [
        "sqs_standard_batch.json",
        "rabbitmq_full_properties.json",
        "ses_eventbridge_send.json",
        "sqs_all_poison_batch.json",
        "sweep_dry_run.json",
        "scheduler_default_payload.json",
    ];
    let files = files.map(file);
    let arguments: Vec<&str> = std::iter::once("replay").chain(files.iter().map(String::as_str)).collect();
    let said = run(&[], &arguments).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    for id in [41, 42, 71] {
        said.line(&[&format!(" {id}: pending → sent, taken by SES 1 time(s)")]);
    }
    said.line(&["41: sending → sent"]);
    said.line(&["urgent: 1 message(s)"]);
    said.line(&["email     none"]);
    assert_eq!(said.out.matches("41: pending → pending").count(), 2, "twice the sweep's: {said:?}");
    assert_eq!(
        said.out.lines().filter(|line| line.trim().starts_with("took")).count(),
        files.len(),
        "{said:?}"
    );
    assert!(!said.out.contains("  log "), "nothing was asked for: {said:?}");
}

#[tokio::test]
async fn a_function_that_fails_is_said_to_and_its_log_is_shown() {
    function_binary("relay-rabbitmq");
    let said =
        run(&[], &["replay", &file("rabbitmq_not_an_event.json"), "--function", "relay-rabbitmq"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    said.line(&["  error "]);
    assert!(said.out.contains("  log "), "{said:?}");
}

#[tokio::test]
async fn a_deployed_function_is_invoked() {
    let site = Site::new().await;
    let lambda = Lambda::start().await.expect("a free port");
    let function = site.configured(Function::new(function_binary("dispatch-sqs")));
    lambda.function("shop-dispatch-sqs", function, 1);
    let endpoint = lambda.endpoint();
    let id = site.insert("ada@customer.example").await;
    assert_eq!(id, 1);
    let event = std::env::temp_dir().join(format!("sendonce-replay-{}.json", std::process::id()));
    let text = r#"{"Records":[{"messageId":"m","body":"1","eventSource":"aws:sqs"}]}"#;
    std::fs::write(&event, text).expect("written");
    let path = event.display().to_string();
    let variables = [
        ("AWS_ENDPOINT_URL_LAMBDA", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let replay = async |arguments: &[&str]| {
        let arguments = [&["replay", path.as_str()], arguments].concat();
        run(&variables, &arguments).await
    };
    let region = ["--deployed", "--region", "eu-west-1"];

    let said = replay(&[&region[..], &["--function", "shop-dispatch-sqs"]].concat()).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    said.line(&["response", r#"{"batchItemFailures":[]}"#]);
    said.line(&["took"]);
    assert_eq!((site.state(1).await.as_str(), site.ses.times_taken(1)), ("sent", 1));

    let nobody = replay(&[&region[..], &["--function", "shop-dispatch"]].concat()).await;
    assert!(
        nobody.code == Some(1) && nobody.err.contains("no deployed function shop-dispatch "),
        "{nobody:?}"
    );
    let nowhere = replay(&["--deployed", "--function", "shop-dispatch-sqs"]).await;
    assert!(nowhere.code == Some(1) && nowhere.err.contains("no region"), "{nowhere:?}");
    let unnamed = replay(&["--deployed"]).await;
    assert!(unnamed.code == Some(2) && unnamed.err.contains("--function"), "{unnamed:?}");
    std::fs::remove_file(event).expect("removed");
}

/// The same files serve AWS's and others' tools: here, the one that needs no container.
#[tokio::test]
async fn cargo_lambda_invokes_with_the_same_files() {
    let site = Site::new().await;
    let lambda = Lambda::start().await.expect("a free port");
    lambda.function("dispatch-sqs", site.configured(Function::new(function_binary("dispatch-sqs"))), 1);
    let tool = tokio::task::spawn_blocking(install::sam).await.expect("it ends").expect("it is installed");
    let invoked = tokio::process::Command::new(tool.cargo_lambda)
        // As to a deployed function: what it sends to its own emulator is not signed.
        .args(["lambda", "invoke", "--remote", "--region", "eu-west-1", "--endpoint-url", &lambda.endpoint()])
        .args(["dispatch-sqs", "--data-file", &file("sqs_mixed_batch_one_poison.json")])
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
        .output()
        .await
        .expect("it runs");
    let said = String::from_utf8_lossy(&invoked.stdout);
    assert!(invoked.status.success() && said.contains("itemIdentifier"), "{invoked:?}");
}
