//! `PutEvents`, as far as it takes to put one SES event on a bus.

use std::io;

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::http1::Connection;

/// Puts an event on the default bus of the EventBridge at `endpoint` (`http://host:port`).
///
/// # Errors
///
/// It could not be reached, or did not take the event.
pub(super) async fn put(endpoint: &str, region: &str, event: &Value) -> io::Result<()> {
    let host = endpoint.strip_prefix("http://").unwrap_or(endpoint).trim_end_matches('/');
    let body = json!({ "Entries": [{
        "Source": event["source"],
        "DetailType": event["detail-type"],
        "Detail": event["detail"].to_string(),
        "Resources": event["resources"],
        "EventBusName": "default",
    }] })
    .to_string();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/x-amz-json-1.1\r\n\
         x-amz-target: AWSEvents.PutEvents\r\nx-amz-date: 20260101T000000Z\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=local/20260101/{region}/events/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature={}\r\ncontent-length: {}\r\n\r\n",
        "0".repeat(64),
        body.len()
    );
    let mut connection = Connection::new(TcpStream::connect(host).await?);
    connection.write((head + &body).as_bytes()).await?;
    let (status, answer) = connection.read_response().await?;
    let failed =
        serde_json::from_slice(&answer).ok().and_then(|told: Value| told["FailedEntryCount"].as_u64());
    if status == 200 && failed == Some(0) {
        return Ok(());
    }
    Err(io::Error::other(format!("PutEvents: {status} {}", String::from_utf8_lossy(&answer))))
}
