//! The handler that most people write: it reads the row, sends, marks it, and lets the queue forget the doorbell.
//!
//! It claims nothing. What it is given twice at once it sends twice, and what it sent without having marked it is sent
//! again when the doorbell comes again. Nothing in it is made worse than it need be: a row that is marked is not sent
//! again, an error is reported so that the doorbell comes again, and the connection is closed properly. SES is called
//! with the SDK's own retries, as everybody has them who does not turn them off (`SDK_RETRIES=off` does).

// The SDK's generated futures nest deeper than the compiler's default.
#![recursion_limit = "256"]

use aws_credential_types::Credentials;
use aws_sdk_sesv2::{
    Client,
    config::{BehaviorVersion, Region, retry::RetryConfig},
    types::{Body, Content, Destination, EmailContent, Message},
};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use sqlx::{Connection as _, MySqlConnection};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let (ses, database) = (&client()?, &variable("DATABASE_URL")?);
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        handle(ses, database, &event.payload).await
    }))
    .await
}

/// Sends what the doorbells ask for. `Err` means that they come again.
async fn handle(ses: &Client, database: &str, event: &Value) -> Result<Value, Error> {
    for record in event["Records"].as_array().into_iter().flatten() {
        let doorbell: Value = serde_json::from_str(record["body"].as_str().unwrap_or_default())?;
        let id = doorbell["email_id"].as_u64().ok_or("a doorbell without an id")?;
        let mut connection = MySqlConnection::connect(database).await?;
        let done = send(ses, &mut connection, id).await;
        connection.close().await?;
        done?;
    }
    Ok(serde_json::json!({ "batchItemFailures": [] }))
}

async fn send(ses: &Client, connection: &mut MySqlConnection, id: u64) -> Result<(), Error> {
    let row: Option<(String, String, String)> =
        sqlx::query_as("SELECT recipient, subject, body FROM email WHERE id = ? AND status = 'queued'")
            .bind(id)
            .fetch_optional(&mut *connection)
            .await?;
    let Some((recipient, subject, body)) = row else { return Ok(()) };
    let content = |text: String| Content::builder().data(text).charset("UTF-8").build();
    let message = Message::builder()
        .subject(content(subject)?)
        .body(Body::builder().text(content(body)?).build())
        .build();
    ses.send_email()
        .from_email_address("Shop <orders@shop.example>")
        .destination(Destination::builder().to_addresses(recipient).build())
        .content(EmailContent::builder().simple(message).build())
        .send()
        .await?;
    sqlx::query("UPDATE email SET status = 'sent', sent_at = UTC_TIMESTAMP(6) WHERE id = ?")
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// A client as `aws_config` would configure it, but for the HTTP client, which is sendonce's own.
fn client() -> Result<Client, Error> {
    let session = variable("AWS_SESSION_TOKEN").ok();
    let credentials = Credentials::new(
        variable("AWS_ACCESS_KEY_ID")?,
        variable("AWS_SECRET_ACCESS_KEY")?,
        session,
        None,
        "env",
    );
    let access = doorbell::aws::AwsAccess::new(variable("AWS_REGION")?, credentials, None)?;
    let has_retries = variable("SDK_RETRIES").map_or(true, |retries| retries != "off");
    let retries = if has_retries { RetryConfig::standard() } else { RetryConfig::disabled() };
    let config = aws_sdk_sesv2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(access.region))
        .credentials_provider(access.credentials)
        .http_client(access.http_client)
        .endpoint_url(variable("AWS_ENDPOINT_URL_SESV2")?)
        .retry_config(retries)
        .build();
    Ok(Client::from_conf(config))
}

#[expect(clippy::disallowed_methods, reason = "a program of its own, which has no other configuration")]
fn variable(name: &str) -> Result<String, Error> {
    std::env::var(name).map_err(|error| format!("{name}: {error}").into())
}
