//! Against a server that speaks as MySQL does: it greets first, then answers each line with the line.

use std::{
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::{Action, Closed, How, On, Point, Proxy};
use crate::listen::Doorway;

struct Echo {
    doorway: Doorway,
    lines: Arc<AtomicUsize>,
}

async fn echo() -> Echo {
    let lines = Arc::new(AtomicUsize::new(0));
    let doorway = Doorway::open({
        let lines = Arc::clone(&lines);
        move |stream| {
            let lines = Arc::clone(&lines);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                stream.write_all(b"hello\n").await.unwrap();
                while stream.read_line(&mut line).await.is_ok_and(|length| length > 0) && line != "quit\n" {
                    lines.fetch_add(1, Ordering::SeqCst);
                    if stream.write_all(line.as_bytes()).await.is_err() {
                        break;
                    }
                    line.clear();
                }
            });
        }
    })
    .await
    .unwrap();
    Echo { doorway, lines }
}

struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(proxy: &Proxy) -> Self {
        let mut client = Self(BufReader::new(TcpStream::connect(proxy.address()).await.unwrap()));
        assert_eq!(client.read().await.unwrap(), "hello\n");
        client
    }

    async fn write(&mut self, line: &str) {
        self.0.write_all(line.as_bytes()).await.unwrap();
    }

    async fn read(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        Ok(line)
    }

    async fn ask(&mut self, line: &str) -> std::io::Result<String> {
        self.write(line).await;
        self.read().await
    }
}

async fn proxied() -> (Echo, Proxy) {
    let echo = echo().await;
    let proxy = Proxy::start(echo.doorway.address()).await.unwrap();
    (echo, proxy)
}

#[tokio::test]
async fn counts_connections_bytes_and_round_trips() {
    let (_echo, proxy) = proxied().await;
    for _ in 0..2 {
        let mut client = Client::connect(&proxy).await;
        assert_eq!(client.ask("one\n").await.unwrap(), "one\n");
        assert_eq!(client.ask("two\n").await.unwrap(), "two\n");
        client.write("quit\n").await;
        drop(client);
        proxy.idle().await;
    }
    let totals = proxy.totals();
    assert_eq!((totals.connections, totals.open, totals.peak_open), (2, 0, 1));
    assert_eq!((totals.requests, totals.round_trips, totals.unanswered_requests), (6, 4, 2));
    assert_eq!((totals.bytes_up, totals.bytes_down), (26, 28));
    assert_eq!(proxy.connections()[1].round_trips, 2);
    proxy.reset();
    assert_eq!(proxy.totals(), super::Totals::default());
}

#[tokio::test]
async fn a_lost_answer_was_done_by_the_server() {
    let (echo, proxy) = proxied().await;
    proxy.lose_answer(1);
    let mut client = Client::connect(&proxy).await;
    client.ask("one\n").await.unwrap();
    assert_eq!(client.ask("two\n").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(echo.lines.load(Ordering::SeqCst), 2);
    proxy.idle().await;
    assert_eq!(proxy.connections()[0].closed, Closed::Cut);
    // The script is used up.
    let mut client = Client::connect(&proxy).await;
    client.ask("one\n").await.unwrap();
    client.ask("two\n").await.unwrap();
}

#[tokio::test]
async fn a_request_cut_off_never_reaches_the_server() {
    let (echo, proxy) = proxied().await;
    proxy.script(On::Next, Point::Request(1), Action::Cut(How::Close));
    let mut client = Client::connect(&proxy).await;
    client.ask("one\n").await.unwrap();
    assert_eq!(client.ask("two\n").await.unwrap(), "", "an orderly close reads as an end of file");
    assert_eq!(echo.lines.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn holds_a_request_and_an_answer() {
    let (echo, proxy) = proxied().await;
    let request = proxy.hold(0);
    let answer = proxy.hold_answer(0);
    let mut client = Client::connect(&proxy).await;
    client.write("one\n").await;
    request.reached().await;
    proxy.reached(Point::Request(0)).await;
    assert_eq!(echo.lines.load(Ordering::SeqCst), 0, "the server saw what is held");
    request.release();
    answer.reached().await;
    assert_eq!(echo.lines.load(Ordering::SeqCst), 1);
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(1), client.0.read(&mut byte)).await;
    assert!(early.is_err(), "the client saw what is held");
    answer.release();
    assert_eq!(client.read().await.unwrap(), "one\n");
}

#[tokio::test]
async fn a_stall_keeps_the_connection_open_until_cut() {
    let (echo, proxy) = proxied().await;
    proxy.stall_after_request(0);
    let mut client = Client::connect(&proxy).await;
    client.write("one\n").await;
    proxy.reached(Point::Answer(0)).await;
    assert_eq!(echo.lines.load(Ordering::SeqCst), 1);
    assert_eq!(proxy.totals().open, 1);
    proxy.cut_all(How::Reset);
    assert_eq!(client.read().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    proxy.idle().await;
}

#[tokio::test]
async fn a_blackhole_takes_old_and_new_connections() {
    let (echo, proxy) = proxied().await;
    let mut old = Client::connect(&proxy).await;
    proxy.blackhole(true);
    old.write("one\n").await;
    let mut new = TcpStream::connect(proxy.address()).await.unwrap();
    new.write_all(b"one\n").await.unwrap();
    let mut byte = [0];
    assert!(tokio::time::timeout(Duration::from_millis(5), new.read(&mut byte)).await.is_err());
    assert_eq!(echo.lines.load(Ordering::SeqCst), 0);
    proxy.cut_all(How::Close);
    proxy.idle().await;
    proxy.blackhole(false);
    Client::connect(&proxy).await.ask("one\n").await.unwrap();
}

#[tokio::test]
async fn refuses_and_delays() {
    let (_echo, proxy) = proxied().await;
    let mut client = Client::connect(&proxy).await;
    proxy.refuse(true).await;
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    proxy.delay(Duration::from_millis(15));
    let asked = Instant::now();
    client.ask("one\n").await.unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(30), "delayed both ways");
    proxy.refuse(false).await;
    Client::connect(&proxy).await;
}
