//! Waiting for a server by talking to it.

use std::fmt::Display;
use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::handshake;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Running, ServerError};

/// One that ends is noticed at once, so this is for those that hang. RabbitMQ takes over a minute beside enough other work.
const WITHIN: Duration = Duration::from_mins(4);

/// The pause between two knocks. It is no guess at how long a start takes.
const PAUSE: Duration = Duration::from_millis(5);

/// The longest that one request may take: nothing here is far away or slow.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Knocks until the server lets in; tells early, and with its log, when it ended instead.
pub(crate) async fn until_ready<K, T, E>(server: &Running, knock: impl Fn() -> K) -> Result<T, ServerError>
where
    K: Future<Output = Result<T, E>>,
    E: Display,
{
    let begun = Instant::now();
    loop {
        let error = match knock().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if let Some(ended) = server.ended() {
            return Err(ended);
        }
        if begun.elapsed() > WITHIN {
            return Err(ServerError::NotReady {
                name: server.name().into(),
                waited_s: begun.elapsed().as_secs(),
                reason: error.to_string(),
                log: server.log_tail(),
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One HTTP request without a body to a server on 127.0.0.1; anything but 200 is an error.
pub(crate) async fn request(method: Method, port: u16, path: &str) -> io::Result<Bytes> {
    let asked = tokio::time::timeout(ANSWERS_WITHIN, ask(method, port, path)).await;
    asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn ask(method: Method, port: u16, path: &str) -> io::Result<Bytes> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, format!("127.0.0.1:{port}"))
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        if status.as_u16() == 200 { Ok(body) } else { Err(io::Error::other(format!("it answered {status}"))) }
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection ends first when the answer is already complete, or when it never will be.
        ended = connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(io::Error::other(error)),
        },
    }
}
