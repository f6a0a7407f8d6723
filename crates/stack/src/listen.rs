//! A listening socket on a free port that can be closed and opened again on the same port, so that connections
//! are refused by the kernel as they are when a server is away.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Accepts connections until dropped.
#[derive(Debug)]
pub(crate) struct Doorway {
    address: SocketAddr,
    wanted: watch::Sender<bool>,
    is_open: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Doorway {
    /// Listens on a free port of 127.0.0.1 and hands every connection, its `TCP_NODELAY` set, to `on_connection`.
    pub(crate) async fn open<F>(on_connection: F) -> io::Result<Self>
    where
        F: Fn(TcpStream) + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (wanted, wish) = watch::channel(true);
        let (state, is_open) = watch::channel(true);
        let task = tokio::spawn(accept(listener, address, wish, state, on_connection));
        Ok(Self { address, wanted, is_open, task })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes or reopens the port, and returns when that is done.
    pub(crate) async fn set_open(&self, open: bool) {
        self.wanted.send_replace(open);
        let mut is_open = self.is_open.clone();
        // An error means the accept loop has ended: the port is closed, whatever was asked.
        let _ = is_open.wait_for(|now| *now == open).await;
    }
}

impl Drop for Doorway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept<F>(
    mut listener: TcpListener,
    address: SocketAddr,
    mut wish: watch::Receiver<bool>,
    state: watch::Sender<bool>,
    on_connection: F,
) where
    F: Fn(TcpStream) + Send + 'static,
{
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A connection that went away before it was accepted concerns nobody.
                let Ok((stream, _)) = accepted else { continue };
                if stream.set_nodelay(true).is_ok() {
                    on_connection(stream);
                }
            }
            changed = wish.changed() => {
                if changed.is_err() {
                    return;
                }
                if *wish.borrow_and_update() {
                    continue;
                }
                drop(listener);
                state.send_replace(false);
                if wish.wait_for(|open| *open).await.is_err() {
                    return;
                }
                let Ok(again) = TcpListener::bind(address).await else { return };
                listener = again;
                state.send_replace(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::Doorway;

    #[tokio::test]
    async fn refuses_while_closed_and_accepts_again() {
        let doorway = Doorway::open(drop).await.unwrap();
        TcpStream::connect(doorway.address()).await.unwrap();
        doorway.set_open(false).await;
        let refused = TcpStream::connect(doorway.address()).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        doorway.set_open(true).await;
        TcpStream::connect(doorway.address()).await.unwrap();
    }
}
