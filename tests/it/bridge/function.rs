//! A function behind an `Invoke` API that decides by what is in the event.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use stack::gate::Gate;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::until;

/// What comes of an invocation.
pub(super) enum Answer {
    Done,
    /// The function fails.
    Fails,
    /// Lambda answers so.
    Status(u16),
    /// Nothing comes of it before the gate is released.
    Waits(Gate),
}

/// The bodies of one event.
pub(super) type Bodies = Vec<Vec<u8>>;

type Decide = Arc<dyn Fn(usize, &Bodies) -> Answer + Send + Sync>;

/// The API. Dropping it closes the port.
pub(super) struct Function {
    port: u16,
    events: Arc<Mutex<Vec<Value>>>,
    serving: JoinHandle<()>,
}

impl Function {
    /// Decides by the number of the invocation, from 0, and by the bodies.
    pub(super) async fn new(decide: impl Fn(usize, &Bodies) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (events, decide): (Arc<Mutex<Vec<Value>>>, Decide) = (Arc::default(), Arc::new(decide));
        let kept = Arc::clone(&events);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A bridge that is killed hangs up.
                tokio::spawn(serve(stream, Arc::clone(&kept), Arc::clone(&decide)));
            }
        });
        Self { port, events, serving }
    }

    pub(super) async fn good() -> Self {
        Self::new(|_, _| Answer::Done).await
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every event, in the order of their arrival.
    pub(super) fn events(&self) -> Vec<Value> {
        self.events.lock().expect("not poisoned").clone()
    }

    /// How often each body came.
    pub(super) fn times(&self) -> BTreeMap<Vec<u8>, usize> {
        let mut times = BTreeMap::new();
        for body in self.events().iter().flat_map(bodies) {
            *times.entry(body).or_default() += 1;
        }
        times
    }

    /// Waits for so many events.
    pub(super) async fn invoked(&self, times: usize) {
        until("invoked", async || self.events().len() >= times).await;
    }

    /// Waits until each of these came at least once.
    pub(super) async fn has_seen(&self, all: &[Vec<u8>]) {
        until("all have come", async || {
            let times = self.times();
            all.iter().all(|body| times.contains_key(body))
        })
        .await;
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The messages of an event.
pub(super) fn messages(event: &Value) -> Vec<Value> {
    let queues = event["rmqMessagesByQueue"].as_object().expect("queues");
    queues.values().flat_map(|messages| messages.as_array().cloned().expect("a list")).collect()
}

pub(super) fn bodies(event: &Value) -> Bodies {
    let body = |message: Value| STANDARD.decode(message["data"].as_str().expect("data")).expect("base64");
    messages(event).into_iter().map(body).collect()
}

async fn serve(stream: TcpStream, events: Arc<Mutex<Vec<Value>>>, decide: Decide) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut is_dry, mut line) = (0, false, String::new());
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            is_dry |= header == "x-amz-invocation-type: dryrun";
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        if is_dry {
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
            continue;
        }
        let event: Value = serde_json::from_slice(&body).expect("JSON");
        let (number, bodies) = {
            let mut events = events.lock().expect("not poisoned");
            events.push(event.clone());
            (events.len() - 1, bodies(&event))
        };
        let mut answer = decide(number, &bodies);
        if let Answer::Waits(gate) = &answer {
            gate.pass().await;
            answer = Answer::Done;
        }
        let (head, body) = match answer {
            Answer::Done | Answer::Waits(_) => ("200 OK".to_owned(), "null"),
            Answer::Fails => {
                let head = "200 OK\r\nx-amz-function-error: Unhandled".to_owned();
                (head, r#"{"errorType":"Poison","errorMessage":"body-marker"}"#)
            }
            Answer::Status(429) => {
                let head = "429 Too Many Requests\r\nx-amzn-errortype: TooManyRequestsException".to_owned();
                (
                    head,
                    r#"{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","message":"Rate Exceeded."}"#,
                )
            }
            Answer::Status(status) => (format!("{status} Error"), "{}"),
        };
        let answer = format!(
            "HTTP/1.1 {head}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
    }
}
