//! A second deploy: what it refuses, and that a deploy which failed leaves everything as it was, sending.

use serde_json::json;
use stack::{
    database::{Options, Server},
    deploy::DeployError,
    install::workspace,
};

use super::{BINARIES, Deployed, SWEEP};
use crate::{grants::empty_for_migrate, world::flavor};

async fn deployed() -> Deployed {
    let server = Server::start(Options::new(flavor())).await.expect("the server starts");
    let database = empty_for_migrate(&server).await;
    let url = database.url_of("migrate");
    let parameters =
        [("MigrateSchema", "yes"), ("MigrateDatabaseUrl", url.as_str()), ("DatabaseMaxConnections", "20")];
    let shop = Deployed::on(server, database, &BINARIES, &parameters).await;
    shop.unwrap_or_else(|error| panic!("it deploys: {error}"))
}

fn template() -> String {
    std::fs::read_to_string(workspace().join("template.yaml")).expect("the template")
}

/// What a deploy that failed said.
fn events(result: Result<(), DeployError>) -> String {
    match result {
        Err(DeployError::Stack { status, events }) => {
            assert_eq!(status, "UPDATE_ROLLBACK_COMPLETE", "{events}");
            events
        }
        other => panic!("it should have failed and gone back: {other:?}"),
    }
}

impl Deployed {
    /// From a row to the inbox, by the sweep and its doorbell.
    async fn sends(&self, id: u64) {
        self.insert(id, "pending").await;
        let unheard =
            format!("UPDATE email SET due_at = UTC_TIMESTAMP(6) - INTERVAL 3 MINUTE WHERE id = {id}");
        self.database.admin().execute(&unheard).await.expect("written");
        self.cloud.invoke(SWEEP, &json!({})).await.expect("it answers");
        self.becomes(id, "sent").await;
        assert_eq!(self.ses.times_taken(id), 1);
    }

    async fn urgent_concurrency(&self) -> u64 {
        let mappings = self.cloud.mappings().await.expect("mappings");
        let urgent = mappings.iter().find(|mapping| {
            mapping["EventSourceArn"].as_str().is_some_and(|arn| arn.contains("UrgentQueue"))
        });
        let limit = &urgent.expect("the lane has a mapping")["ScalingConfig"]["MaximumConcurrency"];
        limit.as_u64().or_else(|| limit.as_str()?.parse().ok()).expect("a number")
    }
}

#[tokio::test]
async fn more_connections_than_there_are_refuse_the_deploy_with_the_arithmetic() {
    let mut shop = deployed().await;
    shop.sends(1).await;
    assert_eq!(shop.urgent_concurrency().await, 10);
    let refused = shop.update(&template(), &[("UrgentMaximumConcurrency", "11")]).await;
    let said = events(refused);
    assert!(
        said.contains("21 connections") && said.contains("UrgentMaximumConcurrency 11"),
        "10 + 5 + 2 + 2 + 1 is 20, and this is one more: {said}"
    );
    assert_eq!(shop.urgent_concurrency().await, 10);
    shop.sends(2).await;
    let fits = [("UrgentMaximumConcurrency", "11"), ("BulkMaximumConcurrency", "4")];
    shop.update(&template(), &fits).await.expect("the same sum in other parts");
    assert_eq!(shop.urgent_concurrency().await, 11);
    shop.sends(3).await;
}

#[tokio::test]
async fn a_deploy_that_fails_half_way_goes_back_and_the_old_version_sends() {
    let mut shop = deployed().await;
    // Functions first, and then something that cannot be.
    let broken = template().replace("LOG_LEVEL: !Ref LogLevel", "LOG_LEVEL: loud").replace(
        "\nOutputs:\n",
        "\n  Impossible:\n    Type: AWS::CloudFormation::Stack\n    DependsOn: [DispatchSqsFunctionAliaslive]\n    Properties:\n      \
         TemplateURL: infra/database.yaml\n\nOutputs:\n",
    );
    assert!(broken.contains("Impossible") && broken.contains("loud"));
    let said = events(shop.update(&broken, &[]).await);
    assert!(said.contains("DispatchSqsFunction: UPDATE_COMPLETE"), "it was under way: {said}");
    let variables = shop.cloud.variables("shop-dispatch-sqs").await.expect("variables");
    assert_eq!(variables["LOG_LEVEL"], "debug");
    shop.sends(1).await;
}

