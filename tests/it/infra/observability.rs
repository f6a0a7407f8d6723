//! Which alarms there are, when they go off, whom they tell, and that the runbook knows each.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Region, file, text};

const TEMPLATE: &str = "infra/observability.yaml";

const LEAST: [(&str, &str); 7] = [
    ("Deployment", "shop"),
    ("DispatchSqsFunctionName", "shop-dispatch-sqs"),
    ("SweepFunctionName", "shop-sweep"),
    ("UrgentQueueName", "urgent"),
    ("UrgentDeadLetterQueueName", "urgent-dead"),
    ("BulkQueueName", "bulk"),
    ("BulkDeadLetterQueueName", "bulk-dead"),
];

const MORE: [(&str, &str); 10] = [
    ("FeedbackFunctionName", "shop-feedback"),
    ("FeedbackQueueName", "feedback"),
    ("FeedbackDeadLetterQueueName", "feedback-dead"),
    ("RelayRabbitmqFunctionName", "shop-relay-rabbitmq"),
    ("DispatchRabbitmqFunctionName", "shop-dispatch-rabbitmq"),
    ("RabbitmqDeadLetterQueueName", "rabbitmq-dead"),
    ("BrokerName", "shop-rabbitmq"),
    ("RabbitmqRelayQueue", "mail.relay"),
    ("RabbitmqDispatchQueue", "mail.dispatch"),
    ("AlarmAddress", "operators@shop.example"),
];

/// When an alarm goes off, in one line: of what, over how long, from when on, and what a missing value is taken for.
const ALWAYS: [(&str, &str); 12] = [
    ("oldest-due", "sendonce OldestDueSeconds Stack=shop Maximum 60s 5/5 >= 900 ignore"),
    ("unknown", "sendonce UnknownEmails Stack=shop Minimum 300s 4/4 > 0 ignore"),
    ("failed", "sendonce Failed Stack=shop Sum 900s 1/1 >= 10 notBreaching"),
    ("sweep-missing", "sendonce OldestDueSeconds Stack=shop SampleCount 60s 5/5 < 1 breaching"),
    (
        "urgent-dead-letters",
        "AWS/SQS ApproximateNumberOfMessagesVisible QueueName=urgent-dead Maximum 300s 1/1 > 0 ignore",
    ),
    (
        "bulk-dead-letters",
        "AWS/SQS ApproximateNumberOfMessagesVisible QueueName=bulk-dead Maximum 300s 1/1 > 0 ignore",
    ),
    ("bounce-rate", "AWS/SES Reputation.BounceRate  Maximum 3600s 1/1 >= 0.04 ignore"),
    ("complaint-rate", "AWS/SES Reputation.ComplaintRate  Maximum 3600s 1/1 >= 0.0008 ignore"),
    ("dispatch-sqs-errors", "AWS/Lambda Errors FunctionName=shop-dispatch-sqs Sum 300s 2/3 > 0 notBreaching"),
    (
        "dispatch-sqs-throttles",
        "AWS/Lambda Throttles FunctionName=shop-dispatch-sqs Sum 300s 2/3 > 0 notBreaching",
    ),
    ("sweep-errors", "AWS/Lambda Errors FunctionName=shop-sweep Sum 300s 2/3 > 0 notBreaching"),
    ("sweep-throttles", "AWS/Lambda Throttles FunctionName=shop-sweep Sum 300s 2/3 > 0 notBreaching"),
];

