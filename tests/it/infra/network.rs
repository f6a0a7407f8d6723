//! Who may talk to whom, and which ways out there are.

use std::collections::{BTreeMap, BTreeSet};

use stack::deploy::DeployError;

use super::{Region, file, text};

const TEMPLATE: &str = "infra/network.yaml";
const VPC: &str = "10.76.0.0/22";

/// A line for each rule of the groups of a stack, such as `Database in 3306 Functions`.
async fn rules(region: &Region, stack: &str) -> BTreeSet<String> {
    let ids = region.ids(stack).await;
    let groups: BTreeMap<&str, &str> = ids
        .iter()
        .filter_map(|(name, id)| Some((id.as_str(), name.strip_suffix("SecurityGroup")?)))
        .collect();
    let mut lines = BTreeSet::new();
    for (id, group) in &groups {
        let told = region.cloud.query("DescribeSecurityGroups", &[("GroupId.1", id)]).await.expect("a group");
        let (inward, outward) = told.split_once("<ipPermissionsEgress>").expect("both");
        for (direction, rules) in [("in", inward), ("out", outward)] {
            // Whom a rule is about stands in items of its own, so this is what begins a rule.
            for rule in rules.split("<ipProtocol>").skip(1) {
                let of = |element| text(rule, element);
                assert!(rule.starts_with("tcp<") && of("fromPort") == of("toPort"), "{group}: {rule}");
                assert!(of("description").is_some(), "{group} has a rule that says nothing: {rule}");
                let port = of("fromPort").expect("a port");
                let other = of("groupId").map(|id| groups[id]).or(of("cidrIp")).or(of("prefixListId"));
                lines.insert(format!("{group} {direction} {port} {}", other.expect(rule)));
            }
        }
    }
    lines
}

fn lines(text: &[&str]) -> BTreeSet<String> {
    text.iter().map(|line| (*line).to_owned()).collect()
}

#[tokio::test]
async fn nobody_talks_but_those_who_must() {
    let region = Region::new().await;
    region.deploy("net", &file(TEMPLATE), &[]).await.expect("it deploys");
    let nobody = "out 1 127.0.0.1/32";
    let closed = [
        "Functions out 3306 10.76.0.0/22",
        "Functions out 443 10.76.0.0/22",
        "Database in 3306 Functions",
        "Endpoints in 443 Functions",
        &format!("Database {nobody}"),
        &format!("Endpoints {nobody}"),
    ];
    let anywhere = "Functions out 443 0.0.0.0/0";
    let expected: BTreeSet<String> = &lines(&closed) | &lines(&[anywhere]);
    assert_eq!(rules(&region, "net").await, expected);

    let parameters = [
        ("ClientCidr", "10.1.0.0/16"),
        ("DatabasePort", "3307"),
        ("S3PrefixListId", "pl-6da54004"),
        ("VpcCidr", "10.80.0.0/20"),
        ("AvailabilityZones", "eu-west-1b,eu-west-1c"),
    ];
    region.deploy("other", &file(TEMPLATE), &parameters).await.expect("it deploys");
    let mut expected: BTreeSet<String> =
        lines(&closed).iter().map(|line| line.replace("3306", "3307").replace(VPC, "10.80.0.0/20")).collect();
    expected.extend(lines(&[
        "Functions out 443 pl-6da54004",
        "Functions out 3307 10.1.0.0/16",
        "Database in 3307 10.1.0.0/16",
    ]));
    assert_eq!(rules(&region, "other").await, expected);
    assert_eq!(zones(&region, "other").await, ["10.80.0.0/24 eu-west-1b", "10.80.1.0/24 eu-west-1c"]);
}

/// Addresses and zone of both subnets.
async fn zones(region: &Region, stack: &str) -> Vec<String> {
    let ids = region.ids(stack).await;
    let xml = region.cloud.query("DescribeSubnets", &[]).await.expect("subnets");
    let of = |name: &str| {
        let subnet = xml.split("<item>").find(|item| text(item, "subnetId") == Some(&ids[name]));
        let subnet = subnet.expect("it is there");
        let [cidr, zone] =
            ["cidrBlock", "availabilityZone"].map(|element| text(subnet, element).expect("told"));
        format!("{cidr} {zone}")
    };
    vec![of("SubnetA"), of("SubnetB")]
}

