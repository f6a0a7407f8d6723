//! A private RabbitMQ broker.
//!
//! It is the real server on free ports of 127.0.0.1, with everything it keeps in a temporary folder. It takes some five
//! seconds to start, nearly all of them Erlang's own work; so tests that do not ill-treat it use [`Rabbitmq::shared`], with
//! queues of their own names. A broker that is [stopped](Rabbitmq::stop) or [killed](Rabbitmq::kill) and then
//! [restarted](Rabbitmq::restart) has the same ports, users and data; but for a quorum queue declared less than a second
//! before it was killed, which 3.10 brings back without a leader: it writes down a new queue's name every half second.
//!
//! Erlang's name server, `epmd`, is a child process too. Left to itself the broker would start one that detaches itself; it
//! takes the one it finds on its port.
//!
//! No plugin is enabled, not even the management plugin: it would cost another second and 50 MB. How many messages wait in
//! a queue is told to any AMQP client that declares it passively.

mod options;

use std::fmt::Write as _;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

pub use self::options::Options;
use self::options::Place;
use crate::certificate::Certificates;
use crate::install::{self, RabbitmqTool};
use crate::supervisor::{Running, ServerError, Supervisor, free_port, until_ready};

/// The user that every broker has, with [`PASSWORD`].
pub const USER: &str = "sendonce";

/// The password of [`USER`]. Nothing secret: the broker is private and lives as long as its test.
pub const PASSWORD: &str = "sendonce-local";

/// How long an orderly shutdown may take before it is cut short.
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// What an AMQP 0-9-1 client says first.
const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";

/// A private broker. Dropping it kills it; its folder goes with the process.
#[derive(Debug)]
pub struct Rabbitmq {
    supervisor: Arc<Supervisor>,
    tool: RabbitmqTool,
    place: Place,
    process: Mutex<Option<Running>>,
    // Dropped after the server, which has registered with it.
    name_server: Running,
}

impl Rabbitmq {
    /// Installs it if need be, starts it and waits until it greets an AMQP client.
    ///
    /// # Errors
    ///
    /// [`ServerError`] when any of that fails; the end of the server's log is in it.
    pub async fn start(options: Options) -> Result<Self, ServerError> {
        let tool = blocking(install::rabbitmq).await??;
        Self::start_with(tool, &options).await
    }

    /// The same with a server that is there.
    pub(crate) async fn start_with(tool: RabbitmqTool, options: &Options) -> Result<Self, ServerError> {
        let broker = Self::prepare(tool, options)?;
        // A broker that finds no name server starts one.
        let knock = || TcpStream::connect((Ipv4Addr::LOCALHOST, broker.place.epmd_port));
        until_ready(&broker.name_server, knock).await?;
        broker.launch().await?;
        Ok(broker)
    }

