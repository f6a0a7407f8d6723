//! How each function gets into the database, for each kind of database: as whom, by which permission, with which authorities.

use std::collections::{BTreeMap, BTreeSet};

use stack::install::workspace;

use super::wiring::{NOT_GIVEN, Region};

/// Every function with a database: its name, its role.
const WITH_DATABASE: [(&str, &str); 5] = [
    ("dispatch-sqs", "DispatchSqsRole"),
    ("dispatch-rabbitmq", "DispatchRabbitmqRole"),
    ("sweep", "SweepRole"),
    ("feedback", "FeedbackRole"),
    ("migrate", "MigrateRole"),
];
const BRIDGED: [(&str, &str); 2] = [("RabbitmqBroker", "self-hosted"), ("RabbitmqDispatchQueue", "mail")];
const MORE: [&str; 1] = ["dispatch-rabbitmq"];

/// What a role allows that has to do with signing in.
fn to_sign_in(grants: BTreeSet<String>) -> Vec<String> {
    let is_about = |grant: &String| grant.contains("rds-db:") || grant.contains("secretsmanager:");
    grants.into_iter().filter(is_about).collect()
}

/// Of a function's variables, those about the database.
async fn database(region: &Region, function: &str) -> BTreeMap<String, String> {
    let mut variables = region.cloud.variables(function).await.expect("variables");
    variables.retain(|name, _| name.starts_with("DATABASE_"));
    variables
}

