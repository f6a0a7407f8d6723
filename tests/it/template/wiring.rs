//! Who exists, who invokes whom and who may do what, for each kind of broker. The code is a stub: nothing runs.
//!
//! ministack neither polls a broker nor asks for permissions, so this looks at what it was told: the policies with
//! everything in them resolved, and the mappings.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use stack::{
    deploy::{Application, Archive, Cloud, DeployError},
    install::workspace,
    ministack::{self, ACCOUNT, Ministack},
};

pub(super) const BROKER: &str =
    "arn:aws:mq:eu-west-1:000000000000:broker:mail-broker:b-1d2c3b4a-0000-4000-8000-0000000000aa";
pub(super) const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:mail-broker-AbCdEf";
const RELAY: (&str, &str) = ("RabbitmqRelayQueue", "mail.relay");
const DISPATCH: (&str, &str) = ("RabbitmqDispatchQueue", "mail.dispatch");
const AMAZON_MQ: [(&str, &str); 2] = [("RabbitmqBroker", BROKER), ("RabbitmqSecretArn", SECRET)];
pub(super) const NOT_GIVEN: &str = "(not given)";
const SELF_HOSTED: [(&str, &str); 1] = [("RabbitmqBroker", "self-hosted")];

/// What a mapping to a broker needs besides the broker and its secret.
const INTERFACES_OF_THE_MAPPING: [&str; 6] = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeVpcs",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeSubnets",
    "ec2:DescribeSecurityGroups",
];

pub(super) struct Region {
    pub(super) cloud: Cloud,
    /// What is done to the template before it is deployed.
    change: fn(&str) -> String,
    _ministack: Ministack,
}

impl Region {
    pub(super) async fn new() -> Self {
        let ministack = Ministack::start(ministack::Options::default().region("eu-west-1")).await;
        let ministack = ministack.expect("ministack starts");
        Self { cloud: Cloud::of(&ministack), change: str::to_owned, _ministack: ministack }
    }

    /// The same, which deploys the template with a change.
    pub(super) fn changing(self, change: fn(&str) -> String) -> Self {
        Self { change, ..self }
    }

    /// A stack with the functions of every deployment, these besides, and these parameters.
    pub(super) async fn deploy(
        &self,
        stack: &str,
        functions: &[&str],
        parameters: &[&[(&str, &str)]],
    ) -> Result<Stack<'_>, DeployError> {
        let stub = Archive::of_function(b"#!/bin/sh\n").expect("it fits");
        let code: Vec<_> = ["dispatch-sqs", "sweep", "feedback", "migrate"]
            .iter()
            .chain(functions)
            .map(|name| (*name, &stub))
            .collect();
        let identity = format!("arn:aws:ses:eu-west-1:{ACCOUNT}:identity/shop.example");
        let mut all = vec![
            ("Database", "url"),
            ("DatabaseUrl", "mysql://mail@db.internal/shop"),
            ("MigrateSchema", "no"),
            ("SesIdentityArns", &identity),
        ];
        // A parameter of no value is one that is not given.
        let given: Vec<_> = parameters.iter().flat_map(|some| some.iter().copied()).collect();
        all.retain(|(name, _)| given.iter().all(|(other, _)| other != name));
        all.extend(given.into_iter().filter(|(_, value)| *value != NOT_GIVEN));
        let template = without_schema(&(self.change)(&template()));
        let application = Application { stack, template: &template, parameters: &all, code: &code };
        let outputs = self.cloud.deploy(&application).await?;
        Ok(Stack { cloud: &self.cloud, name: stack.to_owned(), outputs })
    }

    /// What is said about parameters that cannot be.
    pub(super) async fn refusal(&self, parameters: &[&[(&str, &str)]]) -> String {
        match self.deploy("refused", &[], parameters).await {
            Err(DeployError::Refused { answer, .. }) => answer,
            Err(error) => panic!("{parameters:?}: {error}"),
            Ok(_) => panic!("{parameters:?} should have been refused"),
        }
    }
}

pub(super) struct Stack<'a> {
    cloud: &'a Cloud,
    name: String,
    pub(super) outputs: BTreeMap<String, String>,
}

