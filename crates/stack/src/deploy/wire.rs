//! One request to ministack a connection. Nothing is signed: it asks nobody who they are.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::net::TcpStream;

use super::DeployError;
use crate::http1::Connection;

/// Unpacking a function of some 40 MB takes a second.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// An answer with status 200 to 204.
#[derive(Debug)]
pub(super) struct Answer {
    what: String,
    body: Bytes,
}

impl Answer {
    pub(super) fn body(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json(&self) -> Result<Value, DeployError> {
        serde_json::from_slice(&self.body).map_err(|_| self.lacks("JSON"))
    }

    /// The text of the first element of that name.
    pub(super) fn text(&self, element: &str) -> Result<String, DeployError> {
        texts(&self.body(), element).into_iter().next().ok_or_else(|| self.lacks(element))
    }

    pub(super) fn lacks(&self, missing: &str) -> DeployError {
        DeployError::Answer { what: self.what.clone(), missing: missing.into() }
    }
}

pub(super) async fn ask(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Answer, DeployError> {
    // Only the name of what is asked goes into an error: a form holds the database's password.
    let target = headers.iter().find(|(name, _)| *name == "x-amz-target").map(|(_, value)| *value);
    let action = || {
        let form = std::str::from_utf8(&body).ok().filter(|_| path == "/")?;
        form.split('&').find_map(|field| field.strip_prefix("Action="))
    };
    let what = format!("{method} {}", target.or_else(action).unwrap_or(path));
    let exchanged = tokio::time::timeout(ANSWERS_WITHIN, exchange(port, method, path, headers, &body)).await;
    match exchanged.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok((200..=204, body)) => Ok(Answer { what, body }),
        Ok((status, body)) => {
            let text = String::from_utf8_lossy(&body);
            let message = texts(&text, "Message").into_iter().next();
            Err(DeployError::Refused { what, status, answer: message.unwrap_or_else(|| text.into_owned()) })
        }
        Err(source) => Err(DeployError::Unreachable { what, source }),
    }
}

async fn exchange(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<(u16, Bytes)> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.extend(["content-length: ", &body.len().to_string(), "\r\n\r\n"]);
    let mut connection = Connection::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?);
    connection.write(head.as_bytes()).await?;
    connection.write(body).await?;
    connection.read_response().await
}

/// The fields as `application/x-www-form-urlencoded`.
pub(super) fn form<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Bytes {
    let mut body = String::new();
    for (name, value) in fields {
        if !body.is_empty() {
            body.push('&');
        }
        encode(name, &mut body);
        body.push('=');
        encode(value, &mut body);
    }
    body.into()
}

fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value)]);
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// The texts of all elements of that name that hold nothing but text, in order.
pub(super) fn texts(xml: &str, element: &str) -> Vec<String> {
    let open = format!("<{element}>");
    let after = xml.split(&open).skip(1).filter_map(|rest| rest.split_once('<').map(|(text, _)| text));
    after.map(unescape).collect()
}

fn unescape(text: &str) -> String {
    // The ampersand last, or `&amp;lt;` would become `<`.
    let pairs =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#x27;", "'"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

#[cfg(test)]
mod tests {
    use super::{form, texts};

    #[test]
    fn a_form_carries_anything() {
        let body = form([("a.1", "x y&z=ü\n"), ("b", "")].into_iter());
        assert_eq!(body.as_ref(), b"a.1=x%20y%26z%3D%C3%BC%0A&b=");
    }

    #[test]
    fn texts_come_in_order_and_unescaped() {
        let xml = "<a><Key>one</Key><Key>&lt;two&amp;lt;&gt;</Key><Keys>no</Keys></a>";
        assert_eq!(texts(xml, "Key"), ["one", "<two&lt;>"]);
    }
}
