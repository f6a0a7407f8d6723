//! A function that answers at once, behind as much of Lambda's `Invoke` as the bridge asks for.
//!
//! It remembers how often each doorbell came, and nothing else: what is measured is the bridge, over a million messages.

use std::{
    io,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 4\r\n\r\nnull";

/// The API on a free port of 127.0.0.1. Dropping it closes the port.
#[derive(Debug)]
pub(super) struct Function {
    port: u16,
    seen: Arc<Seen>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Seen {
    /// How often the doorbell of each id came, ids from 0.
    times: Vec<AtomicU8>,
    distinct: AtomicU64,
    events: AtomicU64,
    strange: AtomicU64,
}

impl Function {
    /// For doorbells with ids below `ids`.
    pub(super) async fn start(ids: u64) -> Result<Self, super::Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let times = (0..ids).map(|_| AtomicU8::new(0)).collect();
        let seen = Arc::new(Seen {
            times,
            distinct: AtomicU64::new(0),
            events: AtomicU64::new(0),
            strange: AtomicU64::new(0),
        });
        let kept = Arc::clone(&seen);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // The bridge hangs up when it ends.
                tokio::spawn(serve(stream, Arc::clone(&kept)));
            }
        });
        Ok(Self { port, seen, serving })
    }

    /// What to give the bridge as the endpoint of Lambda.
    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many different doorbells came.
    pub(super) fn distinct(&self) -> u64 {
        self.seen.distinct.load(Ordering::Relaxed)
    }

    /// How many events came.
    pub(super) fn events(&self) -> u64 {
        self.seen.events.load(Ordering::Relaxed)
    }

    /// How many messages were no doorbell that was rung.
    pub(super) fn strange(&self) -> u64 {
        self.seen.strange.load(Ordering::Relaxed)
    }

    /// The ids that came more than once.
    pub(super) fn repeated(&self) -> Vec<u64> {
        let ids = (0_u64..).zip(&self.seen.times);
        ids.filter(|(_, times)| times.load(Ordering::Relaxed) > 1).map(|(id, _)| id).collect()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(stream: TcpStream, seen: Arc<Seen>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let (mut line, mut body) = (String::new(), Vec::new());
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let header = line.trim_end();
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        body.resize(length, 0);
        stream.read_exact(&mut body).await?;
        seen.take(&body);
        stream.write_all(ANSWER).await?;
    }
}

impl Seen {
    fn take(&self, event: &[u8]) {
        self.events.fetch_add(1, Ordering::Relaxed);
        let event = str::from_utf8(event).unwrap_or_default();
        for rest in event.split("\"data\":\"").skip(1) {
            let times = id_of(rest).and_then(|id| self.times.get(usize::try_from(id).ok()?));
            let Some(times) = times else {
                self.strange.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            if times.fetch_add(1, Ordering::Relaxed) == 0 {
                self.distinct.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The id in a message's data, which `rest` begins with.
fn id_of(rest: &str) -> Option<u64> {
    let (data, _) = rest.split_once('"')?;
    let body = STANDARD.decode(data).ok()?;
    let body = str::from_utf8(&body).ok()?;
    body.strip_prefix("{\"email_id\":")?.strip_suffix('}')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_came_twice_and_what_was_never_rung_is_told() {
        let function = Function::start(3).await.expect("a port");
        let message =
            |body: &str| format!("{{\"redelivered\":false,\"data\":\"{}\"}}", STANDARD.encode(body));
        let bodies = ["{\"email_id\":2}", "{\"email_id\":0}", "{\"email_id\":2}", "{\"email_id\":3}", "ring"];
        function.seen.take(bodies.map(message).join(",").as_bytes());
        assert_eq!((function.events(), function.distinct(), function.strange()), (1, 2, 2));
        assert_eq!(function.repeated(), [2]);
    }
}
