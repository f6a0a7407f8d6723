//! The database's stack in the network's. ministack makes the cluster's record and no cluster.

use super::{Region, file};

/// The one attribute that ministack does not know.
const MASTER_SECRET: &str = "!GetAtt Cluster.MasterUserSecret.SecretArn";

#[tokio::test]
async fn it_lies_in_the_network_behind_its_own_group() {
    let region = Region::new().await;
    let network = region.deploy("net", &file("infra/network.yaml"), &[]).await.expect("it deploys");
    let template = file("infra/database.yaml");
    assert!(template.contains(MASTER_SECRET));
    let template =
        template.replace(MASTER_SECRET, "arn:aws:secretsmanager:eu-west-1:000000000000:secret:made-up");
    let parameters =
        [("SubnetIds", &*network["SubnetIds"]), ("SecurityGroupId", &*network["DatabaseSecurityGroupId"])];
    let outputs = region.deploy("db", &template, &parameters).await.expect("it deploys");

    let cluster = region.cloud.query("DescribeDBClusters", &[]).await.expect("clusters");
    let group = &network["DatabaseSecurityGroupId"];
    for told in [
        format!("<VpcSecurityGroupId>{group}</VpcSecurityGroupId>"),
        "<StorageEncrypted>true</StorageEncrypted>".to_owned(),
        "<DeletionProtection>true</DeletionProtection>".to_owned(),
        "<IAMDatabaseAuthenticationEnabled>true</IAMDatabaseAuthenticationEnabled>".to_owned(),
        "<BackupRetentionPeriod>14</BackupRetentionPeriod>".to_owned(),
        format!("<Endpoint>{}</Endpoint>", outputs["Endpoint"]),
    ] {
        assert!(cluster.contains(&told), "{told} is not in {cluster}");
    }
    assert_eq!((outputs["Port"].as_str(), outputs["DatabaseName"].as_str()), ("3306", "sendonce"));
    assert!(outputs["UserArnPrefix"].starts_with("arn:aws:rds-db:eu-west-1:000000000000:dbuser:"));
    assert!(region.ids("db").await.contains_key("StandbyInstance"));

    let alone = [parameters[0], parameters[1], ("WithStandby", "no"), ("DeletionProtection", "false")];
    region.deploy("alone", &template, &alone).await.expect("it deploys");
    assert!(!region.ids("alone").await.contains_key("StandbyInstance"));
}

/// A property of a parameter group, which ministack keeps to itself.
#[test]
fn without_tls_nobody_is_let_in() {
    let template = file("infra/database.yaml");
    let (_, settings) = template.split_once("AWS::RDS::DBClusterParameterGroup").expect("it has settings");
    assert!(settings.contains("        require_secure_transport: \"ON\"\n"), "{settings}");
    assert!(settings.contains("DBClusterParameterGroupName: !Ref Settings"), "{settings}");
}
