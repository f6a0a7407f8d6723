//! Which server, and how it is started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::install;
use crate::supervisor::{Program, ServerError};

/// MySQL refuses a row whose blobs exceed a tenth of the redo log, and an email may carry 40 MB.
const MYSQL_REDO: &str = "--innodb-redo-log-capacity=512M";

/// The same log for a template and for the servers copied from it.
const MARIADB_REDO: &str = "--innodb-log-file-size=16M";

/// Which make of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// MariaDB, from Debian's stable packages.
    MariaDb,
    /// Oracle's MySQL 9, from Debian unstable.
    MySql,
}

impl std::fmt::Display for Flavor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::MariaDb => "MariaDB",
            Self::MySql => "MySQL",
        })
    }
}

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Options {
    pub(super) flavor: Flavor,
    pub(super) args: Vec<String>,
}

impl Options {
    /// A server with small buffers and otherwise default settings.
    #[must_use]
    pub fn new(flavor: Flavor) -> Self {
        Self { flavor, args: Vec::new() }
    }

    /// Adds one argument of the server, such as `--wait-timeout=2`. It overrides what this crate sets.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }
}

/// The installed programs of one make.
#[derive(Debug, Clone)]
pub(super) enum Tool {
    MariaDb(install::MariaDbTool),
    MySql(install::MysqlTool),
}

impl Tool {
    /// Finds the programs, and installs them where they are missing. Blocks.
    pub(super) fn find(flavor: Flavor) -> Result<Self, ServerError> {
        Ok(match flavor {
            Flavor::MariaDb => Self::MariaDb(install::mariadb()?),
            Flavor::MySql => Self::MySql(install::mysql()?),
        })
    }

    pub(super) fn flavor(&self) -> Flavor {
        match self {
            Self::MariaDb(_) => Flavor::MariaDb,
            Self::MySql(_) => Flavor::MySql,
        }
    }

    /// The server's binary, whose size and date identify its version without running it.
    pub(super) fn binary(&self) -> &Path {
        match self {
            Self::MariaDb(tool) => &tool.server,
            Self::MySql(tool) => &tool.server,
        }
    }

    /// The program that makes an empty data directory, and its arguments.
    pub(super) fn initialize(&self, data: &Path) -> (PathBuf, Vec<OsString>) {
        let datadir = format!("--datadir={}", data.display());
        let mut args: Vec<OsString> = Vec::new();
        let program = match self {
            Self::MariaDb(tool) => {
                // `--force`: it would refuse to work where the machine's own name does not resolve.
                args.extend(
                    [
                        "--no-defaults",
                        "--force",
                        "--auth-root-authentication-method=normal",
                        "--skip-test-db",
                    ]
                    .map(Into::into),
                );
                args.push(MARIADB_REDO.into());
                tool.install_db.clone()
            }
            Self::MySql(tool) => {
                args.extend(tool.loader_args.iter().map(Into::into));
                args.extend(
                    ["--no-defaults", "--initialize-insecure", "--auto-generate-certs=OFF"].map(Into::into),
                );
                args.push("--secure-file-priv=NULL".into());
                // The redo log stays at its default here. Measured: smaller, the server spends more on growing it than
                // the copy saves; as large as the server's, the copy spends more.
                args.extend(tool.path_args.iter().map(Into::into));
                tool.loader.clone()
            }
        };
        args.push(datadir.into());
        args.extend(as_root());
        (program, args)
    }

    /// The server, ready to be started on a data directory.
    pub(super) fn program(&self, place: &Place, extra: &[String]) -> Program {
        let program = match self {
            Self::MariaDb(tool) => {
                Program::new("mariadb", &tool.server, &place.folder).arg("--no-defaults").args([
                    "--skip-name-resolve",
                    "--innodb-buffer-pool-size=64M",
                    MARIADB_REDO,
                    "--innodb-log-buffer-size=4M",
                    "--key-buffer-size=1M",
                    "--aria-pagecache-buffer-size=1M",
                    // Counts each user's connections: see `Server::connections_made`.
                    "--userstat=1",
                ])
            }
            Self::MySql(tool) => Program::new("mysql", &tool.loader, &place.folder)
                .args(tool.loader_args.iter().cloned())
                .arg("--no-defaults")
                .args(["--skip-name-resolve", "--secure-file-priv=NULL", "--mysqlx=OFF", "--skip-log-bin"])
                .args(["--innodb-buffer-pool-size=64M", MYSQL_REDO])
                .args(tool.path_args.iter().cloned()),
        };
        let path = |name: &str, path: &Path| format!("--{name}={}", path.display());
        program
            .arg(path("datadir", &place.data))
            .arg(path("socket", &place.socket))
            .arg(path("pid-file", &place.folder.join("pid")))
            // Its own: a server that starts removes the temporary tables that it finds, whosever they are.
            .arg(path("tmpdir", &place.folder))
            .arg(format!("--port={}", place.port))
            .arg("--bind-address=127.0.0.1")
            .arg("--max-allowed-packet=64M")
            .arg(path("ssl-ca", &place.certificates.ca))
            .arg(path("ssl-cert", &place.certificates.certificate))
            .arg(path("ssl-key", &place.certificates.key))
            .args(as_root())
            .args(extra.iter().cloned())
    }
}

/// Where one server lives.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    pub(super) data: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) port: u16,
    pub(super) certificates: crate::certificate::Certificates,
}

/// Both servers refuse to run as root unless they are told to.
fn as_root() -> Option<OsString> {
    rustix::process::geteuid().is_root().then(|| "--user=root".into())
}
