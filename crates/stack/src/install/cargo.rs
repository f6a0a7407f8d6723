//! cargo, and tools like it, started by a program that cargo itself started.

use std::ffi::OsStr;
use std::process::Command;

use super::workspace;

/// cargo in the workspace's folder, of the toolchain that this process was built with.
#[must_use]
pub fn cargo() -> Command {
    in_workspace("cargo")
}

/// A program in the workspace's folder, as if it had been typed in a shell.
///
/// What cargo tells a program of its own package (`CARGO_MANIFEST_DIR`, `CARGO_PKG_…`) is left out. A second cargo
/// would take it for a change of the environment, build `ring` and all that stands on it anew, and so would the next
/// one outside.
#[must_use]
pub fn in_workspace(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_MANIFEST_") || text.starts_with("CARGO_PKG_") || text == "OUT_DIR" {
            command.env_remove(name);
        }
    }
    command
}
