use super::*;

const LEAST: [(&str, &str); 4] = [
    ("BROKER_URL", "amqp://shop:hush@broker.example/prod"),
    ("QUEUES", "mail.urgent, mail.bulk,,mail.urgent"),
    ("FUNCTION_NAME", "relay-rabbitmq"),
    ("AWS_REGION", "eu-west-1"),
];

fn with(changes: &[(&'static str, &'static str)]) -> Result<BridgeConfig, ConfigError> {
    let changed = |name: &str| changes.iter().any(|(other, _)| *other == name);
    let kept = LEAST.iter().filter(|(name, _)| !changed(name));
    let variables: Vec<(&str, &str)> = kept.chain(changes).copied().collect();
    BridgeConfig::from_variables(&variables[..])
}

fn problems(changes: &[(&'static str, &'static str)]) -> Vec<String> {
    with(changes).expect_err("something is wrong").problems().to_vec()
}

#[test]
fn four_variables_are_enough() {
    let config = with(&[]).expect("all is well");
    assert_eq!(config.broker.host(), "broker.example:5672");
    assert_eq!(config.broker.uri.vhost, "prod");
    assert_eq!(config.queues, ["mail.urgent", "mail.bulk"]);
    assert_eq!((config.prefetch, config.invocations), (300, 2));
    assert_eq!(config.retries.delays.len(), 5);
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn hosts_and_virtual_hosts_as_people_write_them() {
    let place = |url| {
        let config = with(&[("BROKER_URL", url)]).expect(url);
        format!("{} {}", config.broker.host(), config.broker.uri.vhost)
    };
    assert_eq!(place("amqp://a:b@127.0.0.1"), "127.0.0.1:5672 /");
    assert_eq!(place("amqp://a:b@h/"), "h:5672 /");
    assert_eq!(place("amqps://a:b@h/%2f"), "h:5671 /");
    assert_eq!(place("amqp://a:b@[::1]:7/v?heartbeat=2"), "::1:7 v");
}

#[test]
fn the_region_of_an_arn_counts() {
    let arn = "arn:aws:lambda:us-east-2:111122223333:function:relay:live";
    let config = with(&[("FUNCTION_NAME", arn)]).expect("all is well");
    assert_eq!((config.function.region.as_str(), config.function.name.as_str()), ("us-east-2", arn));
    with(&[("FUNCTION_NAME", arn), ("AWS_REGION", "")]).expect("it is in the ARN");
}

#[test]
fn every_wrong_variable_is_named_at_once_and_no_password_quoted() {
    let wrong = [
        ("BROKER_URL", "http://shop:hush@broker.example"),
        ("BROKER_CA_FILE", "/nonexistent"),
        ("QUEUES", " , "),
        ("FUNCTION_NAME", ""),
        ("AWS_REGION", ""),
        ("BATCH_SIZE", "0"),
        ("RETRY_DELAYS_S", "5,1"),
        ("RETRY_QUEUE_TYPE", "stream"),
        ("DECLARE", "maybe"),
        ("HEALTH_ADDRESS", "8095"),
        ("AWS_ENDPOINT_URL_LAMBDA", "localhost"),
    ];
    let problems = problems(&wrong);
    for (name, _) in wrong {
        assert!(problems.iter().any(|problem| problem.starts_with(name)), "{name}: {problems:?}");
    }
    assert!(!problems.join(" ").contains("hush"));
    assert!(self::problems(&[("RETRY_DELAYS_S", "1,x")])[0].starts_with("RETRY_DELAYS_S"));
    assert!(self::problems(&[("BROKER_URL", "broker.example")])[0].starts_with("BROKER_URL"));
}
