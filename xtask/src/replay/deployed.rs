//! A function that is deployed, through Lambda's Invoke API.

use std::time::{Duration, Instant};

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::config::{BehaviorVersion, Builder, Region};
use aws_sdk_lambda::error::{DisplayErrorContext, ProvideErrorMetadata as _};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::LogType;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use doorbell::config::{ProcessEnvironment, Reader};
use serde_json::Value;

use super::{Failure, Replayed, answer};
use crate::aws;

/// The longest that Lambda runs anything, and a little for the way.
const TIMEOUT: Duration = Duration::from_secs(15 * 60 + 30);

/// Replays one event after the other, each once, and returns whether every function answered.
pub(super) async fn replay(
    events: &[Replayed],
    region: Option<String>,
    show_log: bool,
) -> Result<bool, Failure> {
    let Some(first) = events.first() else { return Ok(true) };
    let of_arn = aws::region_of_arn(&first.function);
    if let (Some(region), Some(of_arn)) = (&region, &of_arn)
        && region != of_arn
    {
        return Err(format!("the function is in {of_arn} and not in {region}").into());
    }
    let client = client(of_arn.or(region)).await?;
    let mut all_answered = true;
    for event in events {
        all_answered &= replay_one(&client, event, show_log).await?;
    }
    Ok(all_answered)
}

async fn client(region: Option<String>) -> Result<Client, Failure> {
    let mut reader = Reader::of(&ProcessEnvironment);
    let endpoint = reader.endpoint("AWS_ENDPOINT_URL_LAMBDA");
    let endpoint = reader.finish(endpoint)?;
    let access = aws::access(region, None).await?;
    let mut config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(access.region))
        .credentials_provider(access.credentials)
        .http_client(access.http_client)
        // An event whose answer was lost has been replayed; once was asked for.
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(TIMEOUT).build());
    if let Some(url) = endpoint {
        config = config.endpoint_url(url);
    }
    Ok(Client::from_conf(config.build()))
}

async fn replay_one(client: &Client, event: &Replayed, show_log: bool) -> Result<bool, Failure> {
    println!("\n{} → {}", event.file.display(), event.function);
    let call = client.invoke().function_name(&event.function).log_type(LogType::Tail);
    let begun = Instant::now();
    let answered = call.payload(Blob::new(event.event.to_string())).send().await.map_err(|error| {
        match error.as_service_error().map(|refusal| (refusal.code(), refusal.message())) {
            Some((Some("ResourceNotFoundException"), _)) => format!(
                "there is no deployed function {} in that region and account (its name is STACK-NAME, such as \
                 sendonce-dispatch-sqs)",
                event.function
            ),
            Some((code, message)) => {
                format!("Lambda refused: {}: {}", code.unwrap_or("?"), message.unwrap_or_default())
            }
            None => format!("Lambda was not reached: {}", DisplayErrorContext(&error)),
        }
    })?;
    println!("  took      {:.1} ms, the way there and back included", begun.elapsed().as_secs_f64() * 1e3);
    let payload = answered.payload().map(Blob::as_ref).unwrap_or_default();
    let said = serde_json::from_slice::<Value>(payload).map_or_else(
        |_| {
            if payload.is_empty() { "null".to_owned() } else { String::from_utf8_lossy(payload).into_owned() }
        },
        |value| answer(&value),
    );
    let has_answered = answered.function_error().is_none();
    println!("  {}{said}", if has_answered { "response  " } else { "error     " });
    let tail = answered.log_result().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    let tail = String::from_utf8_lossy(&tail);
    // What Lambda itself measured: duration, memory, start.
    let is_shown = |line: &&str| {
        show_log || !has_answered || line.starts_with("REPORT") || line.contains("platform.report")
    };
    for line in tail.lines().filter(is_shown) {
        println!("  log       {}", line.trim());
    }
    Ok(has_answered)
}
