//! A request of CloudFormation in, the schema brought up to date, and word sent back.
//!
//! As a custom resource it is asked to create, update or delete `the schema`: the first two apply what is missing, the last
//! does nothing, since nobody means to lose their emails with a stack. CloudFormation waits for a PUT to an address that the
//! request brings along, so there is one whatever happens, and before the invocation's time is over: a wrong
//! configuration, a refused statement and a panic fail the deploy with a sentence.
//!
//! Invoked by hand with `{}` it does the same and answers to whoever invoked it.
//!
//! `Err` means: by hand, that the schema is not up to date; from CloudFormation, that it could not be told. Lambda then runs
//! the event again, which does no harm.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use lambda_runtime::{Error, LambdaEvent};
use outbox::{
    config::MigrateConfig,
    deadline,
    store::migrate::{Migrated, Migrations},
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
        let migrated = bring_up_to_date(config, end).await?;
        return Ok(
            json!({ "applied": migrated.applied, "version": migrated.version, "is_newer": migrated.is_newer }),
        );
    }
    let asked: Asked = serde_json::from_value(event.payload)?;
    let outcome = match asked.request_type.as_str() {
        "Create" | "Update" => bring_up_to_date(config, end).await.map(Some),
        "Delete" => Ok(None),
        other => Err(format!("there is no RequestType {other}")),
    };
    answer(config, &asked, outcome, end).await?;
    Ok(Value::Null)
}

/// Applies what is missing; otherwise a sentence that says why not. Said once in the log, here.
async fn bring_up_to_date(config: &MigrateConfig, end: Instant) -> Result<Migrated, String> {
    let began = Instant::now();
    let left = end.saturating_duration_since(began);
    let deadline = began + left.saturating_sub(RESERVE.min(left / 2));
    let migrated = match &config.database {
        Ok(database) => {
            let migrations = Migrations::embedded();
            match AssertUnwindSafe(database.migrate(&migrations, deadline)).catch_unwind().await {
                Ok(migrated) => migrated.map_err(|error| error.to_string()),
                Err(_) => Err("the function panicked; its log says where".to_owned()),
            }
        }
        Err(error) => Err(error.to_string()),
    };
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match &migrated {
        Ok(migrated) => {
            let Migrated { applied, version, is_newer } = migrated;
            tracing::info!(?applied, version, is_newer, duration_ms, "migrate.done");
        }
        Err(reason) => tracing::error!(error.kind = "migration", reason, duration_ms, "migrate.failed"),
    }
    migrated
}

async fn answer(
    config: &MigrateConfig,
    asked: &Asked,
    outcome: Result<Option<Migrated>, String>,
    end: Instant,
) -> Result<(), Error> {
    let (status, reason, data) = match outcome {
        Ok(Some(migrated)) => {
            let reason = if migrated.is_newer {
                "The schema is newer than this release, which works with it."
            } else {
                "The schema is up to date."
            };
            ("SUCCESS", reason.to_owned(), json!({ "Version": migrated.version.to_string() }))
        }
        Ok(None) => ("SUCCESS", "The tables stay.".to_owned(), json!({})),
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