#[tokio::test]
async fn there_is_no_way_out_but_the_endpoints() {
    let region = Region::new().await;
    let outputs = region.deploy("net", &file(TEMPLATE), &[]).await.expect("it deploys");
    assert_eq!(zones(&region, "net").await, ["10.76.0.0/24 eu-west-1a", "10.76.1.0/24 eu-west-1b"]);

    let resources = region.cloud.resources("net").await.expect("resources");
    let kinds: BTreeSet<&str> = resources.values().map(|resource| resource.kind.as_str()).collect();
    let expected = [
        "AWS::EC2::RouteTable",
        "AWS::EC2::SecurityGroup",
        "AWS::EC2::Subnet",
        "AWS::EC2::SubnetRouteTableAssociation",
        "AWS::EC2::VPC",
        "AWS::EC2::VPCEndpoint",
    ];
    assert_eq!(kinds, expected.into(), "no gateway, and no route that a template adds");

    let id = |name: &str| resources[name].id.clone();
    let xml = region.cloud.query("DescribeVpcEndpoints", &[]).await.expect("endpoints");
    let mut services = BTreeSet::new();
    for (name, endpoint) in resources.iter().filter(|(_, one)| one.kind == "AWS::EC2::VPCEndpoint") {
        let told = xml.split("<vpcEndpointId>").find(|told| told.starts_with(&endpoint.id));
        let told = told.expect("it is there");
        services.insert(text(told, "serviceName").expect("told").to_owned());
        let reached_by =
            if name == "S3Endpoint" { vec![id("RouteTable")] } else { vec![id("SubnetA"), id("SubnetB")] };
        assert!(reached_by.iter().all(|id| told.contains(id.as_str())), "{name}: {told}");
    }
    let expected =
        ["email", "s3", "secretsmanager", "sqs"].map(|name| format!("com.amazonaws.eu-west-1.{name}"));
    assert_eq!(services, expected.into());

    // ministack does not tell whose group an endpoint has.
    let template = file(TEMPLATE);
    let behind = "PrivateDnsEnabled: true\n      SubnetIds: [!Ref SubnetA, !Ref SubnetB]\n      SecurityGroupIds: \
                  [!Ref EndpointsSecurityGroup]\n";
    assert_eq!(template.matches(behind).count(), template.matches("VpcEndpointType: Interface").count());

    let given: Vec<&str> = outputs.keys().map(String::as_str).collect();
    let expected =
        ["DatabaseSecurityGroupId", "FunctionsSecurityGroupId", "RouteTableId", "SubnetIds", "VpcId"];
    assert_eq!(given, expected);
    assert_eq!(outputs["SubnetIds"], format!("{},{}", id("SubnetA"), id("SubnetB")));
    assert_eq!(outputs["DatabaseSecurityGroupId"], id("DatabaseSecurityGroup"));
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_the_reason() {
    let region = Region::new().await;
    for (parameter, value, said) in [
        ("VpcCidr", "10.76.0.0/24", "a mask of /16 to /23"),
        ("VpcCidr", "8.8.0.0/16", "private addresses"),
        ("AvailabilityZones", "a,b", "two names of zones"),
        ("ClientCidr", "0.0.0.0/0", "empty or private addresses"),
        ("S3PrefixListId", "com.amazonaws.eu-west-1.s3", "the id of a prefix list"),
        ("WithBroker", "maybe", "WithBroker"),
        // The one thing here that ministack does not know. Once it does, the broker's part can be deployed, too.
        ("WithBroker", "yes", "[AWS::EC2::SecurityGroupIngress]"),
    ] {
        match region.deploy("refused", &file(TEMPLATE), &[(parameter, value)]).await {
            Err(DeployError::Refused { answer, .. }) => assert!(answer.contains(said), "{value}: {answer}"),
            other => panic!("{parameter}={value}: {other:?}"),
        }
    }
}
