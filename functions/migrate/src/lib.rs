//! A request of CloudFormation in, the schema brought up to date, and word sent back.
//!
//! As a custom resource it is asked to create, update or delete `the schema`. The first two apply what is missing and make
//! the functions' database users where that is asked for; but first they add up how many connections the functions may hold
//! at the same time, and refuse a deploy that does not fit. The last does nothing, since nobody means to lose their emails
//! with a stack. CloudFormation waits for a PUT to an address that the request brings along, so there is one whatever
//! happens, and before the invocation's time is over: a wrong configuration, a refused statement and a panic fail the deploy
//! with a sentence.
//!
//! An update that changes only what functions are configured by does not fail where the database is away: nothing is to be
//! done there, and while it is away is when such a change may be needed, or a rollback has to go through.
//!
//! Where its property `Migrate` is `no` somebody else sees to the schema: it adds up and does not connect. The answer holds
//! `Version`, of the schema, and `Configuration`, which is another text whenever the property of that name is another: the
//! template puts there all that functions are configured by, and publishes a version of each function when it changes.
//!
//! Invoked by hand with `{}` it does the same, with nothing to add up, and answers to whoever invoked it.
//!
//! `Err` means: by hand, that the schema is not up to date; from CloudFormation, that it could not be told. Lambda then runs
//! the event again, which does no harm.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use lambda_runtime::{Error, LambdaEvent};
use outbox::{
    budget::Budget,
    change,
    config::MigrateConfig,
    deadline,
    store::migrate::{MigrateError, Migrated, Migrations, Wanted},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Kept back for closing the connection and answering.
const RESERVE: Duration = Duration::from_secs(15);

/// The same for every stack and for ever: another one would mean that the schema had been replaced.
const PHYSICAL_RESOURCE_ID: &str = "sendonce-schema";

/// An answer has room for 4096 bytes, and CloudFormation shows less.
const LONGEST_REASON: usize = 1_000;

/// What CloudFormation asks, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Asked {
    request_type: String,
    #[serde(rename = "ResponseURL")]
    response_url: String,
    stack_id: String,
    request_id: String,
    logical_resource_id: String,
    physical_resource_id: Option<String>,
    #[serde(default)]
    resource_properties: Value,
    #[serde(default)]
    old_resource_properties: Value,
}

impl Asked {
    /// Nothing is to be done in the database, as long as it was right before.
    fn may_find_it_away(&self) -> bool {
        self.request_type == "Update"
            && !change::concerns_database(&self.resource_properties, &self.old_resource_properties)
    }
}

/// What became of a deploy that did not fail.
enum Deployed {
    /// The schema is somebody else's to see to.
    LeftAlone,
    /// The database could not be reached, and nothing was to be done there.
    Away,
    /// The schema is up to date.
    Done(Migrated),
}

/// What CloudFormation is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Told<'a> {
    status: &'static str,
    reason: &'a str,
    physical_resource_id: &'a str,
    stack_id: &'a str,
    request_id: &'a str,
    logical_resource_id: &'a str,
    data: Value,
}

/// Handles one event. The answer counts where it was invoked by hand.
///
/// # Errors
///
/// When the schema is not up to date and nobody else was told, or CloudFormation could not be told.
pub async fn handle(config: &MigrateConfig, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let end = deadline::of_invocation(event.context.deadline);
    if event.payload.get("RequestType").is_none() {
        let migrated = bring_up_to_date(config, None, end).await?;
        let Deployed::Done(migrated) = migrated else { return Ok(Value::Null) };
        return Ok(
            json!({ "applied": migrated.applied, "version": migrated.version, "is_newer": migrated.is_newer }),
        );
    }
    let asked: Asked = serde_json::from_value(event.payload)?;
    let outcome = match asked.request_type.as_str() {
        "Create" | "Update" => bring_up_to_date(config, Some(&asked), end).await.map(|deployed| {
            let (reason, version) = match deployed {
                Deployed::LeftAlone => ("The schema is somebody else's to see to.", json!("by-hand")),
                Deployed::Away => (
                    "The database could not be reached; what has changed does not concern it.",
                    asked.resource_properties["SchemaVersion"].clone(),
                ),
                Deployed::Done(Migrated { is_newer: true, version, .. }) => (
                    "The schema is newer than this release, which works with it.",
                    json!(version.to_string()),
                ),
                Deployed::Done(Migrated { version, .. }) => {
                    ("The schema is up to date.", json!(version.to_string()))
                }
            };
            let configuration = fingerprint(&asked.resource_properties["Configuration"]);
            (reason, json!({ "Version": version, "Configuration": configuration }))
        }),
        "Delete" => Ok(("The tables stay.", json!({}))),
        other => Err(format!("there is no RequestType {other}")),
    };
    answer(config, &asked, outcome, end).await?;
    Ok(Value::Null)
}

