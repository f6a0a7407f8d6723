//! The socket below a connection, and the end of it.
//!
//! lapin has no way to give up a connection that is being made: dropped, it would wait for an answer for ever, in a thread
//! of its own. A broker that hangs would cost a thread with each attempt. So the bridge keeps a second handle on the
//! socket, and shuts it.

use std::{
    io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_rs::{TokioRuntime, traits::Reactor};
use lapin::tcp::{AsyncTcpStream, RustlsConnector, RustlsConnectorConfig};
use tokio::sync::oneshot;

use crate::config::BrokerConfig;

/// Bound of finding the host, connecting and TLS.
const CONNECT: Duration = Duration::from_secs(10);

type Stream = AsyncTcpStream<<TokioRuntime as Reactor>::TcpStream>;

/// The way to the socket of one connection.
#[derive(Debug, Clone)]
pub(super) struct Wire(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    abandoned: AtomicBool,
    socket: Mutex<Option<TcpStream>>,
    first: Mutex<Option<oneshot::Sender<io::Error>>>,
}

impl Wire {
    /// A new one, and the place where the failure of its first attempt is told.
    pub(super) fn new() -> (Self, oneshot::Receiver<io::Error>) {
        let (first, failed) = oneshot::channel();
        let first = Mutex::new(Some(first));
        (Self(Arc::new(Inner { abandoned: AtomicBool::new(false), socket: Mutex::new(None), first })), failed)
    }

    /// Connects, as far as TLS.
    pub(super) async fn connect(&self, config: &BrokerConfig, runtime: &TokioRuntime) -> io::Result<Stream> {
        let connected = match tokio::time::timeout(CONNECT, self.attempt(config, runtime)).await {
            Ok(connected) => connected,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let first = self.0.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        connected.map_err(|error| {
            let again = io::Error::new(error.kind(), error.to_string());
            // Nobody listens any more when it was not the first.
            let _ = first.map(|first| first.send(error));
            again
        })
    }

    async fn attempt(&self, config: &BrokerConfig, runtime: &TokioRuntime) -> io::Result<Stream> {
        let authority = &config.uri.authority;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in tokio::net::lookup_host((authority.host.as_str(), authority.port)).await? {
            match AsyncTcpStream::connect(runtime, address).await {
                Ok(stream) => {
                    self.keep(&stream)?;
                    if !config.has_tls() {
                        return Ok(stream);
                    }
                    return stream.into_rustls(&tls(config)?, &authority.host).await;
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn keep(&self, stream: &Stream) -> io::Result<()> {
        let mut socket = self.0.socket.lock().unwrap_or_else(PoisonError::into_inner);
        if self.0.abandoned.load(Ordering::SeqCst) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "given up"));
        }
        if let AsyncTcpStream::Plain(plain) = stream {
            *socket = Some(plain.get_ref().as_fd().try_clone_to_owned()?.into());
        }
        Ok(())
    }

    /// Ends it for good.
    pub(super) fn abandon(&self) {
        let mut socket = self.0.socket.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.abandoned.store(true, Ordering::SeqCst);
        if let Some(socket) = socket.take() {
            // It may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Only those authorities that were named are trusted, where any were.
fn tls(config: &BrokerConfig) -> io::Result<RustlsConnector> {
    let connector = match &config.authorities {
        Some(authorities) => RustlsConnectorConfig::default().with_parsable_certificates(authorities.clone()),
        None => RustlsConnectorConfig::new_with_webpki_root_certs(),
    };
    connector.connector_with_no_client_auth()
}