    /// The one broker, without TLS, that all tests of this process share.
    ///
    /// # Errors
    ///
    /// As [`Rabbitmq::start`]; the next call tries again.
    pub async fn shared() -> Result<&'static Self, ServerError> {
        static SHARED: OnceCell<Rabbitmq> = OnceCell::const_new();
        SHARED.get_or_try_init(|| Self::start(Options::default())).await
    }

    fn prepare(tool: RabbitmqTool, options: &Options) -> Result<Self, ServerError> {
        let supervisor = Supervisor::of_this_process()?;
        let folder = supervisor.folder("rabbitmq")?;
        let tls = if options.tls { Some((free_port()?, Certificates::make(&folder)?)) } else { None };
        let place = Place {
            folder,
            port: free_port()?,
            tls,
            epmd_port: free_port()?,
            distribution_port: free_port()?,
        };
        place.furnish(options)?;
        let name_server = supervisor.spawn(&place.name_server(&tool))?;
        Ok(Self { supervisor, tool, place, process: Mutex::new(None), name_server })
    }

    /// Starts the process and waits until it answers on every port.
    async fn launch(&self) -> Result<(), ServerError> {
        let process = self.supervisor.spawn(&self.place.server(&self.tool))?;
        until_ready(&process, || async {
            greet(self.port()).await?;
            if let Some((port, _)) = &self.place.tls {
                TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).await?;
            }
            Ok::<(), io::Error>(())
        })
        .await?;
        *self.lock() = Some(process);
        Ok(())
    }

    /// Its port on 127.0.0.1 for plain AMQP; it stays the same over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.place.port
    }

    /// Its port for AMQP over TLS, if it was started with [`Options::tls`].
    #[must_use]
    pub fn port_tls(&self) -> Option<u16> {
        self.place.tls.as_ref().map(|(port, _)| *port)
    }

    /// The certificate authority (PEM) that vouches for `localhost` and 127.0.0.1, if it was started with [`Options::tls`].
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.place.tls.as_ref().map(|(_, certificates)| certificates.ca.as_path())
    }

    /// `amqp://user:password@127.0.0.1:port/%2f` for [`USER`] in the virtual host `/`.
    #[must_use]
    pub fn uri(&self) -> String {
        self.uri_of(USER, PASSWORD, "/")
    }

    /// The same for another user, or in another virtual host.
    #[must_use]
    pub fn uri_of(&self, user: &str, password: &str, vhost: &str) -> String {
        uri("amqp", user, password, self.port(), vhost)
    }

    /// `amqps://…` for [`USER`] in the virtual host `/`, if it was started with [`Options::tls`].
    #[must_use]
    pub fn uri_tls(&self) -> Option<String> {
        self.port_tls().map(|port| uri("amqps", USER, PASSWORD, port, "/"))
    }

    /// The server's process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.lock().as_ref().map(Running::pid)
    }

    /// The end of the server's log, while it runs.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.lock().as_ref().map_or_else(String::new, Running::log_tail)
    }

    /// Shuts it down in order, as an operator would. It can be [restarted](Rabbitmq::restart).
    ///
    /// # Errors
    ///
    /// [`ServerError::NotRunning`] or [`ServerError::Signal`].
    pub async fn stop(&self) -> Result<(), ServerError> {
        let process = self.take()?;
        blocking(move || process.terminate(STOPS_WITHIN)).await??;
        Ok(())
    }

    /// Kills it (SIGKILL), as a power cut would. It can be [restarted](Rabbitmq::restart).
    ///
    /// # Errors
    ///
    /// [`ServerError::NotRunning`].
    pub async fn kill(&self) -> Result<(), ServerError> {
        let process = self.take()?;
        blocking(move || process.kill()).await?;
        Ok(())
    }

    /// Starts it again on the same ports and data, stopping it in order first if it runs.
    ///
    /// # Errors
    ///
    /// As [`Rabbitmq::start`].
    pub async fn restart(&self) -> Result<(), ServerError> {
        if self.pid().is_some() {
            self.stop().await?;
        }
        self.launch().await
    }

    /// Freezes it (SIGSTOP): connections stay open, new ones too, nothing answers.
    ///
    /// # Errors
    ///
    /// [`ServerError::NotRunning`] or [`ServerError::Signal`].
    pub fn suspend(&self) -> Result<(), ServerError> {
        self.signal(Signal::STOP)
    }

    /// Lets a suspended broker go on.
    ///
    /// # Errors
    ///
    /// [`ServerError::NotRunning`] or [`ServerError::Signal`].
    pub fn resume(&self) -> Result<(), ServerError> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), ServerError> {
        self.lock().as_ref().ok_or_else(not_running)?.signal(signal)
    }

    fn take(&self) -> Result<Running, ServerError> {
        self.lock().take().ok_or_else(not_running)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_running() -> ServerError {
    ServerError::NotRunning { name: "rabbitmq".into() }
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ServerError> {
    spawn_blocking(work)
        .await
        .map_err(|error| ServerError::Request { name: "rabbitmq".into(), source: error.into() })
}

/// Says the protocol header; a broker that takes clients answers with a method frame, whose type is 1.
async fn greet(port: u16) -> io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(PROTOCOL_HEADER).await?;
    match stream.read_u8().await? {
        1 => Ok(()),
        other => Err(io::Error::other(format!("it greets with {other}"))),
    }
}

fn uri(scheme: &str, user: &str, password: &str, port: u16, vhost: &str) -> String {
    let (user, password, vhost) = (encoded(user), encoded(password), encoded(vhost));
    format!("{scheme}://{user}:{password}@127.0.0.1:{port}/{vhost}")
}

/// As one part of a URI.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02x}");
        }
        out
    })
}

#[cfg(test)]
mod tests;