impl Stack<'_> {
    /// What there is for RabbitMQ, by the names in the template; each function has a version and an alias besides.
    async fn for_rabbitmq(&self) -> BTreeSet<String> {
        let resources = self.cloud.resources(&self.name).await.expect("resources").into_iter();
        let is_written = |kind: &str| kind != "AWS::Lambda::Version" && kind != "AWS::Lambda::Alias";
        let written = resources.filter(|(_, resource)| is_written(&resource.kind)).map(|(name, _)| name);
        written.filter(|name| name.contains("Rabbitmq")).collect()
    }

    /// Every mapping of its functions to a broker: function, broker, batch size.
    async fn mappings(&self) -> BTreeSet<(String, String, u64)> {
        let prefix = format!("{}-", self.name);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = self.cloud.mappings().await.expect("mappings").into_iter();
        let mine = all.filter_map(|mapping| {
            let function = text(&mapping["FunctionArn"]);
            let function = function.strip_suffix(":live")?.rsplit(':').next()?.strip_prefix(&prefix)?;
            let size = mapping["BatchSize"].as_u64().unwrap_or_default();
            Some((function.to_owned(), text(&mapping["EventSourceArn"]), size))
        });
        mine.filter(|(_, source, _)| !source.contains(":sqs:")).collect()
    }

    /// What a role may do: `effect action resource`, queues and log groups by their names in the template.
    pub(super) async fn grants(&self, role: &str) -> BTreeSet<String> {
        let resources = self.cloud.resources(&self.name).await.expect("resources");
        let statements = self.cloud.role_statements(&resources[role].id).await.expect("a role");
        let name_of = |arn: &str| {
            let same = |id: &str| {
                let name = id.rsplit('/').next().unwrap_or_default();
                arn.ends_with(&format!(":{name}")) || arn.contains(&format!(":log-group:{id}"))
            };
            let known = resources
                .iter()
                .find(|(_, resource)| resource.kind != "AWS::IAM::Role" && same(&resource.id));
            known.map_or_else(|| arn.to_owned(), |(name, _)| name.clone())
        };
        let mut grants = BTreeSet::new();
        for statement in &statements {
            let who = statement["Condition"]["ArnLike"]["lambda:SourceFunctionArn"].as_str();
            let who = who
                .and_then(|arn| arn.rsplit(':').next())
                .map_or_else(String::new, |name| format!(" {name}"));
            for action in list(&statement["Action"]) {
                for resource in list(&statement["Resource"]) {
                    let effect = statement["Effect"].as_str().expect("an effect");
                    grants.insert(format!("{effect}{who} {action} {}", name_of(&resource)));
                }
            }
        }
        grants
    }
}

/// `Schema` is made by code, and here is none; it is left out, and so is what it answers.
fn without_schema(template: &str) -> String {
    let (before, after) = template.split_once("\n  Schema:\n").expect("it is there");
    let (_, after) = after.split_once("\n\n").expect("an end");
    let template = format!("{before}\n\n{after}").replace("!GetAtt Schema.Version", "by-hand");
    let template = template.replace("!GetAtt Schema.Configuration", "of-a-stub");
    template.replace("${Schema.Configuration}", "of a stub")
}

pub(super) fn template() -> String {
    std::fs::read_to_string(workspace().join("template.yaml")).expect("the template")
}

fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().flat_map(list).collect(),
        Value::String(text) => vec![text.clone()],
        other => panic!("neither a text nor a list: {other}"),
    }
}

pub(super) fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// These, and what the mapping may do and no code of this stack.
fn with_actions_of_the_mapping(mut grants: BTreeSet<String>, stack: &str) -> BTreeSet<String> {
    let bound = [("mq:DescribeBroker", BROKER), ("secretsmanager:GetSecretValue", SECRET)];
    let unbound = INTERFACES_OF_THE_MAPPING.map(|action| (action, "*"));
    for (action, resource) in bound.into_iter().chain(unbound) {
        grants.insert(format!("Allow {action} {resource}"));
    }
    grants.insert(format!("Deny {stack}-* mq:DescribeBroker *"));
    grants.insert(format!("Deny {stack}-* ec2:* *"));
    grants.insert(format!("Deny {stack}-* secretsmanager:GetSecretValue {SECRET}"));
    grants
}

