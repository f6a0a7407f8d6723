//! What there is to know of a deployed function, and running it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Cloud, DeployError, wire};

impl Cloud {
    /// Runs a function and waits for its answer.
    ///
    /// # Errors
    ///
    /// [`DeployError`]; [`DeployError::Failed`] when the function did.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Value, DeployError> {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let answer = wire::ask(self.port, "POST", &path, &[], event.to_string().into()).await?;
        let said = answer.json()?;
        // As Lambda reports it; the header that says so too is not looked at here.
        if said.get("errorType").or_else(|| said.get("errorMessage")).is_some() {
            return Err(DeployError::Failed { function: function.into(), answer: said.to_string() });
        }
        Ok(said)
    }

    /// The variables that the template gives a function.
    ///
    /// # Errors
    ///
    /// [`DeployError`].
    pub async fn variables(&self, function: &str) -> Result<BTreeMap<String, String>, DeployError> {
        self.variables_of(function, "$LATEST").await
    }

    /// Those of a version or an alias of it.
    ///
    /// # Errors
    ///
    /// [`DeployError`].
    pub async fn variables_of(
        &self,
        function: &str,
        qualifier: &str,
    ) -> Result<BTreeMap<String, String>, DeployError> {
        let path = format!("/2015-03-31/functions/{function}/configuration?Qualifier={qualifier}");
        let answer = self.get(&path).await?;
        let found = answer.json()?;
        let Some(variables) = found["Environment"]["Variables"].as_object() else {
            return Err(answer.lacks("Environment"));
        };
        let texts =
            variables.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        Ok(texts.collect())
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
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        deploy::{Application, Archive, Cloud, DeployError},
        ministack::{Ministack, Options},
    };

    /// A function, and a queue that a rule fills.
    const TEMPLATE: &str = "\
Transform: AWS::Serverless-2016-10-31
Resources:
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
      Environment:
        Variables:
          GREETING: hello
  Q:
    Type: AWS::SQS::Queue
  R:
    Type: AWS::Events::Rule
    Properties:
      EventPattern: { source: [aws.ses] }
      Targets: [{ Id: Q, Arn: !GetAtt Q.Arn }]
Outputs:
  Q:
    Value: !Ref Q
";

    #[tokio::test]
    async fn a_function_is_run_and_a_rule_delivers_what_calls_itself_an_event_of_aws() {
        let ministack = Ministack::start(Options::default()).await.unwrap();
        let cloud = Cloud::of(&ministack);
        // The function of the Runtime API's tests, but here headers are capitalized.
        let function = include_str!("../runtime_api/function.sh");
        let function = function.replacen('\n', "\nshopt -s nocasematch\n", 1);
        let code = Archive::of_function(function.as_bytes()).unwrap();
        let application =
            Application { stack: "s", template: TEMPLATE, parameters: &[], code: &[("f", &code)] };
        let outputs = cloud.deploy(&application).await.unwrap();
        assert_eq!(cloud.variables("s-f").await.unwrap()["GREETING"], "hello");
        let said = cloud.invoke("s-f", &json!("variables")).await.unwrap();
        assert!(said.as_str().is_some_and(|said| said.starts_with("hello ")), "{said}");
        let failed = cloud.invoke("s-f", &json!("fail")).await;
        assert!(
            matches!(&failed, Err(DeployError::Failed { answer, .. }) if answer.contains("no luck")),
            "{failed:?}"
        );
        let nobody = cloud.invoke("s-g", &json!({})).await;
        assert!(matches!(nobody, Err(DeployError::Refused { status: 404, .. })), "{nobody:?}");

        let event = json!({ "Source": "aws.ses", "DetailType": "Email Sent", "Detail": r#"{"of": 41}"# });
        let put = cloud.json("AWSEvents.PutEvents", &json!({ "Entries": [event] })).await.unwrap();
        assert_eq!(put.json().unwrap()["FailedEntryCount"], 0);
        let bodies = cloud.peek(&outputs["Q"]).await.unwrap();
        assert!(matches!(bodies.as_slice(), [body] if body.contains(r#"{"of": 41}"#)), "{bodies:?}");
    }
}
