//! What RDS is to a client with a token: a server that wants the token in clear, over TLS, and then is MySQL.
//!
//! No server of this machine asks for `mysql_clear_password`. So this stands before a real one and does the login by itself:
//! it passes the greeting on, takes up TLS, asks for the password in clear, and looks at what it is told as RDS does, but
//! for the signature, which nobody can check without the secret key. Then it logs in to the real server as the same user,
//! who must have no password there, and from then on copies bytes.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    net::TcpStream,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use crate::{certificate::Certificates, listen::Doorway};

/// Capability bit: the server can do TLS, the client wants it.
const SSL: u32 = 0x0800;
/// Capability bit: the length of the client's answer is a length-encoded number.
const LENGTH_ENCODED: u32 = 0x0020_0000;

/// The front, on a free port of 127.0.0.1.
#[derive(Debug)]
pub struct Rds {
    doorway: Doorway,
    ca_file: PathBuf,
    shared: Arc<Shared>,
    _folder: TempDir,
}

struct Shared {
    server: SocketAddr,
    acceptor: TlsAcceptor,
    state: Mutex<State>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("server", &self.server).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    told: Vec<Told>,
    refuses: bool,
    hides_tls: bool,
}

/// What a client told when it was asked for its password in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The user it had named.
    pub user: String,
    /// The password.
    pub password: String,
}

impl Rds {
    /// Stands before the server at this port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// No port could be had, or no certificate be made.
    pub async fn before(port: u16) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let files = Certificates::make(folder.path()).map_err(io::Error::other)?;
        let chain = CertificateDer::pem_file_iter(&files.certificate).map_err(io::Error::other)?;
        let chain = chain.collect::<Result<_, _>>().map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(io::Error::other)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(io::Error::other)?;
        // They cross the client's login and would count as an answer; no client here uses them.
        config.send_tls13_tickets = 0;
        let shared = Arc::new(Shared {
            server: ([127, 0, 0, 1], port).into(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            state: Mutex::default(),
        });
        let doorway = Doorway::open({
            let shared = Arc::clone(&shared);
            move |stream| {
                let shared = Arc::clone(&shared);
                // A client that hangs up in the midst is what some tests are about.
                tokio::spawn(async move {
                    let _ = shared.serve(stream).await;
                });
            }
        })
        .await?;
        Ok(Self { doorway, ca_file: files.ca, shared, _folder: folder })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.doorway.address().port()
    }

    /// The authority (PEM) that vouches for it.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// What it was told so far, whatever it thought of it.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        self.shared.state().told.clone()
    }

    /// Whether it takes no token from now on.
    pub fn refuse(&self, refuses: bool) {
        self.shared.state().refuses = refuses;
    }

    /// Whether its greeting says from now on that it cannot do TLS.
    pub fn hide_tls(&self, hides_tls: bool) {
        self.shared.state().hides_tls = hides_tls;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let mut server = TcpStream::connect(self.server).await?;
        server.set_nodelay(true)?;
        let mut greeting = read(&mut server).await?;
        if self.state().hides_tls {
            greeting.clear_capability(SSL)?;
        }
        write(&mut client, &greeting).await?;
        let request = read(&mut client).await?;
        if request.client_capabilities()? & SSL == 0 {
            // It goes on in plaintext, where it is asked all the same: it should not answer.
            return self.log_in(client, request, server).await;
        }
        let mut client = self.acceptor.accept(client).await?;
        let login = read(&mut client).await?;
        self.log_in(client, login, server).await
    }

    async fn log_in(
        &self,
        mut client: impl AsyncRead + AsyncWrite + Unpin,
        mut login: Packet,
        mut server: TcpStream,
    ) -> io::Result<()> {
        let user = login.user()?;
        let question = Packet { sequence: login.sequence + 1, body: b"\xfemysql_clear_password\0".to_vec() };
        write(&mut client, &question).await?;
        let answer = read(&mut client).await?;
        let password = String::from_utf8_lossy(&answer.body).trim_end_matches('\0').to_owned();
        let is_good = is_token_of(&password, &user);
        let refuses = {
            let mut state = self.state();
            state.told.push(Told { user, password });
            state.refuses
        };
        let sequence = answer.sequence + 1;
        if refuses || !is_good {
            let body = b"\xff\x15\x04#28000Access denied".to_vec();
            return write(&mut client, &Packet { sequence, body }).await;
        }
        login.forget_password()?;
        login.sequence = 1;
        write(&mut server, &login).await?;
        let verdict = read(&mut server).await?;
        write(&mut client, &Packet { sequence, ..verdict }).await?;
        // When one side hangs up, so does this on the other, as MySQL does: without a farewell of TLS.
        let ((from_client, to_client), (from_server, to_server)) = (split(client), split(server));
        tokio::select! {
            ended = pass(from_client, to_server) => ended,
            ended = pass(from_server, to_client) => ended,
        }
    }
}

