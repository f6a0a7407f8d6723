//! Tokens of RDS, told in clear to a server that is who it says it is, and to no other.

use serde_json::json;
use stack::{
    database::PASSWORD,
    rds::Rds,
    runtime_api::{Function, NotReady, RuntimeApi},
};

use super::{Scene, all_done, line, nothing_secret_in, of_dispatch, ring};

const USER: &str = "sendonce_dispatch_sqs";

impl Scene {
    /// RDS before this site's server, whose users of functions have no passwords any more.
    async fn rds(&self) -> Rds {
        self.change_password("").await;
        Rds::before(self.site.server.port()).await.expect("a free port")
    }

    /// `dispatch-sqs` that logs in there with tokens.
    fn with_tokens(&self, rds: &Rds) -> Function {
        let address = format!("mysql://{USER}@127.0.0.1:{}/{}", rds.port(), self.site.database.name());
        self.function("")
            .env("DATABASE_AUTH", "iam")
            .env("DATABASE_SECRET_ARN", "")
            .env("DATABASE_URL", address)
            .env("DATABASE_CA_FILE", rds.ca_file().to_string_lossy())
    }
}

#[tokio::test]
async fn every_connection_has_a_token_of_its_own() {
    let scene = Scene::new("tokens").await;
    let rds = scene.rds().await;
    let environment = scene.site.start(scene.with_tokens(&rds)).await;
    for times in 1..=3 {
        let id = scene.site.insert("ada@customer.example").await;
        assert_eq!(ring(&environment, id).await, all_done());
        assert!(scene.is_sent_once(id).await);
        assert_eq!(rds.told().len(), times);
    }
    let address = format!("127.0.0.1:{}/?Action=connect&DBUser={USER}&", rds.port());
    for told in rds.told() {
        assert_eq!(told.user, USER);
        assert!(told.password.starts_with(&address), "{}", told.password);
        // Signed as the function's role, whose session goes with it.
        assert!(told.password.contains("AKIDEXAMPLE%2F"), "{}", told.password);
        assert!(told.password.contains("%2Feu-west-1%2Frds-db%2Faws4_request"), "{}", told.password);
        assert!(told.password.contains("X-Amz-Security-Token=local"), "{}", told.password);
    }
    assert_eq!(scene.secrets.asked(), 0);
    scene.site.nobody_is_connected().await;
    nothing_secret_in(&environment);
}

#[tokio::test]
async fn a_token_that_is_refused_leaves_the_email_as_it_is() {
    let scene = Scene::new("refused-tokens").await;
    let rds = scene.rds().await;
    let environment = scene.site.start(scene.with_tokens(&rds)).await;
    let id = scene.site.insert("ada@customer.example").await;
    rds.refuse(true);
    assert_eq!(ring(&environment, id).await, all_done());
    assert!(scene.is_untouched(id).await);
    assert_eq!(scene.rung().await, 1);
    assert_eq!(rds.told().len(), 1, "another one would be refused as well");
    line(&environment, "database_access_denied").await;
    rds.refuse(false);
    assert_eq!(ring(&environment, id).await, all_done());
    assert!(scene.is_sent_once(id).await);
    nothing_secret_in(&environment);
}

#[tokio::test]
async fn nobody_is_told_a_token_without_verified_tls() {
    let scene = Scene::new("no-tls").await;
    let rds = scene.rds().await;
    let id = scene.site.insert("ada@customer.example").await;
    // An authority that did not vouch for this server.
    let function =
        scene.with_tokens(&rds).env("DATABASE_CA_FILE", scene.site.server.ca_file().to_string_lossy());
    let environment = scene.site.start(function).await;
    assert_eq!(ring(&environment, id).await, all_done());
    line(&environment, "database_tls").await;
    // A server, or somebody before it, that says it has no TLS.
    let environment = scene.site.start(scene.with_tokens(&rds)).await;
    rds.hide_tls(true);
    assert_eq!(ring(&environment, id).await, all_done());
    line(&environment, "database_tls").await;
    assert!(scene.is_untouched(id).await);
    // Not even when it is asked for.
    let environment =
        RuntimeApi::start().environment(scene.with_tokens(&rds).env("DATABASE_TLS", "off")).await;
    let environment = environment.expect("it starts");
    let ended = environment.ready().await.expect_err("it is refused");
    assert!(matches!(ended, NotReady::Died(_) | NotReady::InitError { .. }), "{ended:?}");
    environment.exited().await;
    assert!(environment.log_text().contains("DATABASE_TLS must be verify"), "{}", environment.log_text());
    assert_eq!(rds.told(), []);
}

/// A password is scrambled, as ever: only tokens are told in clear.
#[tokio::test]
async fn a_password_is_not_told_in_clear_whoever_asks() {
    let scene = Scene::new("no-clear-text").await;
    let arn = scene.secrets.put("no-clear-text/dispatch-sqs", &of_dispatch(PASSWORD));
    let rds = Rds::before(scene.site.server.port()).await.expect("a free port");
    let id = scene.site.insert("ada@customer.example").await;
    let address =
        |user: &str| format!("mysql://{user}127.0.0.1:{}/{}", rds.port(), scene.site.database.name());
    let secret = scene.function(&arn).env("DATABASE_URL", address(""));
    let url = scene
        .function("")
        .env("DATABASE_AUTH", "url")
        .env("DATABASE_URL", address(&format!("{USER}:{PASSWORD}@")));
    for function in [secret, url] {
        let function = function.env("DATABASE_CA_FILE", rds.ca_file().to_string_lossy());
        let environment = scene.site.start(function).await;
        assert_eq!(ring(&environment, id).await, all_done());
        assert!(scene.is_untouched(id).await);
        nothing_secret_in(&environment);
    }
    assert_eq!(rds.told(), []);
    assert_eq!(scene.rung().await, 2);
}

#[tokio::test]
async fn a_password_in_the_url_is_refused_by_name() {
    let scene = Scene::new("iam-start").await;
    let url = format!("mysql://{USER}:{PASSWORD}@127.0.0.1/mail");
    let function = scene.function("").env("DATABASE_AUTH", "iam").env("DATABASE_URL", url);
    let environment = RuntimeApi::start().environment(function).await.expect("it starts");
    environment.ready().await.expect_err("it cannot work");
    environment.exited().await;
    assert!(environment.log_text().contains("DATABASE_URL has a password"), "{}", environment.log_text());
    nothing_secret_in(&environment);
    assert_eq!(json!(scene.secrets.asked()), 0);
}
