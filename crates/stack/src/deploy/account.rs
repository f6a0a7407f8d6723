//! What there is in the account at all, whoever made it: to see what a deployment by other means left behind.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    Cloud, DeployError,
    wire::{self, texts},
};

/// What the older services list, as sort, action and the element that holds a name.
const LISTS: [(&str, &str, &str); 8] = [
    ("role", "ListRoles", "RoleName"),
    ("policy", "ListPolicies", "PolicyName"),
    ("alarm", "DescribeAlarms", "AlarmName"),
    ("topic", "ListTopics", "TopicArn"),
    ("network", "DescribeVpcs", "vpcId"),
    ("subnet", "DescribeSubnets", "subnetId"),
    ("endpoint", "DescribeVpcEndpoints", "vpcEndpointId"),
    ("security group", "DescribeSecurityGroups", "groupId"),
];

impl Cloud {
    /// Makes a bucket.
    ///
    /// # Errors
    ///
    /// [`DeployError`].
    pub async fn create_bucket(&self, name: &str) -> Result<(), DeployError> {
        self.put(&format!("/{name}"), Bytes::new()).await.map(drop)
    }

    /// Everything that a stack of sendonce is made of, each as its sort and its name, and what is in these buckets.
    ///
    /// # Errors
    ///
    /// [`DeployError`].
    pub async fn everything(&self, buckets: &[&str]) -> Result<BTreeSet<String>, DeployError> {
        let mut all = BTreeSet::new();
        let mut add = |sort: &str, names: Vec<String>| {
            all.extend(names.into_iter().map(|name| format!("{sort} {name}")));
        };
        let stacks = self.form(&[("Action".to_owned(), "DescribeStacks")]).await?.body();
        let is_there = |(name, status): (String, String)| (status != "DELETE_COMPLETE").then_some(name);
        let statuses = texts(&stacks, "StackStatus");
        add("stack", texts(&stacks, "StackName").into_iter().zip(statuses).filter_map(is_there).collect());
        for (sort, action, element) in LISTS {
            let list = self.form(&[("Action".to_owned(), action)]).await?.body();
            add(sort, texts(&list, element));
        }
        let caller = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/{}/scheduler/aws4_request, SignedHeaders=host, Signature=0",
            self.region
        );
        // ministack tells the scheduler from a bucket of that name by who is said to be called.
        let caller = [("authorization", caller.as_str())];
        let schedules = wire::ask(self.port, "GET", "/schedules", &caller, Bytes::new()).await?;
        add("schedule", names(&schedules.json()?["Schedules"], "Name"));
        let functions = self.get("/2015-03-31/functions/").await?.json()?;
        add("function", names(&functions["Functions"], "FunctionName"));
        add("mapping", names(&Value::Array(self.mappings().await?), "UUID"));
        let queues = self.sqs("ListQueues", &json!({})).await?;
        let urls = queues["QueueUrls"].as_array().into_iter().flatten().filter_map(Value::as_str);
        add("queue", urls.map(str::to_owned).collect());
        let groups = self.json("Logs_20140328.DescribeLogGroups", &json!({})).await?.json()?;
        add("log group", names(&groups["logGroups"], "logGroupName"));
        let rules = self.json("AWSEvents.ListRules", &json!({})).await?.json()?;
        add("rule", names(&rules["Rules"], "Name"));
        let layers = self.get("/2018-10-31/layers").await?.json()?;
        add("layer", names(&layers["Layers"], "LayerName"));
        let sets = self.get("/v2/email/configuration-sets").await?.json()?;
        let sets = sets["ConfigurationSets"].as_array().into_iter().flatten().filter_map(Value::as_str);
        add("configuration set", sets.map(str::to_owned).collect());
        for bucket in buckets {
            let objects = self.get(&format!("/{bucket}?list-type=2")).await?.body();
            add("object", texts(&objects, "Key"));
        }
        Ok(all)
    }
}

fn names(list: &Value, member: &str) -> Vec<String> {
    let names = list.as_array().into_iter().flatten().filter_map(|item| item[member].as_str());
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        deploy::{Application, Archive},
        ministack::{Ministack, Options},
    };

    const TEMPLATE: &str = "\
Transform: AWS::Serverless-2016-10-31
Resources:
  G:
    Type: AWS::Logs::LogGroup
    Properties: { LogGroupName: /aws/lambda/s-f }
  F:
    Type: AWS::Serverless::Function
    Metadata:
      BuildProperties:
        Binary: f
    Properties:
      FunctionName: s-f
      Runtime: provided.al2023
      Handler: bootstrap
      CodeUri: .
      Events:
        Q: { Type: SQS, Properties: { Queue: !GetAtt Q.Arn } }
        R: { Type: EventBridgeRule, Properties: { Pattern: { source: [shop] } } }
        S: { Type: ScheduleV2, Properties: { Name: s-s, ScheduleExpression: rate(1 hour) } }
  C:
    Type: AWS::SES::ConfigurationSet
    Properties: { Name: s-c }
  L:
    Type: AWS::Serverless::LayerVersion
    Properties:
      LayerName: s-l
      ContentUri: infra/rds-ca
  T:
    Type: AWS::SNS::Topic
  A:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: s-a
      Namespace: s
      MetricName: m
      ComparisonOperator: GreaterThanThreshold
      EvaluationPeriods: 1
      Period: 60
      Statistic: Sum
      Threshold: 1
  Q:
    Type: AWS::SQS::Queue
    Properties: { QueueName: s-q }
";

    /// What is not seen here would be said to be gone.
    #[tokio::test]
    async fn whatever_a_stack_makes_is_seen() {
        let ministack = Ministack::start(Options::default()).await.unwrap();
        let cloud = Cloud::of(&ministack);
        cloud.create_bucket("bucket").await.unwrap();
        let before = cloud.everything(&["bucket"]).await.unwrap();
        let code = Archive::of_function(b"#!/bin/sh\n").unwrap();
        let application =
            Application { stack: "s", template: TEMPLATE, parameters: &[], code: &[("f", &code)] };
        cloud.deploy(&application).await.unwrap();
        cloud.put("/bucket/key", Bytes::from_static(b"x")).await.unwrap();
        let after = cloud.everything(&["bucket"]).await.unwrap();
        let made: Vec<&String> = after.difference(&before).collect();
        for sort in [
            "stack s",
            "role ",
            "function s-f",
            "mapping ",
            "queue ",
            "log group /aws/lambda/s-f",
            "rule ",
            "schedule s-s",
            "topic ",
            "alarm s-a",
            "layer s-l",
            "configuration set s-c",
            "object key",
        ] {
            assert!(made.iter().any(|made| made.starts_with(sort)), "{sort}: {made:?}");
        }
    }
}
