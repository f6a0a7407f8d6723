//! Building the function as it stands in the workspace.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use stack::deploy::Archive;
use stack::install::cargo;

use super::progress::Failure;

/// Builds the package's binary and packs it.
///
/// In the development profile: it takes seconds where the release profile, which optimizes across all crates, takes
/// minutes, and what is shown here is not speed (`cargo xtask bench` is about that).
pub(super) fn function(package: &str) -> Result<Archive, Failure> {
    let built = cargo()
        .args(["build", "--package", package, "--bin", package, "--message-format=json-render-diagnostics"])
        .stdin(Stdio::null())
        // What cargo tells people goes where it always goes.
        .stderr(Stdio::inherit())
        .output()?;
    if !built.status.success() {
        return Err(format!("cargo ended with {}", built.status).into());
    }
    let messages = String::from_utf8(built.stdout)?;
    let mut executables = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == package).then_some(())?;
        message["executable"].as_str().map(PathBuf::from)
    });
    let executable = executables.next_back().ok_or_else(|| format!("cargo built no binary {package}"))?;
    Ok(Archive::of_function(&std::fs::read(executable)?)?)
}
