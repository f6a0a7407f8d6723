//! SES for a demonstration: the strict stand-in decides, the inbox shows.
//!
//! The inbox takes nearly anything, so what it takes proves nothing; the stand-in has no page. This stands before both.
//! A request goes to the stand-in first, and its answer is the sender's, with the message id that SES's events will carry.
//! What it takes is put into the inbox too, which has ids of its own: [`Front::shown`] knows both.
//!
//! What the inbox gets is what was sent, but for two things that every mail program does and that page does not: encoded
//! display names are decoded, and `cid:` in HTML is replaced by the inline image it speaks of.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use mail_parser::{Address, MessageParser};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::http1::{Connection, Request, Response, response};
use crate::inbox::Inbox;
use crate::listen::Doorway;
use crate::ses::Ses;

/// The front, on a free port of 127.0.0.1. Dropping it closes the port.
#[derive(Debug)]
pub struct Front {
    doorway: Doorway,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Clone, Copy, Debug)]
struct Behind {
    ses: SocketAddr,
    inbox: SocketAddr,
}

#[derive(Debug, Default)]
struct Seen {
    /// The inbox's message id by SES's.
    shown: BTreeMap<String, String>,
    not_shown: Vec<String>,
    /// Whose sender will hear nothing.
    unanswered: Vec<String>,
}

impl Front {
    /// Stands before these two, which must outlive it.
    ///
    /// # Errors
    ///
    /// No port could be had.
    pub async fn start(ses: &Ses, inbox: &Inbox) -> io::Result<Self> {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let behind = Behind { ses: local(ses.port()), inbox: local(inbox.port()) };
        let seen = Arc::new(Mutex::default());
        let doorway = Doorway::open({
            let seen = Arc::clone(&seen);
            move |stream| {
                tokio::spawn(serve(behind, stream, Arc::clone(&seen)));
            }
        })
        .await?;
        Ok(Self { doorway, seen })
    }

