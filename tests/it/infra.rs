//! The stacks of `infra/` as far as ministack takes them: what they let through, whom they tell, and when.
//!
//! ministack neither filters packets nor evaluates alarms, so this looks at what it was told, with conditions and
//! references resolved.

mod broker;
mod database;
mod network;
mod observability;
mod rds_ca;

use std::{collections::BTreeMap, fs};

use stack::{
    deploy::{Application, Cloud, DeployError},
    install::workspace,
    ministack::{self, Ministack},
};

struct Region {
    cloud: Cloud,
    _ministack: Ministack,
}

impl Region {
    async fn new() -> Self {
        let options = ministack::Options::default().region("eu-west-1");
        let ministack = Ministack::start(options).await.expect("ministack starts");
        Self { cloud: Cloud::of(&ministack), _ministack: ministack }
    }

    async fn deploy(
        &self,
        stack: &str,
        template: &str,
        parameters: &[(&str, &str)],
    ) -> Result<BTreeMap<String, String>, DeployError> {
        self.cloud.deploy(&Application { stack, template, parameters, code: &[] }).await
    }

    /// The addresses of the resources of a stack by their names in the template.
    async fn ids(&self, stack: &str) -> BTreeMap<String, String> {
        let resources = self.cloud.resources(stack).await.expect("resources");
        resources.into_iter().map(|(name, resource)| (name, resource.id)).collect()
    }
}

fn file(name: &str) -> String {
    fs::read_to_string(workspace().join(name)).expect(name)
}

/// What stands in the first element of that name.
fn text<'a>(xml: &'a str, element: &str) -> Option<&'a str> {
    let (_, after) = xml.split_once(&format!("<{element}>"))?;
    Some(after.split_once('<')?.0.trim())
}
