//! Oracle's MySQL server, which Debian has only in *unstable*.
//!
//! Its packages are [unpacked](super::unpack) into `target/tools/mysql` together with the C library they were built
//! against, and run with that library's loader. The version is what unstable has today: it is
//! asked for only once a workspace, and its number is in `target/tools/mysql/version`.

use std::fs;
use std::path::{Path, PathBuf};

use super::unpack::unpack;
use super::{InstallError, apt, brought, ensure, find_program, say};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An unpacked MySQL server.
#[derive(Debug, Clone)]
pub struct MysqlTool {
    /// `mysqld`; only [`MysqlTool::loader`] can start it.
    pub server: PathBuf,
    /// The dynamic loader of the C library that came with it.
    pub loader: PathBuf,
    /// What must stand before the server's own arguments.
    pub loader_args: Vec<String>,
    /// The server's arguments that name its unpacked files.
    pub path_args: Vec<String>,
}

/// MySQL 9 from Debian unstable.
///
/// # Errors
///
/// [`InstallError`] when it cannot be had: no network, no `apt-get`, or unstable is in disorder today. Tests on MySQL
/// are then left out, and must say so.
pub fn mysql() -> Result<MysqlTool, InstallError> {
    let folder = ensure("mysql", "unstable, layout 1", |folder| {
        fetch(folder)?;
        tool(folder).map(drop)
    })?;
    tool(&folder)
}

fn tool(folder: &Path) -> Result<MysqlTool, InstallError> {
    let (triplet, loader) = if cfg!(target_arch = "aarch64") {
        ("aarch64-linux-gnu", "ld-linux-aarch64.so.1")
    } else {
        ("x86_64-linux-gnu", "ld-linux-x86-64.so.2")
    };
    let usr = folder.join("root/usr");
    let libraries = usr.join("lib").join(triplet);
    let server = brought(usr.join("sbin/mysqld"), "mysql-server-core")?;
    Ok(MysqlTool {
        loader: brought(libraries.join(loader), "libc6")?,
        loader_args: vec![
            "--library-path".into(),
            libraries.display().to_string(),
            server.display().to_string(),
        ],
        path_args: vec![
            format!("--lc-messages-dir={}", usr.join("share/mysql").display()),
            format!("--character-sets-dir={}", usr.join("share/mysql/charsets").display()),
            format!("--plugin-dir={}", usr.join("lib/mysql/plugin").display()),
        ],
        server,
    })
}

fn fetch(folder: &Path) -> Result<(), InstallError> {
    if find_program("apt-get").is_none() || find_program("dpkg-deb").is_none() {
        return Err(InstallError::Unsupported { what: "a MySQL 9 server".into() });
    }
    if !Path::new(KEYRING).exists() {
        apt::packages(&["debian-archive-keyring"])?;
    }
    say("fetching MySQL 9 from Debian unstable (60 MB, half a minute; the system is not changed)");
    let sources = format!("deb [signed-by={KEYRING}] http://deb.debian.org/debian unstable main\n");
    // An empty status: nothing counts as installed, so every library is fetched, the C library included.
    let packages = unpack(folder, "mysql-server-core", Some(&sources), "")?;
    let path = folder.join("version");
    fs::write(&path, packages.join("\n") + "\n").map_err(|source| InstallError::File {
        action: "write",
        path,
        source,
    })
}
