//! Building the functions as they stand in the workspace.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use stack::deploy::Archive;
use stack::install::cargo;

use super::progress::Failure;

/// A function's code.
pub(super) struct Code {
    /// Its binary's name, which is also its package's.
    pub(super) binary: &'static str,
    pub(super) executable: PathBuf,
    pub(super) archive: Archive,
}

/// Builds these binaries and packs each.
///
/// In the development profile: it takes seconds where the release profile, which optimizes across all crates, takes
/// minutes, and what is shown here is not speed (`cargo xtask bench` is about that). By the binaries' names, as this
/// command was built itself: with `--package`, half of the dependencies would be built twice.
pub(super) fn functions(binaries: &[&'static str]) -> Result<Vec<Code>, Failure> {
    let mut cargo = cargo();
    cargo.args(["build", "--message-format=json-render-diagnostics"]);
    cargo.args(binaries.iter().flat_map(|binary| ["--bin", binary]));
    // What cargo tells people goes where it always goes.
    let built = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !built.status.success() {
        return Err(format!("cargo ended with {}", built.status).into());
    }
    let messages = String::from_utf8(built.stdout)?;
    let messages: Vec<Value> = messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut functions = Vec::new();
    for &binary in binaries {
        // A library may have the name of its binary.
        let of_binary = messages.iter().filter(|message| message["target"]["name"] == binary);
        let executable = of_binary.filter_map(|message| message["executable"].as_str()).next_back();
        let executable = PathBuf::from(executable.ok_or_else(|| format!("cargo built no binary {binary}"))?);
        let archive = Archive::of_function(&std::fs::read(&executable)?)?;
        functions.push(Code { binary, executable, archive });
    }
    Ok(functions)
}
