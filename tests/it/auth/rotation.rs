//! A password that is changed while functions run, in the database and in a Secrets Manager with versions and labels.

use serde_json::{Value, json};
use stack::{
    database::{Flavor, PASSWORD},
    proxy::Proxy,
};

use super::{MARKER, REGION, Scene, all_done, ministack, nothing_secret_in, of_dispatch, ring};
use crate::world::flavor;

/// A secret of its own in ministack, and the name by which a template knows it: without the random end.
async fn secret(scene: &Scene, name: &str) -> String {
    let secret = json!({ "Name": name, "SecretString": of_dispatch(PASSWORD) });
    let made = scene.cloud.secrets_manager("CreateSecret", &secret).await.expect("a secret");
    let arn = made["ARN"].as_str().expect("an ARN");
    let (short, random) = arn.rsplit_once('-').expect("a random end");
    assert_eq!(random.len(), 6, "{arn}");
    assert!(short.ends_with(name) && short.contains(REGION), "{arn}");
    short.to_owned()
}

async fn put(scene: &Scene, arn: &str, password: &str) -> Value {
    let value = json!({ "SecretId": arn, "SecretString": of_dispatch(password) });
    scene.cloud.secrets_manager("PutSecretValue", &value).await.expect("a new version")
}

#[tokio::test]
async fn a_changed_password_costs_one_more_login_and_no_email_anything() {
    let scene = Scene::new("rotation").await;
    let arn = secret(&scene, "rotation/dispatch-sqs").await;
    // Counts what is asked of Secrets Manager: a round trip a request.
    let proxy = Proxy::start(([127, 0, 0, 1], ministack().await.port()).into()).await.expect("a free port");
    let endpoint = format!("http://127.0.0.1:{}", proxy.port());
    let function = scene.function(&arn).env("AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint);
    let environment = scene.site.start(function).await;
    assert_eq!(proxy.totals().connections, 0, "nothing is asked before somebody connects");
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(scene.site.insert("ada@customer.example").await);
    }
    for id in &ids[..2] {
        assert_eq!(ring(&environment, *id).await, all_done());
        assert!(scene.is_sent_once(*id).await);
    }
    assert_eq!(proxy.totals().round_trips, 1, "once an environment");

    let (made, refused) =
        (scene.site.server.connections_made().await.expect("status"), scene.refused().await);
    let password = format!("{MARKER}-2");
    scene.change_password(&password).await;
    put(&scene, &arn, &password).await;
    for id in &ids[2..] {
        assert_eq!(ring(&environment, *id).await, all_done());
        assert!(scene.is_sent_once(*id).await);
    }
    assert_eq!(proxy.totals().round_trips, 2, "once more");
    assert_eq!(scene.refused().await - refused, 1, "one login too many");
    let made = scene.site.server.connections_made().await.expect("status") - made;
    // MySQL counts the refused one as well.
    assert_eq!(made, if flavor() == Flavor::MariaDb { 2 } else { 3 });
    assert_eq!(scene.rung().await, 0, "nobody had to be rung for again");
    scene.site.nobody_is_connected().await;
    let log = environment.log_text();
    assert_eq!(log.matches("secret.read").count(), 2, "{log}");
    assert!(!log.contains("\"level\":\"ERROR\"") && !log.contains("\"level\":\"WARN\""), "{log}");
    nothing_secret_in(&environment);
}

/// RDS changes the password in the database first and moves the label in the secret afterwards.
#[tokio::test]
async fn a_secret_that_is_late_is_waited_for_by_ringing_again() {
    let scene = Scene::new("late").await;
    let arn = secret(&scene, "late/dispatch-sqs").await;
    let endpoint = ministack().await.endpoint();
    let function = scene.function(&arn).env("AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint);
    let environment = scene.site.start(function).await;
    let [before, during, after] = [
        scene.site.insert("ada@customer.example").await,
        scene.site.insert("ada@customer.example").await,
        scene.site.insert("ada@customer.example").await,
    ];
    assert_eq!(ring(&environment, before).await, all_done());
    let password = format!("{MARKER}-2");
    scene.change_password(&password).await;
    for times in 1..=2 {
        let refused = scene.refused().await;
        assert_eq!(ring(&environment, during).await, all_done());
        assert!(scene.is_untouched(during).await);
        assert_eq!(scene.rung().await, times, "rung for again");
        assert_eq!(scene.refused().await - refused, 1, "the same password is not tried twice");
    }
    let log = environment.log_text();
    assert!(log.contains("database_access_denied"), "{log}");
    put(&scene, &arn, &password).await;
    for id in [during, after] {
        assert_eq!(ring(&environment, id).await, all_done());
    }
    for id in [before, during, after] {
        assert!(scene.is_sent_once(id).await);
    }
    nothing_secret_in(&environment);
}

/// Two users that take turns, as Secrets Manager's other way of rotating has it.
#[tokio::test]
async fn another_user_is_as_good_as_another_password() {
    let scene = Scene::new("turns").await;
    let arn = scene.secrets.put("turns/dispatch-sqs", &of_dispatch(PASSWORD));
    let environment = scene.site.start(scene.function(&arn)).await;
    let ids =
        [scene.site.insert("ada@customer.example").await, scene.site.insert("ada@customer.example").await];
    assert_eq!(ring(&environment, ids[0]).await, all_done());
    let admin = scene.site.database.admin();
    let rename = "RENAME USER 'sendonce_dispatch_sqs'@'%' TO 'sendonce_dispatch_other'@'%'";
    admin.execute(rename).await.expect("renamed");
    scene.secrets.put("turns/dispatch-sqs", &super::login("sendonce_dispatch_other", PASSWORD));
    assert_eq!(ring(&environment, ids[1]).await, all_done());
    for id in ids {
        assert!(scene.is_sent_once(id).await);
    }
    assert_eq!(scene.secrets.asked(), 2);
}