/// A text for this property. Two releases may have different ones for the same, which only publishes versions.
fn fingerprint(configuration: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    // Its members are sorted.
    configuration.to_string().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Applies what is missing, unless that is not to be done; otherwise a sentence that says why not. Said once in the log,
/// here.
async fn bring_up_to_date(
    config: &MigrateConfig,
    asked: Option<&Asked>,
    end: Instant,
) -> Result<Deployed, String> {
    let began = Instant::now();
    let left = end.saturating_duration_since(began);
    let deadline = began + left.saturating_sub(RESERVE.min(left / 2));
    let migrated = deploy(config, asked, deadline).await;
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match &migrated {
        Ok(Deployed::LeftAlone) => tracing::info!(duration_ms, "migrate.left_alone"),
        Ok(Deployed::Away) => tracing::warn!(duration_ms, "migrate.database_away"),
        Ok(Deployed::Done(migrated)) => {
            let Migrated { applied, version, is_newer, max_connections } = migrated;
            tracing::info!(?applied, version, is_newer, max_connections, duration_ms, "migrate.done");
        }
        Err(reason) => tracing::error!(error.kind = "migration", reason, duration_ms, "migrate.failed"),
    }
    migrated
}

async fn deploy(
    config: &MigrateConfig,
    asked: Option<&Asked>,
    deadline: Instant,
) -> Result<Deployed, String> {
    let budget = match asked {
        Some(asked) => Budget::of(&asked.resource_properties, &asked.old_resource_properties),
        None => Ok(None),
    };
    let budget = budget.map_err(|error| error.to_string())?;
    if asked.is_some_and(|asked| asked.resource_properties["Migrate"] == "no") {
        return Ok(Deployed::LeftAlone);
    }
    let database = config.database.as_ref().map_err(ToString::to_string)?;
    let migrations = Migrations::embedded();
    let connections = budget.and_then(Budget::to_insist_on);
    let wanted = Wanted { migrations: &migrations, users: config.users, connections };
    let migrated = match AssertUnwindSafe(database.deploy(wanted, deadline)).catch_unwind().await {
        Ok(Ok(migrated)) => migrated,
        // More connections than before are held against the server, so that one has to be there.
        Ok(Err(MigrateError::NotConnected(_)))
            if connections.is_none() && asked.is_some_and(Asked::may_find_it_away) =>
        {
            return Ok(Deployed::Away);
        }
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err("the function panicked; its log says where".to_owned()),
    };
    if let Some(most) = budget.map(Budget::most).filter(|most| *most > migrated.max_connections) {
        // It may be a rollback, which has to go through; the server became smaller since.
        tracing::warn!(
            max_connections = migrated.max_connections,
            database_max_connections = most,
            "migrate.server_too_small"
        );
    }
    Ok(Deployed::Done(migrated))
}

async fn answer(
    config: &MigrateConfig,
    asked: &Asked,
    outcome: Result<(&str, Value), String>,
    end: Instant,
) -> Result<(), Error> {
    let (status, reason, data) = match outcome {
        Ok((reason, data)) => ("SUCCESS", reason.to_owned(), data),
        Err(reason) => ("FAILED", reason, json!({})),
    };
    let told = Told {
        status,
        reason: &reason[..reason.floor_char_boundary(LONGEST_REASON)],
        physical_resource_id: asked.physical_resource_id.as_deref().unwrap_or(PHYSICAL_RESOURCE_ID),
        stack_id: &asked.stack_id,
        request_id: &asked.request_id,
        logical_resource_id: &asked.logical_resource_id,
        data,
    };
    let body = serde_json::to_string(&told)?;
    let put = config.answers.put(&asked.response_url, &body, end).await;
    Ok(put.inspect_err(|error| tracing::error!(error.kind = "answer", %error, "migrate.not_told"))?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::fingerprint;

    #[test]
    fn whatever_a_function_is_configured_by_changes_the_text_and_the_order_does_not() {
        let one = json!({ "MaxSendRate": "5", "LogLevel": "info" });
        let same = json!({ "LogLevel": "info", "MaxSendRate": "5" });
        let other = json!({ "LogLevel": "info", "MaxSendRate": "6" });
        assert_eq!(fingerprint(&one), fingerprint(&same));
        assert_ne!(fingerprint(&one), fingerprint(&other));
        assert!(fingerprint(&one).len() == 16 && fingerprint(&json!(null)).len() == 16);
    }
}
