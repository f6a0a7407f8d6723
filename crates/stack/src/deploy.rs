//! Deploying `template.yaml` into ministack, and what a producer and an onlooker do there afterwards.
//!
//! `sam deploy` would do the same and takes minutes to install and seconds to run, and `cargo xtask deploy-local` does it;
//! this takes half a second. What it does differently from AWS, or must because ministack does:
//!
//! - The code of each function is uploaded first and its `CodeUri: .`, which `sam build` would replace, is replaced by
//!   the address in S3; so are nested templates and the folders of layers. Nothing else of the template is touched.
//! - A function whose code ministack cannot find is created all the same and answers with a mock. So the code that each
//!   function has is compared with the code that was uploaded. Which functions there are is the parameters' to decide: a
//!   function that a condition leaves out needs no code.
//! - `MaximumConcurrency` given as a parameter arrives as text, on which ministack's poller stumbles until it is set
//!   again as a number.

mod account;
mod archive;
mod function;
mod inventory;
mod queue;
mod secret;
mod template;
mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

pub use self::{
    archive::{Archive, ArchiveError},
    inventory::Resource,
    queue::Depth,
    template::point_at_code,
};
use self::{
    template::{Upload, point_at_uploads},
    wire::{Answer, texts},
};
use crate::{install::workspace, ministack::Ministack};

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
    /// What the template names in the repository is not there.
    #[error("the template names {what}, which cannot be read")]
    Unreadable {
        /// Its path.
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
    /// There is code of a binary that the template does not build, or it builds one twice.
    #[error("the template builds the binaries {found:?}, and there is code of {given:?}")]
    Template {
        /// The binaries behind its `CodeUri: .`, in order.
        found: Vec<String>,
        /// The binaries that were given.
        given: Vec<String>,
    },
    /// The functions of the stack are not those whose code there is.
    #[error("the stack has the functions {found:?}, and there is code of {given:?}")]
    Functions {
        /// The functions' names, without the stack's.
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
    /// The functions' code, each beside the binary's name, of all that these parameters ask for. The template names the
    /// function for the stack and that.
    pub code: &'a [(&'a str, &'a Archive)],
}

/// The way to one ministack, whatever is asked.
#[derive(Debug, Clone)]
pub struct Cloud {
    port: u16,
    region: String,
}

impl Cloud {
    /// The way to this one.
    #[must_use]
    pub fn of(ministack: &Ministack) -> Self {
        Self { port: ministack.port(), region: ministack.region().to_owned() }
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
        self.bring(application, "CreateStack").await
    }

    /// The same with a stack that exists. One that fails is as it was before.
    ///
    /// # Errors
    ///
    /// As [`Cloud::deploy`].
    pub async fn update(
        &self,
        application: &Application<'_>,
    ) -> Result<BTreeMap<String, String>, DeployError> {
        self.bring(application, "UpdateStack").await
    }

    async fn bring(
        &self,
        application: &Application<'_>,
        action: &str,
    ) -> Result<BTreeMap<String, String>, DeployError> {
        let binaries: Vec<&str> = application.code.iter().map(|(binary, _)| *binary).collect();
        let template = point_at_code(application.template, &format!("s3://{BUCKET}"), &binaries)?;
        match self.put(&format!("/{BUCKET}"), Bytes::new()).await {
            // The bucket of the stack before this one.
            Ok(_) | Err(DeployError::Refused { status: 409, .. }) => {}
            Err(error) => return Err(error),
        }
        for (binary, code) in application.code {
            self.put(&format!("/{BUCKET}/{binary}.zip"), code.bytes()).await?;
        }
        let template = self.upload(&template).await?;
        self.put_template(application, template, action).await?;
        let outputs = self.outputs(application.stack).await?;
        self.check_functions(application.stack, &binaries).await?;
        for (binary, code) in application.code {
            self.check_code(format!("{}-{binary}", application.stack), code).await?;
        }
        self.repair_mappings().await?;
        Ok(outputs)
    }

    /// Uploads what else of the repository the template names, and points it there.
    async fn upload(&self, template: &str) -> Result<String, DeployError> {
        let url = format!("http://127.0.0.1:{}/{BUCKET}", self.port);
        let (template, uploads) = point_at_uploads(template, &url, &format!("s3://{BUCKET}"));
        let unreadable = |path: &str| {
            let what = path.to_owned();
            move |source| DeployError::Unreadable { what, source }
        };
        for upload in uploads {
            match upload {
                Upload::Nested(path) => {
                    let text = std::fs::read(workspace().join(&path)).map_err(unreadable(&path))?;
                    self.put(&format!("/{BUCKET}/{path}"), text.into()).await?;
                }
                Upload::Layer(path) => {
                    let archive = Archive::of_folder(&workspace().join(&path));
                    let archive = archive.map_err(std::io::Error::other).map_err(unreadable(&path))?;
                    self.put(&format!("/{BUCKET}/{path}.zip"), archive.bytes()).await?;
                }
            }
        }
        Ok(template)
    }

    async fn put_template(
        &self,
        application: &Application<'_>,
        template: String,
        action: &str,
    ) -> Result<(), DeployError> {
        // As `sam deploy` does: within the request a template may have 50 KB, in S3 a megabyte.
        let place = format!("/{BUCKET}/{}.yaml", application.stack);
        self.put(&place, template.into()).await?;
        let template = format!("http://127.0.0.1:{}{place}", self.port);
        let mut form = vec![
            ("Action".to_owned(), action),
            ("StackName".to_owned(), application.stack),
            ("TemplateURL".to_owned(), &template),
            ("Capabilities.member.1".to_owned(), "CAPABILITY_IAM"),
            ("Capabilities.member.2".to_owned(), "CAPABILITY_AUTO_EXPAND"),
        ];
        for (index, (name, value)) in application.parameters.iter().enumerate() {
            let member = format!("Parameters.member.{}", index + 1);
            form.push((format!("{member}.ParameterKey"), name));
            form.push((format!("{member}.ParameterValue"), value));
        }
        self.form(&form).await.map(drop)
    }

    /// The outputs of a stack, as soon as it is created.
    ///
    /// # Errors
    ///
    /// [`DeployError`]; a stack that failed tells what became of each resource.
    pub async fn outputs(&self, stack: &str) -> Result<BTreeMap<String, String>, DeployError> {
        let begun = tokio::time::Instant::now();
        loop {
            let answer = self.about("DescribeStacks", stack).await?;
            let status = answer.text("StackStatus")?;
            let is_over = !status.ends_with("_IN_PROGRESS") || begun.elapsed() > CREATED_WITHIN;
            if status == "CREATE_COMPLETE" || status == "UPDATE_COMPLETE" {
                let body = answer.body();
                return Ok(texts(&body, "OutputKey").into_iter().zip(texts(&body, "OutputValue")).collect());
            }
            if is_over {
                let events = self.about("DescribeStackEvents", stack).await?.body();
                return Err(DeployError::Stack { status, events: stack_events(&events, stack) });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn about(&self, action: &str, stack: &str) -> Result<Answer, DeployError> {
        self.form(&[("Action".to_owned(), action), ("StackName".to_owned(), stack)]).await
    }

    async fn check_functions(&self, stack: &str, binaries: &[&str]) -> Result<(), DeployError> {
        let prefix = format!("{stack}-");
        let resources = self.resources(stack).await?.into_values();
        let functions = resources.filter(|resource| resource.kind == "AWS::Lambda::Function");
        let mut found: Vec<String> = functions
            .map(|function| function.id.strip_prefix(&prefix).unwrap_or(&function.id).to_owned())
            .collect();
        let mut given: Vec<String> = binaries.iter().map(|binary| (*binary).to_owned()).collect();
        found.sort_unstable();
        given.sort_unstable();
        if found == given { Ok(()) } else { Err(DeployError::Functions { found, given }) }
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

    /// Sets each mapping's `MaximumConcurrency` again that arrived as text. [`Cloud::deploy`] does it itself.
    ///
    /// # Errors
    ///
    /// [`DeployError`].
    pub async fn repair_mappings(&self) -> Result<(), DeployError> {
        for mapping in self.mappings().await? {
            let limit = &mapping["ScalingConfig"]["MaximumConcurrency"];
            let Some(limit) = limit.as_str().and_then(|limit| limit.parse::<u64>().ok()) else { continue };
            let id = mapping["UUID"].as_str().unwrap_or_default();
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

/// One line an event of the last deploy, and why; ministack tells the newest first.
fn stack_events(xml: &str, stack: &str) -> String {
    let field = |name| texts(xml, name);
    let (ids, states) = (field("LogicalResourceId"), field("ResourceStatus"));
    let mut lines: Vec<String> =
        ids.iter().zip(&states).map(|(id, state)| format!("  {id}: {state}")).collect();
    lines.reverse();
    let update = format!("  {stack}: UPDATE_IN_PROGRESS");
    if let Some(last) = lines.iter().rposition(|line| *line == update) {
        lines.drain(..last);
    }
    let reasons = field("ResourceStatusReason").into_iter().filter(|reason| !reason.is_empty());
    lines.extend(reasons.map(|reason| format!("  {reason}")));
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

    #[tokio::test]
    async fn what_would_answer_with_a_mock_is_noticed() {
        let ministack = Ministack::start(Options::default()).await.unwrap();
        let code = Archive::of_function(b"#!/bin/sh\n").unwrap();
        // Two functions, of which the second is there when the parameter says so.
        let function = |name: &str, more: &str| {
            format!(
                "  {name}:\n    Type: AWS::Serverless::Function\n{more}    Metadata:\n      BuildProperties:\n        \
                 Binary: {name}\n    Properties:\n      CodeUri: .\n      FunctionName: !Sub ${{AWS::StackName}}-{name}\n      \
                 Handler: bootstrap\n      Runtime: provided.al2023\n"
            )
        };
        let template = format!(
            "Transform: AWS::Serverless-2016-10-31\nParameters:\n  Both:\n    Type: String\nConditions:\n  Both: !Equals \
             [!Ref Both, \"yes\"]\nResources:\n{}{}",
            function("one", ""),
            function("two", "    Condition: Both\n")
        );
        let cloud = Cloud::of(&ministack);
        let both = [("one", &code), ("two", &code)];
        for (stack, answer, code, expected) in [
            ("a", "no", &both[..1], None),
            ("b", "yes", &both[..], None),
            ("c", "yes", &both[..1], Some("the stack has the functions [\"one\", \"two\"]")),
            ("d", "no", &both[..], Some("the stack has the functions [\"one\"]")),
        ] {
            let parameters = [("Both", answer)];
            let application = Application { stack, template: &template, parameters: &parameters, code };
            let said = cloud.deploy(&application).await.err().map(|error| error.to_string());
            let matches = match (&said, expected) {
                (Some(said), Some(expected)) => said.starts_with(expected),
                (said, expected) => said.is_none() && expected.is_none(),
            };
            assert!(matches, "{stack}: {said:?}");
        }
    }
}