fn variables(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn with_iam_each_function_signs_in_as_its_own_user_and_no_other() {
    let region = Region::new().await;
    let parameters = [
        ("Database", "iam"),
        ("DatabaseUrl", NOT_GIVEN),
        ("MigrateSchema", "yes"),
        ("DatabaseEndpoint", "db.internal:3307"),
        ("DatabaseName", "mail"),
        ("DatabaseResourceId", "cluster-ABC"),
    ];
    let shop = region.deploy("shop", &MORE, &[&parameters, &BRIDGED]).await.expect("it deploys");
    for (function, role) in WITH_DATABASE {
        let user = format!("sendonce_{}", function.replace('-', "_"));
        let expected =
            format!("Allow rds-db:connect arn:aws:rds-db:eu-west-1:000000000000:dbuser:cluster-ABC/{user}");
        assert_eq!(to_sign_in(shop.grants(role).await), [expected], "{function}");
        let expected = [
            ("DATABASE_AUTH", "iam"),
            ("DATABASE_CA_FILE", "/opt/rds/eu-west-1.pem"),
            ("DATABASE_TLS", "verify"),
            ("DATABASE_URL", &format!("mysql://{user}@db.internal:3307/mail")),
        ];
        assert_eq!(database(&region, &format!("shop-{function}")).await, variables(&expected));
    }
}

#[tokio::test]
async fn with_secrets_each_function_reads_its_own_and_no_other() {
    let region = Region::new().await;
    let parameters = [
        ("Database", "secret"),
        ("DatabaseUrl", NOT_GIVEN),
        ("MigrateSchema", "yes"),
        ("DatabaseEndpoint", "db.internal"),
        ("DatabaseSecretPrefix", "mail/"),
        ("DatabaseCaFile", "/opt/ours.pem"),
    ];
    let shop = region.deploy("shop", &MORE, &[&parameters, &BRIDGED]).await.expect("it deploys");
    for (function, role) in WITH_DATABASE {
        let secret = format!("arn:aws:secretsmanager:eu-west-1:000000000000:secret:mail/{function}");
        let expected = format!("Allow secretsmanager:GetSecretValue {secret}-??????");
        assert_eq!(to_sign_in(shop.grants(role).await), [expected], "{function}");
        let expected = [
            ("DATABASE_AUTH", "secret"),
            ("DATABASE_CA_FILE", "/opt/ours.pem"),
            ("DATABASE_SECRET_ARN", &secret),
            ("DATABASE_TLS", "verify"),
            ("DATABASE_URL", "mysql://db.internal/sendonce"),
        ];
        assert_eq!(database(&region, &format!("shop-{function}")).await, variables(&expected));
    }
    // Their own authorities instead of RDS's.
    let resources = region.cloud.resources("shop").await.expect("resources");
    assert!(!resources.values().any(|resource| resource.kind == "AWS::Lambda::LayerVersion"));
}

/// The one attribute of a cluster that ministack does not know: the secret that RDS keeps.
#[tokio::test]
async fn a_database_that_is_made_is_entered_by_users_that_migrate_makes() {
    const MASTER_SECRET: &str = "!GetAtt Cluster.MasterUserSecret.SecretArn";
    const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:rds!cluster-1-AbCdEf";
    let nested = std::fs::read_to_string(workspace().join("infra/database.yaml")).expect("the file");
    assert!(nested.contains(MASTER_SECRET));
    let folder = workspace().join("target/tmp");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("database.yaml"), nested.replace(MASTER_SECRET, SECRET)).expect("written");
    let patched = |template: &str| {
        template.replace("TemplateURL: infra/database.yaml", "TemplateURL: target/tmp/database.yaml")
    };
    let region = Region::new().await.changing(patched);
    let parameters =
        [("Database", "made"), ("Network", "made"), ("DatabaseUrl", NOT_GIVEN), ("MigrateSchema", "yes")];
    let shop = region.deploy("shop", &MORE, &[&parameters, &BRIDGED]).await.expect("it deploys");
    let host = shop.outputs["DatabaseHost"].clone();
    assert_eq!(shop.outputs["DatabaseAdministratorSecretArn"], SECRET);
    for (function, role) in WITH_DATABASE {
        let grants = to_sign_in(shop.grants(role).await);
        let [grant] = grants.as_slice() else { panic!("{function}: {grants:?}") };
        let found = database(&region, &format!("shop-{function}")).await;
        let ca_file = ("DATABASE_CA_FILE", "/opt/rds/eu-west-1.pem");
        let expected = if function == "migrate" {
            assert_eq!(*grant, format!("Allow secretsmanager:GetSecretValue {SECRET}"));
            let url = format!("mysql://{host}:3306/sendonce");
            variables(&[
                ("DATABASE_AUTH", "secret"),
                ca_file,
                ("DATABASE_SECRET_ARN", SECRET),
                ("DATABASE_TLS", "verify"),
                ("DATABASE_URL", &url),
                ("DATABASE_USERS", "iam"),
            ])
        } else {
            let user = format!("sendonce_{}", function.replace('-', "_"));
            let start = "Allow rds-db:connect arn:aws:rds-db:eu-west-1:000000000000:dbuser:";
            assert!(grant.starts_with(start) && grant.ends_with(&format!("/{user}")), "{grant}");
            let url = format!("mysql://{user}@{host}:3306/sendonce");
            variables(&[
                ("DATABASE_AUTH", "iam"),
                ca_file,
                ("DATABASE_TLS", "verify"),
                ("DATABASE_URL", &url),
            ])
        };
        assert_eq!(found, expected, "{function}");
    }
    let cluster = region.cloud.query("DescribeDBClusters", &[]).await.expect("clusters");
    assert!(
        cluster.contains(&host) && cluster.contains("<DatabaseName>sendonce</DatabaseName>"),
        "{cluster}"
    );
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_the_reason() {
    let region = Region::new().await;
    let no_url = ("DatabaseUrl", NOT_GIVEN);
    let endpoint = ("DatabaseEndpoint", "db.internal");
    for (parameters, said) in [
        (&[("Database", "aurora")][..], "Database"),
        (&[no_url], "Database=url needs DatabaseUrl"),
        (&[endpoint], "DatabaseEndpoint is for Database=iam and Database=secret"),
        (&[("MigrateSchema", "yes")], "needs MigrateDatabaseUrl, or MigrateSchema=no"),
        (&[("Database", "iam"), no_url], "need DatabaseEndpoint"),
        (&[("Database", "iam"), no_url, endpoint], "needs DatabaseResourceId"),
        (
            &[("Database", "iam"), no_url, endpoint, ("DatabaseResourceId", "shop")],
            "the resource id of a cluster",
        ),
        (&[("Database", "secret"), endpoint], "are for Database=url"),
        (
            &[("Database", "secret"), no_url, endpoint, ("DatabaseTls", "off")],
            "sends tokens and passwords in clear",
        ),
        (
            &[("Database", "secret"), no_url, ("DatabaseEndpoint", "mysql://db.internal")],
            "must be empty, or a host name",
        ),
        (&[("Database", "made"), no_url, ("MigrateSchema", "yes")], "needs Network=made or Network=yours"),
        (&[("Database", "made"), no_url, ("Network", "made")], "Database=made needs MigrateSchema=yes"),
        (
            &[("DatabaseCaLayerArn", "arn:aws:lambda:eu-west-1:000000000000:layer:ours:1")],
            "needs DatabaseCaFile",
        ),
        (&[("DatabaseUrl", "mysql://db.internal/shop")], "mysql://user[:password]@host[:port]/name"),
    ] {
        let answer = region.refusal(&[parameters]).await;
        assert!(answer.contains(said), "{parameters:?}: {answer}");
    }
}
