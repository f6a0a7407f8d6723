//! Starting with a configuration that cannot work.

use stack::runtime_api::{NotReady, RuntimeApi};

use super::Site;

#[tokio::test]
async fn every_wrong_variable_is_named_at_start() {
    let site = Site::new().await;
    let function = site
        .function()
        .env("DATABASE_URL", "mysql://mail:password-marker@")
        .env("DATABASE_TLS", "perhaps")
        .env("MAX_SEND_RATE", "-5")
        .env("AWS_SECRET_ACCESS_KEY", "")
        .env("URGENT_QUEUE_URL", "urgent")
        .env("SEND_CONCURRENCY", "many");
    let environment = RuntimeApi::start().environment(function).await.expect("it starts");
    let ended = environment.ready().await.expect_err("it cannot work");
    assert!(matches!(ended, NotReady::Died(_) | NotReady::InitError { .. }), "{ended:?}");
    environment.exited().await;
    let log = environment.log_text();
    for name in [
        "DATABASE_URL",
        "DATABASE_TLS",
        "MAX_SEND_RATE",
        "AWS_SECRET_ACCESS_KEY",
        "URGENT_QUEUE_URL",
        "SEND_CONCURRENCY",
    ] {
        assert!(log.contains(name), "{name} in {log}");
    }
    assert!(!log.contains("password-marker"), "{log}");
}
