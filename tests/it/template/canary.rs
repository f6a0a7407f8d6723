//! What `CanaryDeployment=true` becomes. ministack knows no `CodeDeploy`, so this reads what SAM's own translator makes of it.

use std::collections::BTreeSet;

use serde_json::Value;
use stack::install;

use super::wiring::Region;

const FUNCTIONS: [&str; 5] = [
    "DispatchRabbitmqFunction",
    "DispatchSqsFunction",
    "FeedbackFunction",
    "RelayRabbitmqFunction",
    "SweepFunction",
];

fn of_kind<'a>(template: &'a Value, kind: &str) -> Vec<(&'a String, &'a Value)> {
    let resources = template["Resources"].as_object().expect("resources").iter();
    resources.filter(|(_, resource)| resource["Type"] == kind).collect()
}

#[test]
fn every_function_that_takes_work_moves_over_a_tenth_at_first_and_goes_back_on_an_alarm() {
    let tool = install::ministack().expect("the translator comes with it");
    let expanded = |canary: &str| -> Value {
        let output = install::in_workspace(&tool.python)
            .args(["infra/checks/expand.py", "template.yaml", &format!("CanaryDeployment={canary}")])
            .env("AWS_DEFAULT_REGION", "eu-west-1")
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let with = expanded("true");
    let groups = of_kind(&with, "AWS::CodeDeploy::DeploymentGroup");
    let names: BTreeSet<&str> =
        groups.iter().filter_map(|(name, _)| name.strip_suffix("DeploymentGroup")).collect();
    assert_eq!(names, FUNCTIONS.into());
    for (name, group) in &groups {
        let text = group.to_string();
        assert!(
            text.contains("CodeDeployDefault.Lambda") && text.contains("Canary10Percent5Minutes"),
            "{text}"
        );
        let properties = &group["Properties"];
        let alarms = &properties["AlarmConfiguration"];
        assert!(
            alarms["Enabled"] == true && alarms.to_string().contains("ErrorsWhileDeploying"),
            "{name}: {alarms}"
        );
        let events = properties["AutoRollbackConfiguration"].to_string();
        assert!(
            events.contains("DEPLOYMENT_FAILURE") && events.contains("DEPLOYMENT_STOP_ON_ALARM"),
            "{events}"
        );
        // A function that a condition leaves out has no group either.
        let function = name.strip_suffix("DeploymentGroup").expect("its name");
        assert_eq!(group["Condition"], with["Resources"][function]["Condition"], "{name}");
    }
    for (name, alias) in of_kind(&with, "AWS::Lambda::Alias") {
        assert!(alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"].is_object(), "{name}: {alias}");
    }
    let without = expanded("false");
    let left: Vec<_> = without["Resources"].as_object().expect("resources").values().collect();
    assert!(
        !left
            .iter()
            .any(|resource| resource["Type"].as_str().is_some_and(|kind| kind.contains("CodeDeploy")))
    );
    assert_eq!(of_kind(&without, "AWS::Lambda::Alias").len(), FUNCTIONS.len());
}

/// Whoever invokes goes by the alias: what invoked `$LATEST` would get new code all at once.
#[tokio::test]
async fn whatever_invokes_a_function_goes_by_its_alias() {
    let region = Region::new().await;
    region.deploy("shop", &[], &[]).await.expect("it deploys");
    let mappings = region.cloud.mappings().await.expect("mappings");
    assert_eq!(mappings.len(), 3);
    for mapping in mappings {
        assert!(mapping["FunctionArn"].as_str().is_some_and(|arn| arn.ends_with(":live")), "{mapping}");
    }
    let resources = region.cloud.resources("shop").await.expect("resources");
    let schedule = region.cloud.role_statements(&resources["SweepFunctionEveryMinuteRole"].id).await;
    let [statement] = schedule.expect("a role").try_into().expect("one statement");
    assert!(
        statement["Resource"].as_str().is_some_and(|arn| arn.ends_with(":shop-sweep:live")),
        "{statement}"
    );
}