#[tokio::test]
async fn what_a_broker_asks_for_exists_and_nothing_else() {
    let region = Region::new().await;
    let without = region.deploy("without", &[], &[]).await.expect("it deploys");
    assert_eq!(without.for_rabbitmq().await, names(&[]));
    assert_eq!(without.mappings().await, [].into());
    let told: Vec<&String> = without.outputs.keys().filter(|name| name.contains("Rabbitmq")).collect();
    assert!(told.is_empty(), "{told:?}");

    let of_relay = ["RelayRabbitmqFunction", "RelayRabbitmqLogGroup", "RelayRabbitmqRole"];
    let of_dispatch = ["DispatchRabbitmqFunction", "DispatchRabbitmqLogGroup", "DispatchRabbitmqRole"];
    for (stack, functions, parameters, expected) in [
        ("relay", &["relay-rabbitmq"][..], &[RELAY][..], names(&of_relay)),
        ("dispatch", &["dispatch-rabbitmq"], &[DISPATCH], names(&of_dispatch)),
        (
            "both",
            &["relay-rabbitmq", "dispatch-rabbitmq"],
            &[RELAY, DISPATCH],
            &names(&of_relay) | &names(&of_dispatch),
        ),
    ] {
        let names_of = |suffix| {
            expected
                .iter()
                .filter_map(move |name| Some(format!("{}{suffix}", name.strip_suffix("Function")?)))
        };
        let shared = &expected | &names(&["RabbitmqDeadLetterQueue"]);

        let mapped = region.deploy(stack, functions, &[&AMAZON_MQ, parameters]).await.expect("it deploys");
        assert_eq!(mapped.for_rabbitmq().await, &shared | &names_of("Mapping").collect(), "{stack}");
        let mappings =
            functions.iter().map(|function| ((*function).to_owned(), BROKER.to_owned(), 100)).collect();
        assert_eq!(mapped.mappings().await, mappings, "{stack}");
        assert!(!mapped.outputs.contains_key("RabbitmqBridgePolicyArn"), "{stack}");

        let own = format!("own-{stack}");
        let bridged = region.deploy(&own, functions, &[&SELF_HOSTED, parameters]).await.expect("it deploys");
        assert_eq!(bridged.for_rabbitmq().await, &shared | &names(&["RabbitmqBridgePolicy"]), "{own}");
        assert_eq!(bridged.mappings().await, [].into(), "{own}");
        let policy = region.cloud.policy_statements(&bridged.outputs["RabbitmqBridgePolicyArn"]).await;
        let arns: Vec<String> = functions
            .iter()
            .map(|function| format!("arn:aws:lambda:eu-west-1:{ACCOUNT}:function:{own}-{function}:live"))
            .collect();
        let [statement] = policy.expect("a policy").try_into().expect("one statement");
        assert_eq!(
            (&statement["Effect"], &statement["Action"], list(&statement["Resource"])),
            (&json!("Allow"), &json!("lambda:InvokeFunction"), arns),
            "{own}"
        );
        for function in functions {
            let suffix = format!(":{own}-{function}:live");
            let output = names_of("FunctionArn").find(|name| bridged.outputs[name].ends_with(&suffix));
            assert!(output.is_some(), "{own} {function}: {:?}", bridged.outputs);
        }
    }
}

#[tokio::test]
async fn a_mapping_is_told_its_queue_its_secret_and_its_batch_size_and_dead_letters_keep() {
    let region = Region::new().await;
    let sizes = [("RabbitmqRelayBatchSize", "10000"), ("RabbitmqDispatchBatchSize", "7")];
    let both = ["relay-rabbitmq", "dispatch-rabbitmq"];
    let shop =
        region.deploy("shop", &both, &[&AMAZON_MQ, &[RELAY, DISPATCH], &sizes]).await.expect("it deploys");
    let mappings = [("relay-rabbitmq", 10_000), ("dispatch-rabbitmq", 7)];
    let mappings = mappings.map(|(function, size)| (function.to_owned(), BROKER.to_owned(), size)).into();
    assert_eq!(shop.mappings().await, mappings);
    // Somebody has to have the time to look at them.
    let queue = &shop.outputs["RabbitmqDeadLetterQueueUrl"];
    let question = json!({ "QueueUrl": queue, "AttributeNames": ["MessageRetentionPeriod"] });
    let answer = region.cloud.sqs("GetQueueAttributes", &question).await.expect("the queue answers");
    assert_eq!(answer["Attributes"]["MessageRetentionPeriod"], json!((14 * 24 * 3600).to_string()));

    // ministack forgets the queue of a mapping and how to sign in.
    let template = template();
    for (mapping, queue) in [("RelayRabbitmqMapping", RELAY.0), ("DispatchRabbitmqMapping", DISPATCH.0)] {
        let (_, after) = template.split_once(&format!("\n  {mapping}:\n")).expect("a mapping");
        let (block, _) = after.split_once("\n\n").expect("an end");
        assert!(block.contains(&format!("\n      Queues: [!Ref {queue}]  #")), "{block}");
        let access = "\n      SourceAccessConfigurations:\n\
                      \x20       - Type: BASIC_AUTH\n          URI: !If [MakesBroker, !GetAtt BrokerStack.Outputs.SecretArn, !Ref \
                      RabbitmqSecretArn]\n\
                      \x20       - Type: VIRTUAL_HOST\n          URI: !Ref RabbitmqVirtualHost\n";
        assert!(block.contains(access), "{block}");
    }
}

