//! A client that sends what it is told, valid or not.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{http1::Connection, ses::Ses};

/// A header block whose signature is well formed.
pub(super) const SIGNED: &str = "x-amz-date: 20261123T164304Z\r\nauthorization: AWS4-HMAC-SHA256 \
     Credential=AKIDEXAMPLE/20261123/eu-west-1/ses/aws4_request, SignedHeaders=content-type;host;x-amz-date, \
     Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n";

pub(super) fn simple() -> Value {
    json!({
        "FromEmailAddress": "Shop <orders@shop.example>",
        "Destination": { "ToAddresses": ["Ada@customer.example"] },
        "Content": { "Simple": {
            "Subject": { "Data": "Grüße", "Charset": "UTF-8" },
            "Body": { "Text": { "Data": "Hallo", "Charset": "UTF-8" } },
        } },
        "EmailTags": [{ "Name": "email_id", "Value": "41" }, { "Name": "attempt_id", "Value": "01J" }],
    })
}

pub(super) fn raw(mime: &str) -> Value {
    json!({ "Content": { "Raw": { "Data": BASE64_STANDARD.encode(mime) } } })
}

pub(super) struct Client(pub(super) Connection);

impl Client {
    pub(super) async fn connect(ses: &Ses) -> Self {
        Self(Connection::new(TcpStream::connect(("127.0.0.1", ses.port())).await.unwrap()))
    }

    pub(super) async fn send(&mut self, request: &Value) -> (u16, Value) {
        self.send_with(SIGNED, &request.to_string()).await.unwrap()
    }

    /// The status and the JSON of the answer; or what became of the connection.
    pub(super) async fn send_with(&mut self, headers: &str, body: &str) -> std::io::Result<(u16, Value)> {
        self.write_with(headers, body).await?;
        let (status, body) = self.0.read_response().await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    pub(super) async fn write(&mut self, request: &Value) {
        self.write_with(SIGNED, &request.to_string()).await.unwrap();
    }

    async fn write_with(&mut self, headers: &str, body: &str) -> std::io::Result<()> {
        let request = format!(
            "POST /v2/email/outbound-emails HTTP/1.1\r\nhost: ses\r\ncontent-type: application/json\r\n{headers}\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write(request.as_bytes()).await
    }
}