/// What the alias goes to is configured as a version was when it was published.
#[tokio::test]
async fn a_parameter_alone_reaches_what_takes_work() {
    let mut shop = deployed().await;
    let before = shop.cloud.variables_of("shop-dispatch-sqs", "live").await.expect("variables");
    assert_eq!(before["MAX_SEND_RATE"], "0");
    shop.update(&template(), &[("MaxSendRate", "7")]).await.expect("it deploys");
    let after = shop.cloud.variables_of("shop-dispatch-sqs", "live").await.expect("variables");
    assert_eq!(after["MAX_SEND_RATE"], "7");
    shop.sends(1).await;
}

/// While the database is away its functions' configuration may have to be changed, as the runbook says.
#[tokio::test]
async fn a_parameter_can_be_changed_while_the_database_is_away() {
    let mut shop = deployed().await;
    shop.server.stop().await.expect("it stops");
    // A quarter of which it waits for the database.
    let patience = ("MigrateTimeoutSeconds", "60");
    shop.update(&template(), &[("MaxAgeSeconds", "1209600"), patience]).await.expect("it deploys");
    let after = shop.cloud.variables_of("shop-sweep", "live").await.expect("variables");
    assert_eq!(after["MAX_AGE_S"], "1209600");
    shop.server.restart().await.expect("it is back");
    shop.sends(1).await;
}

/// What is not among the properties of `Schema` could be changed in vain.
#[test]
fn whatever_a_function_is_configured_by_publishes_a_version() {
    let template = template();
    let (_, parameters) = template.split_once("\nParameters:\n").expect("parameters");
    let (parameters, _) = parameters.split_once("\nRules:\n").expect("an end");
    let is_parameter =
        |line: &&str| line.starts_with("  ") && !line.starts_with("   ") && line.ends_with(':');
    let parameters: Vec<&str> =
        parameters.lines().filter(is_parameter).map(|line| line.trim().trim_end_matches(':')).collect();
    assert!(parameters.len() > 40, "{parameters:?}");
    let names = |block: &str, parameter: &str| {
        let mut words = block.split(|sign: char| !sign.is_ascii_alphanumeric());
        words.any(|word| word == parameter)
    };
    let block = |of: &str| {
        let (_, after) = template.split_once(of).unwrap_or_else(|| panic!("{of} is there"));
        after.split("\n\n").next().expect("a block").to_owned()
    };
    let given = block("\n      Configuration:\n");
    let globals = block("\nGlobals:\n");
    let is_taking_work = |block: &&str| block.contains("\n      AutoPublishAlias: live\n");
    let functions: Vec<&str> = template.split("\n\n").filter(is_taking_work).collect();
    assert_eq!(functions.len(), 5);
    for function in functions.into_iter().chain([globals.as_str()]) {
        // Whether there is a canary is CodeDeploy's, not the function's.
        for parameter in parameters.iter().filter(|name| **name != "CanaryDeployment") {
            // The mappings' own, which are no part of a version.
            let is_of_mapping = parameter.ends_with("MaximumConcurrency") || *parameter == "BatchSize";
            let properties = function.split("\n      Events:\n").next().expect("properties");
            if names(properties, parameter) && !is_of_mapping {
                assert!(names(&given, parameter), "{parameter} is not in Configuration: {function}");
            }
        }
        let has_both = function
            .contains("\n      VersionDescription: !Sub configuration ${Schema.Configuration}\n")
            && function.contains("\n          CONFIGURATION: !GetAtt Schema.Configuration\n");
        assert!(has_both || function == globals, "{function}");
    }
}