#[tokio::test]
async fn each_role_grants_what_its_function_does_and_no_more() {
    let region = Region::new().await;
    let both = ["relay-rabbitmq", "dispatch-rabbitmq"];
    for (stack, broker, more, set) in [
        ("bare", &SELF_HOSTED[..], &[][..], "configuration-set/bare"),
        ("events", &SELF_HOSTED, &[("ConfigurationSet", "events")], "configuration-set/events"),
        ("mapped", &AMAZON_MQ, &[], "configuration-set/mapped"),
    ] {
        let shop =
            region.deploy(stack, &both, &[broker, &[RELAY, DISPATCH], more]).await.expect("it deploys");
        let relay = names(&[
            "Allow sqs:SendMessage UrgentQueue",
            "Allow sqs:SendMessage BulkQueue",
            "Allow sqs:SendMessage RabbitmqDeadLetterQueue",
            "Allow logs:CreateLogStream RelayRabbitmqLogGroup",
            "Allow logs:PutLogEvents RelayRabbitmqLogGroup",
        ]);
        // What dispatch-sqs may do, but for its queues, and the dead letters.
        let renamed = |grant: String| {
            grant.replace("dispatch-sqs", "dispatch-rabbitmq").replace("DispatchSqs", "DispatchRabbitmq")
        };
        let mut dispatch: BTreeSet<String> =
            shop.grants("DispatchSqsRole").await.into_iter().map(renamed).collect();
        dispatch.retain(|grant| !grant.contains(" sqs:") || grant.contains(" sqs:SendMessage "));
        dispatch.insert("Allow sqs:SendMessage RabbitmqDeadLetterQueue".to_owned());
        let sends: Vec<&String> = dispatch.iter().filter(|grant| grant.contains(" ses:SendEmail ")).collect();
        assert!(
            matches!(sends.as_slice(), [on_set, on_identity] if on_set.ends_with(set) && on_identity.ends_with("identity/shop.example")),
            "{sends:#?}"
        );

        let (relay, dispatch) = if broker == AMAZON_MQ {
            (with_actions_of_the_mapping(relay, stack), with_actions_of_the_mapping(dispatch, stack))
        } else {
            (relay, dispatch)
        };
        assert_eq!(shop.grants("RelayRabbitmqRole").await, relay, "{stack}");
        assert_eq!(shop.grants("DispatchRabbitmqRole").await, dispatch, "{stack}");
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_the_reason() {
    let region = Region::new().await;
    let broker = ("RabbitmqBroker", BROKER);
    let secret = ("RabbitmqSecretArn", SECRET);
    let both_the_same = [RELAY, ("RabbitmqDispatchQueue", RELAY.1)];
    for (parameters, said) in [
        (&[broker, secret][..], "needs a queue to listen to"),
        (&SELF_HOSTED, "needs a queue to listen to"),
        (&[RELAY], "need RabbitmqBroker"),
        (&[DISPATCH], "need RabbitmqBroker"),
        (&[broker, RELAY], "needs RabbitmqSecretArn"),
        (&[SELF_HOSTED[0], RELAY, secret], "sendonce-bridge never reads it"),
        (&[secret], "sendonce-bridge never reads it"),
        (&[broker, secret, both_the_same[0], both_the_same[1]], "must differ"),
        (&[SELF_HOSTED[0], both_the_same[0], both_the_same[1]], "must differ"),
        (&[("RabbitmqBroker", "amqps://mail.example"), RELAY], "self-hosted, or an ARN"),
        (
            &[("RabbitmqBroker", "arn:aws:sqs:eu-west-1:000000000000:mail"), secret, RELAY],
            "self-hosted, or an ARN",
        ),
        (&[broker, ("RabbitmqSecretArn", "mail-broker"), RELAY], "must be empty or the ARN of a secret"),
        (&[broker, secret, ("RabbitmqRelayQueue", "mail.relay,mail.bulk")], "the name of one queue"),
        (&[broker, secret, ("RabbitmqDispatchQueue", "mail relay")], "the name of one queue"),
        (&[broker, secret, RELAY, ("RabbitmqVirtualHost", "")], "must be a virtual host"),
        (&[broker, secret, RELAY, ("RabbitmqRelayBatchSize", "10001")], "RabbitmqRelayBatchSize"),
        (&[broker, secret, RELAY, ("RabbitmqDispatchBatchSize", "0")], "RabbitmqDispatchBatchSize"),
    ] {
        let answer = region.refusal(&[parameters]).await;
        assert!(answer.contains(said), "{parameters:?}: {answer}");
    }
}

/// Ringing again is a circle by design, and Lambda stops what looks like one.
#[test]
fn who_rings_the_queue_that_rings_it_may() {
    let template = template();
    let allowed = |block: &&str| block.contains("\n      RecursiveLoop: Allow\n");
    let functions: Vec<&str> = template.split("\n\n").filter(allowed).collect();
    assert_eq!(functions.len(), 1);
    assert!(functions[0].contains("\n  DispatchSqsFunction:\n"), "{}", functions[0]);
}