const WHERE_ASKED_FOR: [(&str, &str); 11] = [
    (
        "feedback-dead-letters",
        "AWS/SQS ApproximateNumberOfMessagesVisible QueueName=feedback-dead Maximum 300s 1/1 > 0 ignore",
    ),
    (
        "feedback-age",
        "AWS/SQS ApproximateAgeOfOldestMessage QueueName=feedback Maximum 300s 3/3 > 900 ignore",
    ),
    (
        "rabbitmq-dead-letters",
        "AWS/SQS ApproximateNumberOfMessagesVisible QueueName=rabbitmq-dead Maximum 300s 1/1 > 0 ignore",
    ),
    ("feedback-errors", "AWS/Lambda Errors FunctionName=shop-feedback Sum 300s 2/3 > 0 notBreaching"),
    ("feedback-throttles", "AWS/Lambda Throttles FunctionName=shop-feedback Sum 300s 2/3 > 0 notBreaching"),
    (
        "relay-rabbitmq-errors",
        "AWS/Lambda Errors FunctionName=shop-relay-rabbitmq Sum 300s 2/3 > 0 notBreaching",
    ),
    (
        "relay-rabbitmq-throttles",
        "AWS/Lambda Throttles FunctionName=shop-relay-rabbitmq Sum 300s 2/3 > 0 notBreaching",
    ),
    (
        "dispatch-rabbitmq-errors",
        "AWS/Lambda Errors FunctionName=shop-dispatch-rabbitmq Sum 300s 2/3 > 0 notBreaching",
    ),
    (
        "dispatch-rabbitmq-throttles",
        "AWS/Lambda Throttles FunctionName=shop-dispatch-rabbitmq Sum 300s 2/3 > 0 notBreaching",
    ),
    (
        "relay-rabbitmq-backlog",
        "AWS/AmazonMQ MessageReadyCount Broker=shop-rabbitmq,VirtualHost=/,Queue=mail.relay Minimum 300s 3/3 >= 100 missing",
    ),
    (
        "dispatch-rabbitmq-backlog",
        "AWS/AmazonMQ MessageReadyCount Broker=shop-rabbitmq,VirtualHost=/,Queue=mail.dispatch Minimum 300s 3/3 >= 100 missing",
    ),
];

async fn alarms(region: &Region) -> Vec<Value> {
    let question = json!({ "MaxRecords": 100 });
    let mut found = region.cloud.cloudwatch("DescribeAlarms", &question).await.expect("alarms");
    serde_json::from_value(found["MetricAlarms"].take()).expect("a list")
}

fn word<'a>(alarm: &'a Value, member: &str) -> &'a str {
    alarm[member].as_str().unwrap_or_default()
}

fn when(alarm: &Value) -> String {
    let dimensions = alarm["Dimensions"].as_array().into_iter().flatten();
    let dimensions = dimensions.map(|one| format!("{}={}", word(one, "Name"), word(one, "Value")));
    let comparison = match word(alarm, "ComparisonOperator") {
        "GreaterThanThreshold" => ">",
        "GreaterThanOrEqualToThreshold" => ">=",
        "LessThanThreshold" => "<",
        other => other,
    };
    let periods = &alarm["EvaluationPeriods"];
    let of_them = alarm.get("DatapointsToAlarm").unwrap_or(periods);
    format!(
        "{} {} {} {} {}s {of_them}/{periods} {comparison} {} {}",
        word(alarm, "Namespace"),
        word(alarm, "MetricName"),
        dimensions.collect::<Vec<_>>().join(","),
        word(alarm, "Statistic"),
        alarm["Period"],
        alarm["Threshold"].as_f64().expect("a number"),
        word(alarm, "TreatMissingData"),
    )
}

fn by_name(alarms: &[Value]) -> BTreeMap<String, String> {
    let named = alarms.iter().map(|alarm| (word(alarm, "AlarmName"), when(alarm)));
    named
        .map(|(name, when)| (name.strip_prefix("shop-").expect("the deployment's name").to_owned(), when))
        .collect()
}

fn expected(alarms: &[&[(&str, &str)]]) -> BTreeMap<String, String> {
    alarms.concat().into_iter().map(|(name, when)| (name.to_owned(), when.to_owned())).collect()
}

/// As GitHub makes them of headings that hold letters, digits, spaces and hyphens.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings = document.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-")).collect()
}

async fn dashboard(region: &Region) -> String {
    let found = region.cloud.cloudwatch("GetDashboard", &json!({ "DashboardName": "shop" })).await;
    word(&found.expect("a dashboard"), "DashboardBody").to_owned()
}

