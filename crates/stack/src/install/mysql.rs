//! Oracle's MySQL server, which Debian has only in *unstable*.
//!
//! Its packages are fetched by an `apt-get` with folders and a source list of its own, so the system's lists and
//! packages stay as they are and no rights are needed. They are unpacked into `target/tools/mysql` together with the C
//! library they were built against, and run with that library's loader. The version is what unstable has today: it is
//! asked for only once a workspace, and its number is in `target/tools/mysql/version`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{InstallError, apt, brought, ensure, find_program, make_folder, remove_folder, run, say};

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
    let private = folder.join("apt");
    for part in ["state/lists/partial", "cache/archives/partial", "etc"] {
        make_folder(&private.join(part))?;
    }
    let write = |path: PathBuf, text: String| {
        fs::write(&path, text).map_err(|source| InstallError::File { action: "write", path, source })
    };
    // An empty status: nothing counts as installed, so every library is fetched, the C library included.
    write(private.join("state/status"), String::new())?;
    let sources = format!("deb [signed-by={KEYRING}] http://deb.debian.org/debian unstable main\n");
    write(private.join("etc/sources.list"), sources)?;

    let apt_get = || {
        let mut command = Command::new("apt-get");
        for (key, part) in [
            ("Dir::Etc", "etc"),
            ("Dir::Etc::sourcelist", "etc/sources.list"),
            ("Dir::Etc::sourceparts", "etc/none"),
            ("Dir::State", "state"),
            ("Dir::State::status", "state/status"),
            ("Dir::Cache", "cache"),
        ] {
            command.arg("-o").arg(format!("{key}={}", private.join(part).display()));
        }
        // As root, apt would fetch as `_apt`, which may not write here.
        command.args(["-q", "-o", "APT::Sandbox::User=", "-o", "APT::Install-Recommends=false"]);
        command
    };
    run(apt_get().arg("update"))?;
    run(apt_get().args(["install", "-y", "--download-only", "mysql-server-core"]))?;

    let root = folder.join("root");
    make_folder(&root)?;
    let archives = private.join("cache/archives");
    let read = |source| InstallError::File { action: "read", path: archives.clone(), source };
    let mut packages = Vec::new();
    for entry in fs::read_dir(&archives).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("-x").args([&path, &root]))?;
            packages.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    packages.sort();
    write(folder.join("version"), packages.join("\n") + "\n")?;
    remove_folder(&private)
}
