//! Where CloudFormation's answers are handed in: what came, and what is said to it.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// One answer as it came.
#[derive(Debug, Clone)]
pub(super) struct Handed {
    /// Method, path and query.
    pub(super) first: String,
    /// Names in lower case.
    pub(super) headers: Vec<String>,
    pub(super) body: Value,
}

#[derive(Debug, Default)]
struct State {
    handed: Vec<Handed>,
    /// What is said to the next ones; then 200.
    refusals: Vec<u16>,
}

/// Takes answers over plain HTTP.
pub(super) struct Desk {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Desk {
    pub(super) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State::default()));
        let desk = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&desk)));
            }
        });
        Self { port, state }
    }

    /// The next answers are refused with these.
    pub(super) fn refuse(&self, statuses: &[u16]) {
        self.state.lock().expect("not poisoned").refusals = statuses.iter().rev().copied().collect();
    }

    /// An address as CloudFormation's: what it says after the path is the permission.
    pub(super) fn address(&self) -> String {
        format!("http://127.0.0.1:{}/stack%7CSchema?X-Amz-Signature=signature-marker%3D", self.port)
    }

    /// Takes what was handed in.
    pub(super) fn take(&self) -> Vec<Handed> {
        std::mem::take(&mut self.state.lock().expect("not poisoned").handed)
    }

    /// Takes the one answer there is.
    pub(super) fn take_one(&self) -> Value {
        let handed = self.take();
        assert_eq!(handed.len(), 1, "{handed:?}");
        handed[0].body.clone()
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let first = lines.remove(0);
        let headers: Vec<String> = lines.iter().map(|line| line.to_lowercase()).collect();
        let length = headers.iter().find_map(|line| line.strip_prefix("content-length:"));
        let mut body = vec![0; length.and_then(|length| length.trim().parse().ok())?];
        stream.read_exact(&mut body).await.ok()?;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let status = {
            let mut state = state.lock().expect("not poisoned");
            state.handed.push(Handed { first, headers, body });
            state.refusals.pop().unwrap_or(200)
        };
        let answer = format!("HTTP/1.1 {status} Said\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}
