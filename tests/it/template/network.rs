//! Which functions are in a VPC, and what that permits them.

use std::collections::BTreeSet;

use super::wiring::{Region, names, template};

const BRIDGED: [(&str, &str); 3] =
    [("RabbitmqBroker", "self-hosted"), ("RabbitmqRelayQueue", "relay"), ("RabbitmqDispatchQueue", "mail")];
const MORE: [&str; 2] = ["relay-rabbitmq", "dispatch-rabbitmq"];
const IN_VPC: [(&str, &str); 4] = [
    ("dispatch-sqs", "DispatchSqsRole"),
    ("dispatch-rabbitmq", "DispatchRabbitmqRole"),
    ("sweep", "SweepRole"),
    ("feedback", "FeedbackRole"),
];

fn of_network(grants: BTreeSet<String>) -> BTreeSet<String> {
    grants.into_iter().filter(|grant| grant.contains("ec2:")).collect()
}

#[tokio::test]
async fn what_has_a_database_is_in_the_vpc_and_its_code_cannot_touch_it() {
    let region = Region::new().await;
    let attached = names(&[
        "Allow ec2:CreateNetworkInterface *",
        "Allow ec2:DescribeNetworkInterfaces *",
        "Allow ec2:DescribeSubnets *",
        "Allow ec2:DeleteNetworkInterface *",
        "Allow ec2:AssignPrivateIpAddresses *",
        "Allow ec2:UnassignPrivateIpAddresses *",
    ]);
    let none = region.deploy("none", &MORE, &[&BRIDGED]).await.expect("it deploys");
    let yours = [("Network", "yours"), ("SubnetIds", "subnet-0a,subnet-0b"), ("SecurityGroupIds", "sg-0c")];
    let yours = region.deploy("yours", &MORE, &[&BRIDGED, &yours]).await.expect("it deploys");
    let made = region.deploy("made", &MORE, &[&BRIDGED, &[("Network", "made")]]).await.expect("it deploys");
    for (function, role) in IN_VPC {
        assert_eq!(of_network(none.grants(role).await), names(&[]), "{function}");
        for (stack, name) in [(&yours, "yours"), (&made, "made")] {
            let denied = names(&[&format!("Deny {name}-* ec2:* *")]);
            assert_eq!(of_network(stack.grants(role).await), &attached | &denied, "{name} {function}");
        }
    }
    // It knows no database, and what it calls is public.
    assert_eq!(of_network(made.grants("RelayRabbitmqRole").await), names(&[]));
    assert!(made.outputs.contains_key("VpcId") && !yours.outputs.contains_key("VpcId"));
}

/// ministack forgets the VPC of a function.
#[test]
fn the_vpc_is_that_which_was_made_or_named() {
    const ATTACHED: &str = "      VpcConfig: !If\n        - InVpc\n        - SubnetIds: !If [MakesNetwork, !Split [\",\", !GetAtt \
                            NetworkStack.Outputs.SubnetIds], !Split [\",\", !Ref SubnetIds]]\n          SecurityGroupIds: !If \
                            [MakesNetwork, [!GetAtt NetworkStack.Outputs.FunctionsSecurityGroupId], !Split [\",\", !Ref \
                            SecurityGroupIds]]\n        - !Ref AWS::NoValue\n";
    let template = template();
    // Who leaves the schema to somebody else need not give migrate a way out of the network, to the place for its answers.
    let migrates = "MigratesInVpc: !And [!Condition InVpc, !Equals [!Ref MigrateSchema, \"yes\"]]";
    assert!(template.contains(migrates));
    let functions =
        template.split("\n\n").filter(|block| block.contains("Type: AWS::Serverless::Function\n"));
    for function in functions {
        let has_database = function.contains("          DATABASE_URL: !If\n");
        let mut attached = ATTACHED.to_owned();
        if function.starts_with("  MigrateFunction:") {
            attached = attached.replace("- InVpc", "- MigratesInVpc");
        }
        assert_eq!(function.contains(&attached), has_database, "{function}");
        assert_eq!(function.contains("VpcConfig"), has_database, "{function}");
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_the_reason() {
    let region = Region::new().await;
    let subnets = ("SubnetIds", "subnet-0a,subnet-0b");
    let groups = ("SecurityGroupIds", "sg-0c");
    for (parameters, said) in [
        (&[subnets][..], "need Network=yours"),
        (&[groups], "need Network=yours"),
        (&[("Network", "yours"), subnets], "needs SubnetIds and SecurityGroupIds"),
        (&[("Network", "yours"), groups], "needs SubnetIds and SecurityGroupIds"),
        (&[("Network", "made"), subnets, groups], "are for Network=yours"),
        (&[("Network", "yours"), groups, ("SubnetIds", "subnet-0a, subnet-0b")], "without spaces"),
        (&[("Network", "private")], "Network"),
        (&[("RabbitmqBroker", "made"), ("RabbitmqRelayQueue", "q")], "needs Network=made or Network=yours"),
        (
            &[("RabbitmqBroker", "made"), ("RabbitmqRelayQueue", "q"), ("Network", "yours"), subnets, groups],
            "needs BrokerSecurityGroupId",
        ),
    ] {
        let answer = region.refusal(&[parameters]).await;
        assert!(answer.contains(said), "{parameters:?}: {answer}");
    }
}
