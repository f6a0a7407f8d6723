//! Deploying `template.yaml` into ministack, and what a producer and an onlooker do there afterwards.
//!
//! `sam deploy` would do the same and takes minutes to install and seconds to run; this takes half a second. What it
//! does differently from AWS, or must because ministack does:
//!
//! - The code of each function is uploaded first and its `CodeUri: .`, which `sam build` would replace, is replaced by
//!   the address in S3. Nothing else of the template is touched.
//! - A function whose code ministack cannot find is created all the same and answers with a mock. So the code that each
//!   function has is compared with the code that was uploaded.
//! - `MaximumConcurrency` given as a parameter arrives as text, on which ministack's poller stumbles until it is set
//!   again as a number.

mod archive;
mod function;
mod queue;
mod template;
mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

pub use self::{
    archive::{Archive, ArchiveError},
    queue::Depth,
};
use self::{
    template::point_at_code,
    wire::{Answer, texts},
};
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
    /// The functions of the template are not those whose code there is.
    #[error("the template builds the binaries {found:?}, and there is code of {given:?}")]
    Template {
        /// The binaries behind its `CodeUri: .`, in order.
        found: Vec<String>,
        /// The binaries that were given.
        given: Vec<String>,
    },
    /// The function reported an error.
    #[error("function {function} failed: {answer}")]
    Failed {
        /// Its name.
        function: String,
        /// What it said.
        answer: String,
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
    /// The functions' code, each beside the binary's name. The template names the function for the stack and that.
    pub code: &'a [(&'a str, &'a Archive)],
}

/// The way to one ministack, whatever is asked.
#[derive(Debug, Clone)]
pub struct Cloud {
    port: u16,
}

impl Cloud {
    /// The way to this one.
    #[must_use]
    pub fn of(ministack: &Ministack) -> Self {
        Self { port: ministack.port() }
    }

    /// Creates the stack and waits until its functions are ready; returns the stack's outputs.
    ///
    /// # Errors
    ///
    /// [`DeployError`]; a stack that failed tells what became of each resource.
    pub async fn deploy(
        &self,
        application: &Application<'_>,
    ) -> Result<BTreeMap<String, String>, DeployError> {
        let binaries: Vec<&str> = application.code.iter().map(|(binary, _)| *binary).collect();
        let template = point_at_code(application.template, &format!("s3://{BUCKET}"), &binaries)?;
        self.put(&format!("/{BUCKET}"), Bytes::new()).await?;
        for (binary, code) in application.code {
            self.put(&format!("/{BUCKET}/{binary}.zip"), code.bytes()).await?;
        }
        self.create(application, &template).await?;
        let outputs = self.created(application.stack).await?;
        for (binary, code) in application.code {
            self.check_code(format!("{}-{binary}", application.stack), code).await?;
        }
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

    async fn check_code(&self, function: String, code: &Archive) -> Result<(), DeployError> {
        let found = self.get(&format!("/2015-03-31/functions/{function}")).await?.json()?;
        let found = found["Configuration"]["CodeSha256"].as_str().unwrap_or_default();
        let expected = code.sha256();
        if found == expected {
            return Ok(());
        }
        Err(DeployError::OtherCode { function, found: found.into(), expected: expected.into() })
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

    #[tokio::test]
    async fn a_template_that_is_wrong_says_why() {
        let ministack = Ministack::start(Options::default()).await.unwrap();
        let code = Archive::of_function(b"#!/bin/sh\n").unwrap();
        let template = "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Metadata:\n      BuildProperties:\n        \
             Binary: f\n    Properties:\n      CodeUri: .\n";
        let application = Application { stack: "s", template, parameters: &[], code: &[("f", &code)] };
        let error = Cloud::of(&ministack).deploy(&application).await.unwrap_err();
        assert!(matches!(error, DeployError::Refused { .. } | DeployError::Stack { .. }), "{error}");
        assert!(error.to_string().contains('F'), "{error}");
    }
}
