//! A queue that takes everything and shows what it was sent, system attributes included: ministack drops those.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// The queue.
pub(super) struct Queue {
    endpoint: String,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Queue {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let book = Arc::clone(&taken);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&book)));
            }
        });
        Self { endpoint, taken }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn url(&self) -> String {
        format!("{}/111122223333/urgent", self.endpoint)
    }

    /// The messages, whether they came one by one or ten at a time.
    pub(super) fn messages(&self) -> Vec<Value> {
        let taken = self.taken.lock().expect("not poisoned");
        let all = taken.iter().flat_map(|call| match &call["Entries"] {
            Value::Array(entries) => entries.clone(),
            _ => vec![call.clone()],
        });
        all.collect()
    }
}

async fn serve(stream: TcpStream, book: Arc<Mutex<Vec<Value>>>) {
    let mut stream = BufReader::new(stream);
    while let Some(call) = call(&mut stream).await {
        let answer = match &call["Entries"] {
            Value::Array(entries) => {
                let taken =
                    |entry: &Value| json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "d"});
                json!({"Successful": entries.iter().map(taken).collect::<Vec<_>>(), "Failed": []})
            }
            _ => json!({"MessageId": "m", "MD5OfMessageBody": "d"}),
        }
        .to_string();
        book.lock().expect("not poisoned").push(call);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        if stream.write_all((head + &answer).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The body of the next request, which says how long it is.
async fn call(stream: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    serde_json::from_slice(&body).ok()
}