#[tokio::test]
async fn every_alarm_goes_off_when_it_should_and_the_runbook_knows_it() {
    let region = Region::new().await;
    let parameters = [&LEAST[..], &MORE[..]].concat();
    let outputs = region.deploy("alarms", &file(TEMPLATE), &parameters).await.expect("it deploys");
    let alarms = alarms(&region).await;
    assert_eq!(by_name(&alarms), expected(&[&ALWAYS, &WHERE_ASKED_FOR]));

    let known = anchors(&file("docs/RUNBOOK.md"));
    for alarm in &alarms {
        let (name, description) = (word(alarm, "AlarmName"), word(alarm, "AlarmDescription"));
        let (said, anchor) = description.split_once(" docs/RUNBOOK.md#").expect(name);
        assert!(known.contains(anchor), "the runbook has no #{anchor}, to which {name} leads");
        // So it is found by the name alone.
        assert!(name.ends_with(&format!("-{anchor}")), "{name} leads to #{anchor}");
        assert!(said.ends_with('.'), "{name}: {said}");
        for told in ["AlarmActions", "OKActions"] {
            assert_eq!(alarm[told], json!([outputs["TopicArn"]]), "{name}");
        }
    }
    let subscriptions = region.cloud.query("ListSubscriptions", &[]).await.expect("subscriptions");
    assert_eq!(text(&subscriptions, "Endpoint"), Some("operators@shop.example"));
    assert_eq!(text(&subscriptions, "TopicArn"), Some(outputs["TopicArn"].as_str()));

    let body = dashboard(&region).await;
    let parsed: Value = body.parse().expect("JSON");
    let shown: BTreeSet<&str> = parsed["widgets"][0]["properties"]["alarms"]
        .as_array()
        .expect("alarms")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(
        shown,
        alarms.iter().map(|alarm| word(alarm, "AlarmArn")).collect(),
        "all of them, and no other"
    );
    for (_, name) in LEAST.iter().chain(&MORE[..9]) {
        assert!(body.contains(&format!("\"{name}\"")), "the dashboard does not show {name}");
    }
    // CloudWatch draws an empty picture of a metric that nobody writes, and says nothing.
    for metric in [
        "Sent",
        "Failed",
        "Unknown",
        "Suppressed",
        "Retries",
        "RateWaits",
        "Orphaned",
        "ConnectMs",
        "ClaimMs",
        "SendMs",
        "RecordMs",
        "OldestDueSeconds",
        "UnknownEmails",
    ] {
        assert!(body.contains(&format!("\"{metric}\"")), "the dashboard does not show {metric}");
    }
}

#[tokio::test]
async fn what_a_deployment_does_not_have_is_not_looked_at() {
    let region = Region::new().await;
    let mut parameters = LEAST.to_vec();
    parameters.push(("OldestDueSeconds", "7200"));
    region.deploy("alarms", &file(TEMPLATE), &parameters).await.expect("it deploys");
    let mut always = expected(&[&ALWAYS]);
    for when in always.values_mut() {
        *when = when.replace(">= 900 ", ">= 7200 ");
    }
    assert_eq!(by_name(&alarms(&region).await), always);
    let subscriptions = region.cloud.query("ListSubscriptions", &[]).await.expect("subscriptions");
    assert_eq!(text(&subscriptions, "Endpoint"), None, "{subscriptions}");
    let body = dashboard(&region).await;
    body.parse::<Value>().expect("JSON");
    // The dimension of a metric may not be empty: CloudWatch would refuse the dashboard, and the stack with it.
    assert!(!body.contains("\"\""), "{body}");
    for absent in ["feedback", "rabbitmq", "AmazonMQ"] {
        assert!(!body.contains(absent), "{absent}: {body}");
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_the_reason() {
    let region = Region::new().await;
    for (parameter, value, said) in [
        ("Deployment", "shop alarms", "the name of a stack"),
        ("AlarmAddress", "operators", "an email address"),
        ("OldestDueSeconds", "60", "OldestDueSeconds"),
        ("FeedbackFunctionName", "shop-feedback", "needs FeedbackQueueName"),
    ] {
        let mut parameters = LEAST.to_vec();
        parameters.retain(|(name, _)| *name != parameter);
        parameters.push((parameter, value));
        let error =
            region.deploy("refused", &file(TEMPLATE), &parameters).await.expect_err(value).to_string();
        assert!(error.contains(said), "{parameter}={value}: {error}");
    }
}
