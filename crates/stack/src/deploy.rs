//! Deploying `template.yaml` into ministack, and what a producer and an onlooker do there afterwards.
//!
//! `sam deploy` would do the same and takes minutes to install and seconds to run; this takes half a second. What it
//! does differently from AWS, or must because ministack does:
//!
//! - The code of a function is uploaded first and its `CodeUri: .`, which `sam build` would replace, is replaced by the
//!   address in S3. Nothing else of the template is touched.
//! - A function whose code ministack cannot find is created all the same and answers with a mock. So the code that the
//!   function has is compared with the code that was uploaded.
//! - `MaximumConcurrency` given as a parameter arrives as text, on which ministack's poller stumbles until it is set
//!   again as a number.

mod archive;
mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

pub use self::archive::{Archive, ArchiveError};
use self::wire::{Answer, texts};
use crate::ministack::Ministack;

const BUCKET: &str = "sendonce-code";

/// Creating a stack takes half a second.
const CREATED_WITHIN: Duration = Duration::from_mins(1);

/// Why something could not be deployed or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    /// ministack could not be reached, or did not answer in time.
    #[error("ministack did not answer {what}")]
    Unreachable {
        /// What was asked.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// ministack refused.
    #[error("ministack refused {what} with {status}: {answer}")]
    Refused {
        /// What was asked.
        what: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        answer: String,
    },
    /// ministack's answer is not of the shape that was asked for.
    #[error("ministack's answer to {what} has no {missing}")]
    Answer {
        /// What was asked.
        what: String,
        /// What is missing.
        missing: String,
    },
    /// The template has not exactly one function to deploy.
    #[error("the template has {found} lines `CodeUri: .`, and this deploys exactly one function")]
    Template {
        /// How many there are.
        found: usize,
    },
    /// The stack was not created.
    #[error("the stack ended as {status}:\n{events}")]
    Stack {
        /// Its status.
        status: String,
        /// What happened to each resource, oldest first.
        events: String,
    },
    /// The function exists, but not with the code that was uploaded.
    #[error("function {function} does not have the uploaded code (its hash is {found}, not {expected})")]
    OtherCode {
        /// Its name.
        function: String,
        /// The hash that ministack tells.
        found: String,
        /// The hash of what was uploaded.
        expected: String,
    },
}

/// What there is to deploy.
#[derive(Debug, Clone, Copy)]
pub struct Application<'a> {
    /// The stack's name.
    pub stack: &'a str,
    /// The template's text.
    pub template: &'a str,
    /// Its parameters.
    pub parameters: &'a [(&'a str, &'a str)],
    /// The one function's name, as the template makes it.
    pub function: &'a str,
    /// The one function's code.
    pub code: &'a Archive,
}

/// The way to one ministack, whatever is asked.
#[derive(Debug, Clone)]
pub struct Cloud {
    port: u16,
}

/// What is known of a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that wait to be received.
    pub visible: u64,
    /// Messages that somebody received and has not deleted.
    pub in_flight: u64,
    /// Messages whose delay is not over.
    pub delayed: u64,
}

