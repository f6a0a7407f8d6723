//! What a deployed stack consists of, as ministack tells it.
//!
//! What ministack does not act upon, such as a policy or an Amazon MQ mapping, can at least be looked at, with conditions
//! and references resolved. Two things it gets wrong: it forgets the queue of a mapping, and a condition that uses
//! `Fn::Join` is always true.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Cloud, DeployError, wire::texts};

/// A resource of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its type, such as `AWS::Lambda::Function`.
    pub kind: String,
    /// What `Ref` gives: the name, for most.
    pub id: String,
}

impl Cloud {
    /// The resources of a stack by their names in the template; those that a condition leaves out are not there.
    ///
    /// # Errors
    ///
    /// [`DeployError`].
    pub async fn resources(&self, stack: &str) -> Result<BTreeMap<String, Resource>, DeployError> {
        let body = self.about("DescribeStackResources", stack).await?.body();
        let field = |name| texts(&body, name);
        let kinds = field("ResourceType").into_iter().zip(field("PhysicalResourceId"));
        let resources = kinds.map(|(kind, id)| Resource { kind, id });
        Ok(field("LogicalResourceId").into_iter().zip(resources).collect())
    }

    /// Every event source mapping of Lambda.
    ///
    /// # Errors
    ///
    /// [`DeployError`].
    pub async fn mappings(&self) -> Result<Vec<Value>, DeployError> {
        let answer = self.get("/2015-03-31/event-source-mappings/").await?;
        match answer.json()?["EventSourceMappings"].take() {
            Value::Array(mappings) => Ok(mappings),
            _ => Err(answer.lacks("EventSourceMappings")),
        }
    }

    /// The statements of a role's own policies, and of those that are attached to it.
    ///
    /// # Errors
    ///
    /// [`DeployError`].
    pub async fn role_statements(&self, role: &str) -> Result<Vec<Value>, DeployError> {
        let names = self.query("ListRolePolicies", &[("RoleName", role)]).await?;
        let mut statements = Vec::new();
        for name in texts(&names, "member") {
            let policy = self.query("GetRolePolicy", &[("RoleName", role), ("PolicyName", &name)]).await?;
            statements.extend(statements_of(&policy, "PolicyDocument"));
        }
        let attached = self.query("ListAttachedRolePolicies", &[("RoleName", role)]).await?;
        for arn in texts(&attached, "PolicyArn") {
            statements.extend(self.policy_statements(&arn).await?);
        }
        Ok(statements)
    }

    /// The statements of a managed policy.
    ///
    /// # Errors
    ///
    /// [`DeployError`].
    pub async fn policy_statements(&self, arn: &str) -> Result<Vec<Value>, DeployError> {
        let version = self.query("GetPolicyVersion", &[("PolicyArn", arn), ("VersionId", "v1")]).await?;
        Ok(statements_of(&version, "Document"))
    }

    /// Any action of `CloudWatch`, `DescribeAlarms` for one, with its parameters, and the answer to it.
    ///
    /// # Errors
    ///
    /// [`DeployError::Unreachable`], [`DeployError::Refused`], or [`DeployError::Answer`] when it is not JSON.
    pub async fn cloudwatch(&self, action: &str, parameters: &Value) -> Result<Value, DeployError> {
        self.json(&format!("GraniteServiceVersion20100801.{action}"), parameters).await?.json()
    }

    /// Any action of a service that is asked with a form and answers in XML, `DescribeSubnets` for one, and its answer.
    ///
    /// # Errors
    ///
    /// [`DeployError::Unreachable`] or [`DeployError::Refused`].
    pub async fn query(&self, action: &str, parameters: &[(&str, &str)]) -> Result<String, DeployError> {
        let mut form = vec![("Action".to_owned(), action)];
        form.extend(parameters.iter().map(|(name, value)| ((*name).to_owned(), *value)));
        Ok(self.form(&form).await?.body())
    }
}

/// The statements of the document in an element of that name, percent-encoded as IAM gives them.
fn statements_of(xml: &str, element: &str) -> Vec<Value> {
    let document = texts(xml, element).into_iter().next().map(|text| decode(&text));
    let document = document.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_else(|| json!({}));
    match &document["Statement"] {
        Value::Array(statements) => statements.clone(),
        Value::Null => Vec::new(),
        only => vec![only.clone()],
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex =
            after.get(..2).filter(|_| first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{decode, json, statements_of};

    #[test]
    fn a_policy_is_read_as_iam_encodes_it() {
        assert_eq!(decode("%7B%22a%22%3A%22%C3%BC%25%22%7D 5% +"), "{\"a\":\"ü%\"} 5% +");
        let of = |document: &str| statements_of(&format!("<P><D>{document}</D></P>"), "D");
        assert_eq!(of("%7B%22Statement%22%3A%5B1%2C2%5D%7D"), [json!(1), json!(2)]);
        assert_eq!(of("%7B%22Statement%22%3A%7B%7D%7D"), [json!({})]);
        assert!(of("%7B%7D").is_empty() && of("nothing").is_empty());
    }
}
