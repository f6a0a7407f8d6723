//! An inbox to look at: aws-ses-v2-local, as a child process.
//!
//! It takes what `SendEmail` sends and shows it on a page. It is for demonstrations: it injects no faults, emits no SES
//! events, refuses requests over 25 MB, and the message ids it gives are its own. Tests use the stand-in of this crate.

use hyper::Method;
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::install;
use crate::supervisor::{Program, Running, ServerError, Supervisor, free_port, request, until_ready};

/// A running inbox; dropping it kills it.
#[derive(Debug)]
pub struct Inbox {
    port: u16,
    _process: Running,
}

impl Inbox {
    /// Installs it if need be, starts it and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`ServerError`] when any of that fails; the end of its log is in it.
    pub async fn start() -> Result<Self, ServerError> {
        let started = spawn_blocking(|| {
            let tool = install::inbox()?;
            let supervisor = Supervisor::of_this_process()?;
            let port = free_port()?;
            let program = Program::new("inbox", &tool.node, supervisor.folder("inbox")?)
                .arg(&tool.script)
                .args(["--host", "127.0.0.1", "--port"])
                .arg(port.to_string());
            Ok::<_, ServerError>((port, supervisor.spawn(&program)?))
        });
        let (port, process) = started.await.map_err(|error| ServerError::Request {
            name: "the installer of the inbox".into(),
            source: error.into(),
        })??;
        until_ready(&process, || request(Method::GET, port, "/health-check")).await?;
        Ok(Self { port, _process: process })
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The SES v2 endpoint (any credentials will do).
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The page.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/", self.endpoint())
    }

    /// Every email it took, oldest first, as its own JSON: `messageId`, `from`, `destination.to`, `subject`, `body.text`,
    /// `body.html`, `attachments`, `at` (seconds since 1970).
    ///
    /// # Errors
    ///
    /// [`ServerError::Request`], or [`ServerError::Answer`] when it is not the JSON described.
    pub async fn emails(&self) -> Result<Vec<Value>, ServerError> {
        let name = || "the inbox".to_owned();
        let body = request(Method::GET, self.port, "/store")
            .await
            .map_err(|source| ServerError::Request { name: name(), source })?;
        let mut store: Value = serde_json::from_slice(&body).map_err(|error| ServerError::Answer {
            name: name(),
            what: format!("something that is not JSON: {error}"),
        })?;
        match store.get_mut("emails").map(Value::take) {
            Some(Value::Array(emails)) => Ok(emails),
            _ => Err(ServerError::Answer { name: name(), what: "a store without emails".into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_is_sent_is_in_the_inbox() {
        let inbox = Inbox::start().await.unwrap();
        assert!(inbox.emails().await.unwrap().is_empty());
        let email = r#"{"FromEmailAddress":"shop@shop.example","Destination":{"ToAddresses":["ada@customer.example"]},
            "Content":{"Simple":{"Subject":{"Data":"Your receipt"},"Body":{"Text":{"Data":"Thank you"}}}}}"#;
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", inbox.port)).await.unwrap();
        let head = format!(
            "POST /v2/email/outbound-emails HTTP/1.1\r\nhost: inbox\r\nauthorization: AWS4\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            email.len()
        );
        stream.write_all(format!("{head}{email}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

        let emails = inbox.emails().await.unwrap();

        assert_eq!(emails.len(), 1);
        assert_eq!(emails[0]["subject"], "Your receipt");
        assert_eq!(emails[0]["destination"]["to"][0], "ada@customer.example");
    }
}
