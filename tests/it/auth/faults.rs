//! A secret that cannot be had: its row waits as for a database that is away, and the log says which secret and why.

use std::time::Duration;

use outbox::state::AttemptId;
use serde_json::json;
use stack::{
    database::PASSWORD,
    runtime_api::{NotReady, RuntimeApi},
    secrets::Fault,
};

use super::{MARKER, Scene, all_done, line, nothing_secret_in, of_dispatch, ring, ring_within};

#[tokio::test]
async fn an_email_waits_until_the_secret_can_be_read() {
    let scene = Scene::new("faults").await;
    let name = "faults/dispatch-sqs";
    let arn = scene.secrets.put(name, "");
    let environment = scene.site.start(scene.function(&arn)).await;
    let id = scene.site.insert("ada@customer.example").await;
    let mut rung = 0;
    let mut asked = 0;
    for (text, fault, said, calls) in [
        ("", None, "it is not JSON", 1),
        ("password-marker", None, "it is not JSON", 1),
        ("[\"password-marker\"]", None, "it is no object", 1),
        (r#"{"password": "password-marker"}"#, None, "username is not there", 1),
        (r#"{"username": "mail", "password": {"password-marker": 1}}"#, None, "password is not there", 1),
        ("{}", Some(Fault::Refuse { status: 400, code: "AccessDeniedException" }), "GetSecretValue", 1),
        ("{}", Some(Fault::Refuse { status: 400, code: "InvalidRequestException" }), "to be deleted", 1),
        ("{}", Some(Fault::Refuse { status: 400, code: "DecryptionFailure" }), "DecryptionFailure", 1),
        // What may pass is asked for again at once, a few times.
        ("{}", Some(Fault::Refuse { status: 500, code: "InternalServiceError" }), "InternalServiceError", 3),
        ("{}", Some(Fault::Refuse { status: 400, code: "ThrottlingException" }), "ThrottlingException", 3),
        ("{}", Some(Fault::Body("<html>password-marker</html>")), "was not understood", 1),
        ("{}", Some(Fault::Body("{}")), "was not understood", 1),
    ] {
        scene.secrets.put(name, text);
        scene.secrets.set_fault(fault);
        assert_eq!(ring(&environment, id).await, all_done(), "{said}");
        rung += 1;
        asked += calls;
        assert!(scene.is_untouched(id).await, "{said}");
        assert_eq!(scene.rung().await, rung, "{said}");
        assert_eq!(scene.secrets.asked(), asked, "{said}");
        let line = line(&environment, said).await;
        assert!(line.contains(&arn) && line.contains("database_no_login"), "{line}");
    }
    scene.secrets.set_fault(None);
    scene.secrets.put_binary(name);
    assert_eq!(ring(&environment, id).await, all_done());
    scene.secrets.delete(name);
    assert_eq!(ring(&environment, id).await, all_done());
    let missing = line(&environment, "ResourceNotFoundException").await;
    assert!(missing.contains("check DATABASE_SECRET_ARN"), "{missing}");
    scene.secrets.set_open(false).await;
    assert_eq!(ring(&environment, id).await, all_done());
    let away = line(&environment, "cannot be reached for the secret").await;
    assert!(away.contains(&arn), "{away}");
    scene.secrets.set_open(true).await;
    assert_eq!(scene.rung().await, rung + 3);
    assert!(scene.is_untouched(id).await);
    assert_eq!(scene.refused().await, 0, "the database heard nothing of all this");

    scene.secrets.put(name, &of_dispatch(PASSWORD));
    assert_eq!(ring(&environment, id).await, all_done());
    assert!(scene.is_sent_once(id).await);
    nothing_secret_in(&environment);
}

#[tokio::test]
async fn a_secrets_manager_that_never_answers_leaves_time_to_ring_again() {
    let scene = Scene::new("hangs").await;
    let arn = scene.secrets.put("hangs/dispatch-sqs", &of_dispatch(PASSWORD));
    let environment = scene.site.start(scene.function(&arn)).await;
    let id = scene.site.insert("ada@customer.example").await;
    scene.secrets.set_fault(Some(Fault::Hang));
    // The process is killed when its time is over, and then has answered nothing.
    for limit in [6, 30] {
        let answer = ring_within(&environment, id, Duration::from_secs(limit)).await;
        assert_eq!(answer, all_done(), "{}", environment.log_text());
        assert!(scene.is_untouched(id).await);
    }
    assert_eq!(scene.rung().await, 2);
    let log = environment.log_text();
    assert!(log.contains("did not tell the secret"), "{log}");
    scene.secrets.set_fault(None);
    assert_eq!(ring(&environment, id).await, all_done());
    assert!(scene.is_sent_once(id).await);
}

/// The password is changed, and then nobody tells the new one.
#[tokio::test]
async fn a_secret_that_is_away_after_a_change_is_waited_for() {
    let scene = Scene::new("away").await;
    let name = "away/dispatch-sqs";
    let arn = scene.secrets.put(name, &of_dispatch(PASSWORD));
    let environment = scene.site.start(scene.function(&arn)).await;
    let ids =
        [scene.site.insert("ada@customer.example").await, scene.site.insert("ada@customer.example").await];
    assert_eq!(ring(&environment, ids[0]).await, all_done());
    // What is known is enough as long as it is true.
    scene.secrets.set_open(false).await;
    assert_eq!(ring(&environment, ids[0]).await, all_done());
    let password = format!("{MARKER}-2");
    scene.change_password(&password).await;
    assert_eq!(ring(&environment, ids[1]).await, all_done());
    assert!(scene.is_untouched(ids[1]).await);
    assert_eq!(scene.rung().await, 1);
    scene.secrets.set_open(true).await;
    scene.secrets.put(name, &of_dispatch(&password));
    assert_eq!(ring(&environment, ids[1]).await, all_done());
    assert!(scene.is_sent_once(ids[1]).await);
    nothing_secret_in(&environment);
}

/// A function that calls no service of AWS otherwise: an event that cannot be recorded comes again.
#[tokio::test]
async fn feedback_has_its_password_from_a_secret_as_well() {
    let scene = Scene::new("feedback").await;
    let name = "feedback/feedback";
    let arn = scene.secrets.put(name, &super::login("sendonce_feedback", PASSWORD));
    let environment = scene.site.start(scene.function_at("feedback", &arn)).await;
    scene.secrets.set_fault(Some(Fault::Refuse { status: 400, code: "AccessDeniedException" }));
    let id = scene.site.insert("ada@customer.example").await;
    let event = json!({
        "eventType": "Send",
        "mail": {
            "timestamp": "2026-01-01T00:00:00.000Z",
            "messageId": "0102",
            "tags": {
                "email_id": [id.to_string()],
                "attempt_id": [AttemptId::new(1, 1).as_str()]
            }
        },
        "send": {}
    });
    let batch = json!({ "Records": [{ "messageId": "item-0", "body": event.to_string(), "eventSource": "aws:sqs" }] });
    let failed = json!({ "batchItemFailures": [{ "itemIdentifier": "item-0" }] });
    assert_eq!(environment.invoke(&batch).await.response(), failed);
    scene.secrets.set_fault(None);
    assert_eq!(environment.invoke(&batch).await.response(), all_done());
    assert_eq!(scene.secrets.asked(), 2);
    nothing_secret_in(&environment);
}

#[tokio::test]
async fn what_is_wrong_is_named_at_start_and_the_secret_is_not_asked_for() {
    let scene = Scene::new("start").await;
    let function = scene
        .function("password-marker")
        .env("DATABASE_URL", format!("mysql://mail:{MARKER}@127.0.0.1/mail"))
        .env("AWS_ENDPOINT_URL_SECRETS_MANAGER", "localhost");
    let environment = RuntimeApi::start().environment(function).await.expect("it starts");
    let ended = environment.ready().await.expect_err("it cannot work");
    assert!(matches!(ended, NotReady::Died(_) | NotReady::InitError { .. }), "{ended:?}");
    environment.exited().await;
    let log = environment.log_text();
    for name in ["DATABASE_URL has a password", "DATABASE_SECRET_ARN", "AWS_ENDPOINT_URL_SECRETS_MANAGER"] {
        assert!(log.contains(name), "{name}: {log}");
    }
    assert_eq!(scene.secrets.asked(), 0);
    nothing_secret_in(&environment);
}
