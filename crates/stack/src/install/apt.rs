//! Debian's own packages.

use std::path::PathBuf;
use std::process::Command;

use super::{InstallError, brought, find_program, lock, run, say};

/// The MariaDB server of Debian's `mariadb-server-core`: programs only, nothing that starts by itself.
///
/// `mariadb-install-db` does nothing without `my_print_defaults`, which Debian's 10.11.14 keeps in `mariadb-client-core`
/// and depends on from neither; elsewhere it comes with the server.
#[derive(Debug, Clone)]
pub struct MariaDbTool {
    /// `mariadbd`.
    pub server: PathBuf,
    /// `mariadb-install-db`, which makes a data directory.
    pub install_db: PathBuf,
}

/// The MariaDB server, from Debian's package when the machine has none.
///
/// # Errors
///
/// [`InstallError`] when it is not here and cannot be installed.
pub fn mariadb() -> Result<MariaDbTool, InstallError> {
    let tool = MariaDbTool {
        server: program("mariadbd", "mariadb-server-core")?,
        install_db: program("mariadb-install-db", "mariadb-server-core")?,
    };
    program("my_print_defaults", "mariadb-client-core")?;
    Ok(tool)
}

/// What runs programs for arm64 on another machine.
#[derive(Debug, Clone)]
pub struct QemuTool {
    /// `qemu-aarch64`.
    pub qemu: PathBuf,
    /// The folder in which such programs find their libraries.
    pub root: PathBuf,
}

/// qemu's user mode for arm64, and glibc for it, from Debian's packages when the machine has none.
///
/// # Errors
///
/// [`InstallError`] when it is not here and cannot be installed.
pub fn qemu_arm64() -> Result<QemuTool, InstallError> {
    let root = PathBuf::from("/usr/aarch64-linux-gnu");
    let libraries = root.join("lib/ld-linux-aarch64.so.1");
    if !libraries.is_file() {
        packages(&["libc6-arm64-cross"])?;
    }
    brought(libraries, "libc6-arm64-cross")?;
    Ok(QemuTool { qemu: program("qemu-aarch64", "qemu-user")?, root })
}

/// A program on the PATH, or of the package that brings it.
pub(super) fn program(name: &str, package: &str) -> Result<PathBuf, InstallError> {
    if let Some(path) = find_program(name) {
        return Ok(path);
    }
    packages(&[package])?;
    match find_program(name) {
        Some(path) => Ok(path),
        None => brought(PathBuf::from("/usr/sbin").join(name), package),
    }
}

/// Installs packages; the lists are fetched first only if it does not work without.
pub(super) fn packages(names: &[&str]) -> Result<(), InstallError> {
    if find_program("apt-get").is_none() {
        return Err(InstallError::Unsupported { what: names.join(" and ") });
    }
    let _lock = lock("apt")?;
    say(&format!("installing {} with apt-get (some ten seconds)", names.join(" ")));
    let install =
        |names: &[&str]| run(apt_get(names)?.args(["install", "-y", "--no-install-recommends"]).args(names));
    match install(names) {
        Err(InstallError::Failed { .. }) => {
            say("fetching Debian's package lists first");
            run(apt_get(names)?.arg("update"))?;
            install(names)?;
        }
        other => {
            other?;
        }
    }
    Ok(())
}

/// `apt-get`, with the rights to change the system; `names` are what an administrator would have to install instead.
fn apt_get(names: &[&str]) -> Result<Command, InstallError> {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("apt-get")
    } else {
        // `-n` never asks: a test run that waits for a password would only look stuck.
        let allowed =
            Command::new("sudo").args(["-n", "true"]).output().is_ok_and(|output| output.status.success());
        if !allowed {
            return Err(InstallError::NotRoot {
                command: format!("apt-get install --no-install-recommends {}", names.join(" ")),
            });
        }
        let mut command = Command::new("sudo");
        command.args(["-n", "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        command
    };
    // Another apt on the machine (unattended upgrades, say) is waited for instead of failing.
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-o", "DPkg::Lock::Timeout=120"]);
    Ok(command)
}
