//! Oracle's MySQL server, which Debian has only in *unstable*.
//!
//! Its packages are [unpacked](super::unpack) into `target/tools/mysql` together with the C library they were built
//! against, and run with that library's loader. The version is what unstable has today: it is
//! asked for only once a workspace, and its number is in `target/tools/mysql/version`.
//!
//! Another version is brought along: [`MYSQL_ROOT`] names a folder that is laid out as the root of a system with a MySQL
//! server, with all the libraries that it needs. The files of a container image are one.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::unpack::unpack;
use super::{InstallError, apt, brought, ensure, find_program, say};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The variable that names the root of another server's files.
pub const MYSQL_ROOT: &str = "SENDONCE_MYSQL_ROOT";

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

/// The MySQL server below [`MYSQL_ROOT`], or else MySQL 9 from Debian unstable.
///
/// # Errors
///
/// [`InstallError::Missing`] when what [`MYSQL_ROOT`] names is no such root. Any other [`InstallError`] when it cannot be
/// had: no network, no `apt-get`, or unstable is in disorder today. Tests on MySQL are then left out, and must say so.
pub fn mysql() -> Result<MysqlTool, InstallError> {
    #[expect(clippy::disallowed_methods, reason = "which server is the test command's to say, not a setting")]
    if let Some(root) = std::env::var_os(MYSQL_ROOT).filter(|root| !root.is_empty()) {
        return mysql_below(Path::new(&root));
    }
    let folder = ensure("mysql", "unstable, layout 1", |folder| {
        fetch(folder)?;
        mysql_below(&folder.join("root")).map(drop)
    })?;
    mysql_below(&folder.join("root"))
}

/// The MySQL server among the files below `root`: as Debian lays them out, or as Oracle's own packages do.
///
/// # Errors
///
/// [`InstallError::Missing`] names what is not there.
pub fn mysql_below(root: &Path) -> Result<MysqlTool, InstallError> {
    let (triplet, loader) = if cfg!(target_arch = "aarch64") {
        ("aarch64-linux-gnu", "ld-linux-aarch64.so.1")
    } else {
        ("x86_64-linux-gnu", "ld-linux-x86-64.so.2")
    };
    let usr = root.join("usr");
    let server = brought(usr.join("sbin/mysqld"), "a MySQL server")?;
    // Debian's folder, Oracle's folder, and what Oracle's packages bring along.
    let folders = [format!("lib/{triplet}"), "lib64".into(), "lib64/mysql/private".into(), "lib".into()];
    let libraries: Vec<PathBuf> =
        folders.iter().map(|folder| usr.join(folder)).filter(|folder| folder.is_dir()).collect();
    let first = |file: &str| {
        let there = libraries.iter().map(|folder| folder.join(file)).find(|path| path.exists());
        there.ok_or_else(|| InstallError::Missing { path: usr.join("lib").join(file), what: "MySQL".into() })
    };
    let path = std::env::join_paths(&libraries).unwrap_or_default();
    let share = share(&usr.join("share"))?;
    Ok(MysqlTool {
        loader: first(loader)?,
        loader_args: vec![
            "--library-path".into(),
            path.to_string_lossy().into_owned(),
            server.display().to_string(),
        ],
        path_args: vec![
            format!("--lc-messages-dir={}", share.display()),
            format!("--character-sets-dir={}", share.join("charsets").display()),
            format!("--plugin-dir={}", first("mysql/plugin")?.display()),
        ],
        server,
    })
}

/// The folder of messages and character sets. Oracle's has the version in its name, `mysql-8.4`, and may have English alone.
fn share(folder: &Path) -> Result<PathBuf, InstallError> {
    let of_mysql = |name: &OsStr| name.to_string_lossy().starts_with("mysql");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let found = entries
        .filter(|entry| of_mysql(&entry.file_name()))
        .map(|entry| entry.path())
        .find(|path| path.join("english").is_dir() || path.join("charsets").is_dir());
    found.ok_or_else(|| InstallError::Missing { path: folder.join("mysql"), what: "MySQL".into() })
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