/// Whether RDS would look at the signature: a request to connect as this user, good for a quarter of an hour.
fn is_token_of(password: &str, user: &str) -> bool {
    let Some((host, query)) = password.split_once("/?") else { return false };
    let has = |wanted: &str| query.split('&').any(|part| part == wanted);
    host.contains(':')
        && has("Action=connect")
        && has(&format!("DBUser={user}"))
        && has("X-Amz-Expires=900")
        && has("X-Amz-SignedHeaders=host")
        && query.contains("%2Frds-db%2Faws4_request")
        && query.split('&').any(|part| part.starts_with("X-Amz-Signature="))
}

/// A packet of the protocol, without its length.
#[derive(Debug)]
struct Packet {
    sequence: u8,
    body: Vec<u8>,
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Packet> {
    let [low, middle, high, sequence] = stream.read_u32().await?.to_be_bytes();
    let length = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Packet { sequence, body })
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), packet: &Packet) -> io::Result<()> {
    let length = u32::try_from(packet.body.len()).map_err(io::Error::other)?.to_le_bytes();
    let mut bytes = vec![length[0], length[1], length[2], packet.sequence];
    bytes.extend_from_slice(&packet.body);
    stream.write_all(&bytes).await?;
    stream.flush().await
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match from.read(&mut buffer).await? {
            0 => return Ok(()),
            length => to.write_all(&buffer[..length]).await?,
        }
        to.flush().await?;
    }
}

fn short() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

impl Packet {
    /// Of a client's first packet.
    fn client_capabilities(&self) -> io::Result<u32> {
        let bytes = self.body.first_chunk().ok_or_else(short)?;
        Ok(u32::from_le_bytes(*bytes))
    }

    /// Of a server's greeting: version, its name up to a zero, connection, eight bytes, a zero; then the lower half.
    fn clear_capability(&mut self, bit: u32) -> io::Result<()> {
        let name = self.body.iter().position(|byte| *byte == 0).ok_or_else(short)?;
        let at = name + 1 + 4 + 8 + 1;
        let high = self.body.get_mut(at + 1).ok_or_else(short)?;
        *high &= !bit.to_le_bytes()[1];
        Ok(())
    }

    /// Where the user's name ends, in a client's login: capabilities, packet size, character set, 23 zeros, the name, a zero.
    fn user_end(&self) -> io::Result<usize> {
        let rest = self.body.get(32..).ok_or_else(short)?;
        Ok(32 + rest.iter().position(|byte| *byte == 0).ok_or_else(short)?)
    }

    fn user(&self) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&self.body[32..self.user_end()?]).into_owned())
    }

    /// Makes it the login of somebody without a password, in plaintext.
    fn forget_password(&mut self) -> io::Result<()> {
        let capabilities = self.client_capabilities()?;
        let at = self.user_end()? + 1;
        // Both kinds of length are the one byte here: an answer to a challenge is never long.
        let length = usize::from(*self.body.get(at).ok_or_else(short)?);
        self.body.splice(at..=at + length, [0]);
        self.body[..4].copy_from_slice(&(capabilities & !SSL & !LENGTH_ENCODED).to_le_bytes());
        Ok(())
    }
}
