//! Whether a deploy that updates a stack concerns the database, or only what functions are configured by: told by the
//! properties of the custom resource that `functions/migrate` answers, now and before.

use serde_json::{Map, Value};

/// What the properties of the resource are called that a database need not be asked about: the sum of the connections is
/// compared with what is given, and how `migrate` is reached is CloudFormation's affair.
const BESIDE: [&str; 4] = ["Connections", "DatabaseMaxConnections", "ServiceTimeout", "ServiceToken"];

/// Members of `Configuration` that say how the database is reached; so do those whose names begin with `Database`.
const NETWORK: [&str; 2] = ["SubnetIds", "SecurityGroupIds"];

/// Whether anything may have to be done in the database, or it is another one, or another way to it. An older
/// `SchemaVersion` is no reason: a deploy that goes back leaves the schema as it is.
#[must_use]
pub fn concerns_database(new: &Value, old: &Value) -> bool {
    match (new.as_object(), old.as_object()) {
        (Some(new), Some(old)) => version(new) > version(old) || essence(new) != essence(old),
        _ => true,
    }
}

fn version(properties: &Map<String, Value>) -> Option<i64> {
    match properties.get("SchemaVersion")? {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}

/// The properties without what does not concern the database.
fn essence(properties: &Map<String, Value>) -> Map<String, Value> {
    let mut essence = properties.clone();
    essence.retain(|name, _| name != "SchemaVersion" && !BESIDE.contains(&name.as_str()));
    if let Some(Value::Object(configuration)) = essence.get_mut("Configuration") {
        configuration.retain(|name, _| name.starts_with("Database") || NETWORK.contains(&name.as_str()));
    }
    essence
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::concerns_database;

    fn properties() -> Value {
        json!({
            "ServiceToken": "arn", "ServiceTimeout": "300", "Migrate": "yes", "SchemaVersion": "2", "Rights": "a",
            "DatabaseMaxConnections": "20", "Connections": { "sweep": "2" },
            "Configuration": { "DatabaseName": "shop", "SubnetIds": "subnet-1", "MaxAgeSeconds": "1" },
        })
    }

    #[test]
    fn what_functions_are_configured_by_does_not_concern_the_database() {
        let before = properties();
        assert!(!concerns_database(&before, &before));
        for (pointer, value) in [
            ("/Configuration/MaxAgeSeconds", "2"),
            ("/Connections/sweep", "3"),
            ("/DatabaseMaxConnections", "21"),
            ("/SchemaVersion", "1"),
        ] {
            let mut after = properties();
            *after.pointer_mut(pointer).expect("it is there") = json!(value);
            assert!(!concerns_database(&after, &before), "{pointer}");
        }
    }

    #[test]
    fn schema_rights_and_the_way_to_the_database_do() {
        let before = properties();
        for (pointer, value) in [
            ("/SchemaVersion", "3"),
            ("/Rights", "b"),
            ("/Migrate", "no"),
            ("/Configuration/DatabaseName", "other"),
            ("/Configuration/SubnetIds", "subnet-2"),
        ] {
            let mut after = properties();
            *after.pointer_mut(pointer).expect("it is there") = json!(value);
            assert!(concerns_database(&after, &before), "{pointer}");
        }
        assert!(concerns_database(&before, &Value::Null), "a new stack");
        assert!(concerns_database(&before, &json!({ "SchemaVersion": "2" })), "a template from before");
    }
}
