//! A forwarder that keeps what the client said.
//!
//! The yardstick sends the very bytes that the function sends, and this is where they are read off.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Listens on a free port of 127.0.0.1; connections are forwarded one after the other.
#[derive(Debug)]
pub(super) struct Tee {
    port: u16,
    said: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Tee {
    pub(super) async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let said = Arc::<Mutex<Vec<u8>>>::default();
        let keep = Arc::clone(&said);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A connection that breaks shows as an email that was not sent.
                let _ = forward(client, target, &keep).await;
            }
        });
        Ok(Self { port, said, task })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Everything the clients said, in order.
    pub(super) fn said(&self) -> Vec<u8> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut client: TcpStream, target: SocketAddr, keep: &Mutex<Vec<u8>>) -> io::Result<()> {
    let mut server = TcpStream::connect(target).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = async {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            match from_client.read(&mut buffer).await? {
                0 => return to_server.shutdown().await,
                read => {
                    keep.lock().unwrap_or_else(PoisonError::into_inner).extend(&buffer[..read]);
                    to_server.write_all(&buffer[..read]).await?;
                }
            }
        }
    };
    let down = async {
        tokio::io::copy(&mut from_server, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::try_join!(up, down).map(|_| ())
}
