//! An SES of a few lines: counts requests and answers with bytes.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(super) enum Behaviour {
    Answer(Vec<u8>),
    /// Keeps the connection open, and closes it when a second request has come over it.
    AnswerOnce(Vec<u8>),
    CloseAfterRequest,
    Hang,
}

pub(super) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Server {
    pub(super) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, behaviour) = (Arc::clone(&requests), Arc::new(behaviour));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&behaviour), Arc::clone(&seen)));
            }
        });
        Self { address, requests }
    }

    pub(super) async fn answering(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        Self::start(Behaviour::Answer(answer.into_bytes())).await
    }

    pub(super) async fn error(status: u16, code: &str) -> Self {
        let headers = format!("x-amzn-ErrorType: {code}\r\nx-amzn-RequestId: r-1\r\n");
        Self::answering(&format!("{status} Refused"), &headers, r#"{"message":"Because of a reason."}"#).await
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn requests(&self) -> Vec<Value> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, behaviour: Arc<Behaviour>, seen: Arc<Mutex<Vec<Value>>>) {
    let Some(request) = read_request(&mut stream).await else { return };
    seen.lock().unwrap().push(request);
    match &*behaviour {
        Behaviour::Answer(bytes) => drop(stream.write_all(bytes).await),
        Behaviour::AnswerOnce(bytes) => {
            stream.write_all(bytes).await.unwrap();
            if let Some(request) = read_request(&mut stream).await {
                seen.lock().unwrap().push(request);
            }
        }
        Behaviour::CloseAfterRequest => {}
        Behaviour::Hang => std::future::pending().await,
    }
}

/// The JSON body of the next request; `None` when the client hung up.
async fn read_request(stream: &mut TcpStream) -> Option<Value> {
    let mut received = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => received.extend_from_slice(&chunk[..n]),
        }
        let Some(end) = received.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok())
            .unwrap_or(0);
        if received.len() >= end + 4 + length {
            return Some(serde_json::from_slice(&received[end + 4..]).unwrap_or(Value::Null));
        }
    }
}
