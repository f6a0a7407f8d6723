//! TCP_NODELAY for a library that does not set it.
//!
//! sqlx 0.9.0 opens its TCP socket without TCP_NODELAY (launchbadge/sqlx#4335). With TLS the client's last handshake
//! flight and its login are two small writes, so Nagle's algorithm meets the server's delayed acknowledgement and every
//! connect stalls for some 40 ms. The fix is merged but not released.
//!
//! Until it is, sqlx dials a Unix socket whose other end is here, and the bytes are copied to a TCP stream with nodelay
//! set. TLS stays end to end and the host name is still verified: sqlx does both above this socket.
//!
//! **When this module can go:** with the first sqlx release that contains the fix. Then `Database::connect` uses
//! `host` and `port` directly, and the test that counts round trips and the one that compares TLS with plaintext stay
//! as they are. See docs/decisions/0001-nodelay-relay.md.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixListener, UnixStream},
    task::JoinHandle,
};

/// One relayed connection.
#[derive(Debug)]
pub(super) struct Relay {
    name: PathBuf,
    copying: JoinHandle<io::Result<()>>,
}

impl Relay {
    /// Opens the TCP connection and the Unix socket in front of it, which accepts one connection of this process.
    ///
    /// # Errors
    ///
    /// When the TCP connection cannot be established.
    pub(super) async fn open(host: &str, port: u16) -> io::Result<Self> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let tcp = TcpStream::connect((host, port)).await?;
        tcp.set_nodelay(true)?;
        // An abstract name (leading NUL) leaves nothing behind in the file system, whatever dies.
        let name = PathBuf::from(format!(
            "\0sendonce-{}-{}",
            std::process::id(),
            SERIAL.fetch_add(1, Ordering::Relaxed)
        ));
        let listener = UnixListener::bind(&name)?;
        let copying = tokio::spawn(async move {
            let unix = accept_own(&listener).await?;
            drop(listener);
            copy(unix, tcp).await
        });
        Ok(Self { name, copying })
    }

    /// What sqlx dials.
    pub(super) fn path(&self) -> &Path {
        &self.name
    }

    /// Waits until everything that was written has left and the server has hung up, at most `limit`.
    pub(super) async fn finish(mut self, limit: Duration) {
        if tokio::time::timeout(limit, &mut self.copying).await.is_err() {
            self.copying.abort();
        }
    }
}

impl Drop for Relay {
    /// A relay that was not finished takes its TCP connection with it.
    fn drop(&mut self) {
        self.copying.abort();
    }
}

/// Accepts a connection of this process. An abstract name has no file permissions: anybody on the machine may dial it.
async fn accept_own(listener: &UnixListener) -> io::Result<UnixStream> {
    loop {
        let (stream, _) = listener.accept().await?;
        let dialler = stream.peer_cred()?.pid();
        if dialler.and_then(|pid| u32::try_from(pid).ok()) == Some(std::process::id()) {
            return Ok(stream);
        }
    }
}

/// Copies both ways until either side has hung up and the other has been told.
async fn copy(mut unix: UnixStream, mut tcp: TcpStream) -> io::Result<()> {
    let (from_client, to_client) = unix.split();
    let (from_server, to_server) = tcp.split();
    let (up, down) = tokio::join!(pump(from_client, to_server), pump(from_server, to_client));
    up.and(down)
}

async fn pump(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
) -> io::Result<()> {
    // Not zeroed: there is one for every email.
    let mut buffer = Vec::with_capacity(16 * 1024);
    let copied = loop {
        match from.read_buf(&mut buffer).await {
            Ok(0) => break Ok(()),
            Ok(_) => {
                if let Err(error) = to.write_all(&buffer).await {
                    break Err(error);
                }
                buffer.clear();
            }
            Err(error) => break Err(error),
        }
    };
    // Passing the end on, also after an error, is what makes the other pump end.
    let _ = to.shutdown().await;
    copied
}
