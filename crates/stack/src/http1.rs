//! As much HTTP/1.1 as the stand-ins need, byte by byte.
//!
//! A server library would hide what these servers must be able to do: answer half a response, reset a connection
//! after a request was read, see a client hang up while it waits.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Longest request head accepted.
const HEAD_LIMIT: usize = 64 * 1024;
/// Longest body accepted: 40 MB of message, base64 and JSON around it, with room to refuse what is over.
const BODY_LIMIT: usize = 96 * 1024 * 1024;

/// A request, read whole.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Request {
    /// The value of a header; names compare without case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// All headers, as they came.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How often a header occurs.
    pub(crate) fn header_count(&self, name: &str) -> usize {
        self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).count()
    }
}

/// A response, read whole.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Response {
    /// The value of a header; names compare without case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

/// A connection with what has been read from it but not yet consumed.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: BytesMut::with_capacity(8 * 1024) }
    }

    /// Waits until a request begins; `false` when the peer closed instead.
    pub(crate) async fn request_begins(&self) -> io::Result<bool> {
        if !self.buffer.is_empty() {
            return Ok(true);
        }
        let mut byte = [0];
        Ok(self.stream.peek(&mut byte).await? > 0)
    }

    /// The next request, or `None` when the peer closed between two requests.
    ///
    /// # Errors
    ///
    /// The connection broke, or what came is not HTTP/1.1.
    pub(crate) async fn read_request(&mut self) -> io::Result<Option<Request>> {
        let Some((first, headers)) = self.read_head().await? else { return Ok(None) };
        let mut words = first.split(' ');
        let (method, path) = match (words.next(), words.next(), words.next(), words.next()) {
            (Some(method), Some(path), Some("HTTP/1.1"), None) => (method.to_owned(), path.to_owned()),
            _ => return Err(malformed("request line")),
        };
        if find(&headers, "expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = self.read_body(&headers).await?;
        Ok(Some(Request { method, path, headers, body }))
    }

    /// The response to a request this side has written.
    pub(crate) async fn read_response(&mut self) -> io::Result<(u16, Bytes)> {
        let response = self.read_whole_response().await?;
        Ok((response.status, response.body))
    }

    /// The same, with its headers.
    pub(crate) async fn read_whole_response(&mut self) -> io::Result<Response> {
        let (first, headers) = self.read_head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(malformed("status"))?;
        let body = self.read_body(&headers).await?;
        Ok(Response { status, headers, body })
    }

    /// Returns when the peer has closed or broken the connection, or has sent more.
    pub(crate) async fn peer_stirs(&self) {
        let mut byte = [0];
        // Already buffered bytes would be a pipelined request, which no client here sends.
        let _ = self.stream.peek(&mut byte).await;
    }

    /// Writes bytes as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Writes a response in one piece.
    pub(crate) async fn respond(
        &mut self,
        status: u16,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        self.stream.write_all(&response(status, headers, body, body.len())).await
    }

    /// Ends the connection with a reset instead of an orderly close.
    pub(crate) fn reset(self) {
        // When even this fails the socket is already gone, which is what was asked for.
        let _ = self.stream.set_zero_linger();
    }

    async fn read_head(&mut self) -> io::Result<Option<(String, Vec<(String, String)>)>> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if self.buffer.len() > HEAD_LIMIT {
                return Err(malformed("head too long"));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        };
        let head = self.buffer.split_to(end + 4);
        let head = std::str::from_utf8(&head[..end]).map_err(|_| malformed("head is not text"))?;
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').ok_or(malformed("header line"))?;
                Ok((name.to_owned(), value.trim().to_owned()))
            })
            .collect::<io::Result<_>>()?;
        Ok(Some((first, headers)))
    }

    async fn read_body(&mut self, headers: &[(String, String)]) -> io::Result<Bytes> {
        if find(headers, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return self.read_chunks().await;
        }
        let Some(length) = find(headers, "content-length") else { return Ok(Bytes::new()) };
        let length = length.parse().map_err(|_| malformed("content-length"))?;
        self.read_exactly(length).await
    }

    async fn read_exactly(&mut self, length: usize) -> io::Result<Bytes> {
        if length > BODY_LIMIT {
            return Err(malformed("body too long"));
        }
        self.buffer.reserve(length.saturating_sub(self.buffer.len()));
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn read_chunks(&mut self) -> io::Result<Bytes> {
        let mut body = BytesMut::new();
        loop {
            let line = self.read_line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| malformed("chunk size"))?;
            if body.len() + size > BODY_LIMIT {
                return Err(malformed("body too long"));
            }
            if size == 0 {
                // Trailers end at an empty line; nothing here reads them.
                while !self.read_line().await?.is_empty() {}
                return Ok(body.freeze());
            }
            body.extend_from_slice(&self.read_exactly(size).await?);
            if !self.read_line().await?.is_empty() {
                return Err(malformed("chunk end"));
            }
        }
    }

    async fn read_line(&mut self) -> io::Result<String> {
        let end = loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                break end;
            }
            if self.buffer.len() > HEAD_LIMIT {
                return Err(malformed("line too long"));
            }
            self.fill().await?;
        };
        let line = self.buffer.split_to(end);
        self.buffer.advance(2);
        String::from_utf8(line.to_vec()).map_err(|_| malformed("line is not text"))
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// The bytes of a response whose `content-length` says `length`, which a scripted fault may make a lie.
pub(crate) fn response(status: u16, headers: &[(&str, &str)], body: &[u8], length: usize) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status} {}\r\n", reason(status)).into_bytes();
    for (name, value) in headers {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    out.extend_from_slice(format!("content-length: {length}\r\n\r\n").as_bytes());
    out.extend_from_slice(body);
    out
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        413 => "Payload Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP/1.1: {what}"))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
    };

    use super::{Connection, response};

    async fn pair() -> (TcpStream, Connection) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, Connection::new(listener.accept().await.unwrap().0))
    }

    #[tokio::test]
    async fn reads_two_requests_and_the_end() {
        let (mut client, mut server) = pair().await;
        client
            .write_all(
                b"POST /a HTTP/1.1\r\nX-One:  1 \r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\n",
            )
            .await
            .unwrap();
        drop(client);
        let first = server.read_request().await.unwrap().unwrap();
        assert_eq!(
            (first.method.as_str(), first.path.as_str(), first.header("x-one")),
            ("POST", "/a", Some("1"))
        );
        assert_eq!(first.body.as_ref(), b"abc");
        assert_eq!(server.read_request().await.unwrap().unwrap().path, "/b");
        assert!(server.read_request().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn reads_chunks_and_refuses_half_a_body() {
        let (mut client, mut server) = pair().await;
        client
            .write_all(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\nT: x\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(server.read_request().await.unwrap().unwrap().body.as_ref(), b"abcd");
        client.write_all(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab").await.unwrap();
        drop(client);
        assert!(server.read_request().await.is_err());
    }

    #[tokio::test]
    async fn reads_its_own_response() {
        let (mut client, mut server) = pair().await;
        client.write_all(&response(429, &[("x-a", "b")], b"{}", 2)).await.unwrap();
        let (status, body) = server.read_response().await.unwrap();
        assert_eq!((status, body.as_ref()), (429, &b"{}"[..]));
    }
}