    /// The SES v2 endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.doorway.address())
    }

    /// Hangs up on the next sender of a message to this address, without an answer and after SES has taken the message.
    pub fn leave_unanswered(&self, address: &str) {
        lock(&self.seen).unanswered.push(address.to_owned());
    }

    /// Whether there is a sender left to hang up on.
    #[must_use]
    pub fn is_to_leave_unanswered(&self) -> bool {
        !lock(&self.seen).unanswered.is_empty()
    }

    /// The inbox's id of a message that SES gave this one.
    #[must_use]
    pub fn shown(&self, ses_message_id: &str) -> Option<String> {
        lock(&self.seen).shown.get(ses_message_id).cloned()
    }

    /// Why messages that the stand-in took are not in the inbox.
    #[must_use]
    pub fn not_shown(&self) -> Vec<String> {
        lock(&self.seen).not_shown.clone()
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(behind: Behind, stream: TcpStream, seen: Arc<Mutex<Seen>>) {
    let mut connection = Connection::new(stream);
    while let Ok(Some(request)) = connection.read_request().await {
        // A stand-in that hangs up says nothing, and neither does this.
        let Ok(verdict) = forward(behind.ses, &request, request.body.clone()).await else { return };
        if verdict.status == 200 {
            let shown = show(behind.inbox, &request).await;
            let shown = shown.and_then(|answer| Ok((message_id(&verdict.body)?, message_id(&answer)?)));
            let mut seen = lock(&seen);
            match shown {
                Ok((of_ses, of_inbox)) => drop(seen.shown.insert(of_ses, of_inbox)),
                Err(error) => seen.not_shown.push(error.to_string()),
            }
            if let Some(at) = seen.unanswered.iter().position(|address| is_to(&request.body, address)) {
                seen.unanswered.remove(at);
                return;
            }
        }
        let mut headers = vec![("content-type", "application/json")];
        for name in ["x-amzn-errortype", "x-amzn-requestid"] {
            headers.extend(verdict.header(name).map(|value| (name, value)));
        }
        let answer = response(verdict.status, &headers, &verdict.body, verdict.body.len());
        if connection.write(&answer).await.is_err() {
            return;
        }
    }
}

fn message_id(answer: &[u8]) -> io::Result<String> {
    let answer: Value = serde_json::from_slice(answer)?;
    let id = answer["MessageId"].as_str().map(str::to_owned);
    id.ok_or_else(|| io::Error::other("an answer without a message id"))
}

fn is_to(message: &[u8], address: &str) -> bool {
    let message: Value = serde_json::from_slice(message).unwrap_or_default();
    let recipients = message.pointer("/Destination/ToAddresses").and_then(Value::as_array);
    recipients.into_iter().flatten().filter_map(Value::as_str).any(|mailbox| mailbox.contains(address))
}

/// Puts a message into the inbox; returns the inbox's answer, which holds its message id.
async fn show(inbox: SocketAddr, request: &Request) -> io::Result<Bytes> {
    let mut message: Value = serde_json::from_slice(&request.body)?;
    decode_mailboxes(&mut message);
    if let Some(simple) = message.pointer_mut("/Content/Simple") {
        show_images(simple);
    }
    let answer = forward(inbox, request, message.to_string().into()).await?;
    if answer.status == 200 {
        return Ok(answer.body);
    }
    let text = String::from_utf8_lossy(&answer.body);
    Err(io::Error::other(format!("the inbox answered {}: {text}", answer.status)))
}

async fn forward(to: SocketAddr, request: &Request, body: Bytes) -> io::Result<Response> {
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.path);
    let hop = ["connection", "content-length", "transfer-encoding", "expect"];
    let kept = request.headers().filter(|(name, _)| !hop.iter().any(|own| own.eq_ignore_ascii_case(name)));
    for (name, value) in kept {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.extend(["connection: close\r\ncontent-length: ", &body.len().to_string(), "\r\n\r\n"]);
    let mut connection = Connection::new(TcpStream::connect(to).await?);
    connection.write(head.as_bytes()).await?;
    connection.write(&body).await?;
    connection.read_whole_response().await
}

fn decode_mailboxes(message: &mut Value) {
    if let Some(sender) = message.get_mut("FromEmailAddress") {
        decode(sender);
    }
    for list in [
        "/Destination/ToAddresses",
        "/Destination/CcAddresses",
        "/Destination/BccAddresses",
        "/ReplyToAddresses",
    ] {
        let mailboxes = message.pointer_mut(list).and_then(Value::as_array_mut);
        mailboxes.into_iter().flatten().for_each(decode);
    }
}

/// `=?utf-8?b?Wm/Dqw==?= <zoe@shop.example>` becomes `Zoë <zoe@shop.example>`.
fn decode(mailbox: &mut Value) {
    let Some(encoded) = mailbox.as_str() else { return };
    let header = format!("From: {encoded}\r\n\r\n");
    let parsed = MessageParser::new().parse(header.as_bytes());
    let address = parsed.as_ref().and_then(|message| message.from()).and_then(Address::first);
    if let Some(address) = address
        && let (Some(name), Some(bare)) = (address.name(), address.address())
    {
        *mailbox = format!("{name} <{bare}>").into();
    }
}

fn show_images(simple: &mut Value) {
    let Some(mut html) = simple["Body"]["Html"]["Data"].as_str().map(str::to_owned) else { return };
    for attachment in simple["Attachments"].as_array().into_iter().flatten() {
        let text = |name: &str| attachment[name].as_str();
        if let (Some(id), Some(content)) = (text("ContentId"), text("RawContent")) {
            let kind = text("ContentType").unwrap_or("application/octet-stream");
            html = html.replace(&format!("cid:{id}"), &format!("data:{kind};base64,{content}"));
        }
    }
    simple["Body"]["Html"]["Data"] = html.into();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{decode, decode_mailboxes, is_to, show_images};

    #[test]
    fn names_are_decoded_and_the_rest_is_left() {
        for (encoded, decoded) in [
            ("=?utf-8?b?Wm/Dqw==?= <zoe@shop.example>", "Zoë <zoe@shop.example>"),
            ("ada@customer.example", "ada@customer.example"),
            ("Ada <ada@customer.example>", "Ada <ada@customer.example>"),
        ] {
            let mut mailbox = json!(encoded);
            decode(&mut mailbox);
            assert_eq!(mailbox, decoded);
        }
        let mut message = json!({ "Content": {}, "Destination": { "BccAddresses": ["=?utf-8?q?=C3=89va?= <e@b.example>"] } });
        decode_mailboxes(&mut message);
        assert_eq!(
            message,
            json!({ "Content": {}, "Destination": { "BccAddresses": ["Éva <e@b.example>"] } })
        );
    }

    #[test]
    fn a_recipient_is_found() {
        let message =
            br#"{"Destination":{"ToAddresses":["Ada <ada@b.example>"],"CcAddresses":["eve@b.example"]}}"#;
        assert!(is_to(message, "ada@b.example"));
        assert!(!is_to(message, "eve@b.example") && !is_to(b"", "ada@b.example"));
    }

    #[test]
    fn an_inline_image_is_shown() {
        let mut simple = json!({
            "Body": { "Html": { "Data": "<img src=\"cid:logo\">" } },
            "Attachments": [{ "ContentId": "logo", "ContentType": "image/png", "RawContent": "QUJD" }],
        });
        show_images(&mut simple);
        assert_eq!(simple["Body"]["Html"]["Data"], "<img src=\"data:image/png;base64,QUJD\">");
    }
}