impl Depth {
    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl Cloud {
    /// The way to this one.
    #[must_use]
    pub fn of(ministack: &Ministack) -> Self {
        Self { port: ministack.port() }
    }

    /// Creates the stack and waits until its function is ready; returns the stack's outputs.
    ///
    /// # Errors
    ///
    /// [`DeployError`]; a stack that failed tells what became of each resource.
    pub async fn deploy(
        &self,
        application: &Application<'_>,
    ) -> Result<BTreeMap<String, String>, DeployError> {
        let key = format!("{}.zip", application.function);
        let template = point_at_code(application.template, &format!("s3://{BUCKET}/{key}"))?;
        self.put(&format!("/{BUCKET}"), Bytes::new()).await?;
        self.put(&format!("/{BUCKET}/{key}"), application.code.bytes()).await?;
        self.create(application, &template).await?;
        let outputs = self.created(application.stack).await?;
        self.check_code(application).await?;
        self.repair_mappings().await?;
        Ok(outputs)
    }

    async fn create(&self, application: &Application<'_>, template: &str) -> Result<(), DeployError> {
        let mut form = vec![
            ("Action".to_owned(), "CreateStack"),
            ("StackName".to_owned(), application.stack),
            ("TemplateBody".to_owned(), template),
            ("Capabilities.member.1".to_owned(), "CAPABILITY_IAM"),
        ];
        for (index, (name, value)) in application.parameters.iter().enumerate() {
            let member = format!("Parameters.member.{}", index + 1);
            form.push((format!("{member}.ParameterKey"), name));
            form.push((format!("{member}.ParameterValue"), value));
        }
        self.form(&form).await.map(drop)
    }

    async fn created(&self, stack: &str) -> Result<BTreeMap<String, String>, DeployError> {
        let begun = tokio::time::Instant::now();
        loop {
            let answer = self.about("DescribeStacks", stack).await?;
            let status = answer.text("StackStatus")?;
            let is_over = status != "CREATE_IN_PROGRESS" || begun.elapsed() > CREATED_WITHIN;
            if status == "CREATE_COMPLETE" {
                let body = answer.body();
                return Ok(texts(&body, "OutputKey").into_iter().zip(texts(&body, "OutputValue")).collect());
            }
            if is_over {
                let events = self.about("DescribeStackEvents", stack).await?.body();
                return Err(DeployError::Stack { status, events: stack_events(&events) });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn about(&self, action: &str, stack: &str) -> Result<Answer, DeployError> {
        self.form(&[("Action".to_owned(), action), ("StackName".to_owned(), stack)]).await
    }

    async fn check_code(&self, application: &Application<'_>) -> Result<(), DeployError> {
        let path = format!("/2015-03-31/functions/{}", application.function);
        let found = self.get(&path).await?.json()?;
        let found = found["Configuration"]["CodeSha256"].as_str().unwrap_or_default();
        let expected = application.code.sha256();
        if found == expected {
            return Ok(());
        }
        Err(DeployError::OtherCode {
            function: application.function.into(),
            found: found.into(),
            expected: expected.into(),
        })
    }

    async fn repair_mappings(&self) -> Result<(), DeployError> {
        let answer = self.get("/2015-03-31/event-source-mappings/").await?;
        let found = answer.json()?;
        let Some(mappings) = found["EventSourceMappings"].as_array() else {
            return Err(answer.lacks("EventSourceMappings"));
        };
        for mapping in mappings {
            let limit = &mapping["ScalingConfig"]["MaximumConcurrency"];
            let limit = limit.as_u64().or_else(|| limit.as_str()?.parse().ok());
            let (Some(id), Some(limit)) = (mapping["UUID"].as_str(), limit) else {
                return Err(answer.lacks("UUID and MaximumConcurrency"));
            };
            let config = json!({ "ScalingConfig": { "MaximumConcurrency": limit } });
            self.put(&format!("/2015-03-31/event-source-mappings/{id}"), config.to_string().into()).await?;
        }
        Ok(())
    }

    /// Puts a message on a queue: rings a doorbell.
    ///
    /// # Errors
    ///
    /// [`DeployError::Unreachable`] or [`DeployError::Refused`].
    pub async fn send_message(&self, queue_url: &str, body: &str) -> Result<(), DeployError> {
        let message = json!({ "QueueUrl": queue_url, "MessageBody": body });
        self.json("AmazonSQS.SendMessage", &message).await.map(drop)
    }

    /// How many messages a queue holds.
    ///
    /// # Errors
    ///
    /// [`DeployError`]; [`DeployError::Answer`] when a count is missing.
    pub async fn depth(&self, queue_url: &str) -> Result<Depth, DeployError> {
        let question = json!({ "QueueUrl": queue_url, "AttributeNames": ["All"] });
        let answer = self.json("AmazonSQS.GetQueueAttributes", &question).await?;
        let found = answer.json()?;
        let count = |suffix: &str| {
            let name = format!("ApproximateNumberOfMessages{suffix}");
            let count = found["Attributes"][&name].as_str().and_then(|count| count.parse().ok());
            count.ok_or_else(|| answer.lacks(&name))
        };
        Ok(Depth { visible: count("")?, in_flight: count("NotVisible")?, delayed: count("Delayed")? })
    }

    /// Sets how long a message that was received stays invisible.
    ///
    /// # Errors
    ///
    /// [`DeployError::Unreachable`] or [`DeployError::Refused`].
    pub async fn set_visibility_timeout(&self, queue_url: &str, seconds: u32) -> Result<(), DeployError> {
        let change =
            json!({ "QueueUrl": queue_url, "Attributes": { "VisibilityTimeout": seconds.to_string() } });
        self.json("AmazonSQS.SetQueueAttributes", &change).await.map(drop)
    }

    /// The bodies of up to ten messages of a queue, which stay in it.
    ///
    /// # Errors
    ///
    /// [`DeployError`].
    pub async fn peek(&self, queue_url: &str) -> Result<Vec<String>, DeployError> {
        let question = json!({ "QueueUrl": queue_url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 0 });
        let found = self.json("AmazonSQS.ReceiveMessage", &question).await?.json()?;
        let bodies = found["Messages"].as_array().into_iter().flatten();
        Ok(bodies.filter_map(|message| message["Body"].as_str().map(str::to_owned)).collect())
    }

    /// What a function wrote, and what Lambda wrote around it, oldest first.
    ///
    /// # Errors
    ///
    /// [`DeployError`]. A function that never ran has no log, which is no error.
    pub async fn log(&self, function: &str) -> Result<Vec<String>, DeployError> {
        let question = json!({ "logGroupName": format!("/aws/lambda/{function}") });
        let answer = match self.json("Logs_20140328.FilterLogEvents", &question).await {
            Err(DeployError::Refused { answer, .. }) if answer.contains("ResourceNotFound") => {
                return Ok(Vec::new());
            }
            answered => answered?,
        };
        let found = answer.json()?;
        let lines = found["events"].as_array().into_iter().flatten();
        Ok(lines.filter_map(|event| event["message"].as_str().map(|line| line.trim().to_owned())).collect())
    }

    /// Any action of SQS, `CreateQueue` for one, with its parameters, and the answer to it.
    ///
    /// # Errors
    ///
    /// [`DeployError::Unreachable`], [`DeployError::Refused`], or [`DeployError::Answer`] when it is not JSON.
    pub async fn sqs(&self, action: &str, parameters: &Value) -> Result<Value, DeployError> {
        self.json(&format!("AmazonSQS.{action}"), parameters).await?.json()
    }

    async fn get(&self, path: &str) -> Result<Answer, DeployError> {
        wire::ask(self.port, "GET", path, &[], Bytes::new()).await
    }

    async fn put(&self, path: &str, body: Bytes) -> Result<Answer, DeployError> {
        wire::ask(self.port, "PUT", path, &[], body).await
    }

    async fn form(&self, fields: &[(String, &str)]) -> Result<Answer, DeployError> {
        let fields = fields.iter().map(|(name, value)| (name.as_str(), *value));
        let body = wire::form(fields.chain([("Version", "2010-05-15")]));
        wire::ask(self.port, "POST", "/", &[("content-type", "application/x-www-form-urlencoded")], body)
            .await
    }

    async fn json(&self, target: &str, body: &Value) -> Result<Answer, DeployError> {
        let kind = if target.starts_with("Logs") { "1.1" } else { "1.0" };
        let kind = format!("application/x-amz-json-{kind}");
        let headers = [("content-type", kind.as_str()), ("x-amz-target", target)];
        wire::ask(self.port, "POST", "/", &headers, body.to_string().into()).await
    }
}

/// Replaces the place of the source by that of the compiled code, as `sam build` and `sam package` do.
fn point_at_code(template: &str, address: &str) -> Result<String, DeployError> {
    const SOURCE: &str = "CodeUri: .";
    let found = template.lines().filter(|line| line.trim() == SOURCE).count();
    if found != 1 {
        return Err(DeployError::Template { found });
    }
    Ok(template.replacen(&format!("{SOURCE}\n"), &format!("CodeUri: {address}\n"), 1))
}

/// One line an event; ministack tells the newest first.
fn stack_events(xml: &str) -> String {
    let field = |name| texts(xml, name);
    let (ids, states) = (field("LogicalResourceId"), field("ResourceStatus"));
    let mut lines: Vec<String> =
        ids.iter().zip(&states).map(|(id, state)| format!("  {id}: {state}")).collect();
    lines.reverse();
    lines.extend(field("ResourceStatusReason").into_iter().map(|reason| format!("  {reason}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ministack::Options;

    #[test]
    fn the_template_is_changed_in_one_line() {
        let template = "a:\n  CodeUri: .\nb: CodeUri: .x\n";
        assert_eq!(point_at_code(template, "s3://b/k").unwrap(), "a:\n  CodeUri: s3://b/k\nb: CodeUri: .x\n");
        assert!(matches!(point_at_code("a:\n", "s3://b/k"), Err(DeployError::Template { found: 0 })));
    }

    #[tokio::test]
    async fn a_template_that_is_wrong_says_why() {
        let ministack = Ministack::start(Options::default()).await.unwrap();
        let code = Archive::of_function(b"#!/bin/sh\n").unwrap();
        let template =
            "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: .\n";
        let application = Application { stack: "s", template, parameters: &[], function: "f", code: &code };
        let error = Cloud::of(&ministack).deploy(&application).await.unwrap_err();
        assert!(matches!(error, DeployError::Refused { .. } | DeployError::Stack { .. }), "{error}");
        assert!(error.to_string().contains('F'), "{error}");
    }

    #[tokio::test]
    async fn a_message_is_counted_and_can_be_looked_at() {
        let ministack = Ministack::start(Options::default()).await.unwrap();
        let cloud = Cloud::of(&ministack);
        let created = cloud.json("AmazonSQS.CreateQueue", &json!({ "QueueName": "q" })).await.unwrap();
        let url = created.json().unwrap()["QueueUrl"].as_str().unwrap().to_owned();
        assert!(cloud.depth(&url).await.unwrap().is_empty());
        cloud.send_message(&url, "41 & <x>").await.unwrap();
        assert_eq!(cloud.peek(&url).await.unwrap(), ["41 & <x>"]);
        assert_eq!(cloud.depth(&url).await.unwrap(), Depth { visible: 1, ..Depth::default() });
        assert!(cloud.log("never-ran").await.unwrap().is_empty());
    }
}
