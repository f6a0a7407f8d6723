//! Building the functions and the daemon as they stand in the workspace.

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

/// What was built.
pub(super) struct Built {
    /// The functions, in the order in which they were asked for.
    pub(super) functions: Vec<Code>,
    /// The daemon.
    pub(super) bridge: PathBuf,
}

/// The daemon's binary.
const BRIDGE: &str = "sendonce-bridge";

/// Builds the functions of these binaries, packs each, and builds the daemon.
///
/// In the development profile: it takes seconds where the release profile, which optimizes across all crates, takes
/// minutes, and what is shown here is not speed (`cargo xtask bench` is about that). By the binaries' names, as this
/// command was built itself: with `--package`, half of the dependencies would be built twice.
pub(super) fn build(functions: &[&'static str]) -> Result<Built, Failure> {
    let mut cargo = cargo();
    cargo.args(["build", "--message-format=json-render-diagnostics"]);
    cargo.args(functions.iter().chain([&BRIDGE]).flat_map(|binary| ["--bin", binary]));
    // What cargo tells people goes where it always goes.
    let built = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !built.status.success() {
        return Err(format!("cargo ended with {}", built.status).into());
    }
    let messages = String::from_utf8(built.stdout)?;
    let messages: Vec<Value> = messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let executable = |binary: &str| {
        // A library may have the name of its binary.
        let of_binary = messages.iter().filter(|message| message["target"]["name"] == binary);
        let executable = of_binary.filter_map(|message| message["executable"].as_str()).next_back();
        Ok::<_, Failure>(PathBuf::from(executable.ok_or_else(|| format!("cargo built no binary {binary}"))?))
    };
    let code = |&binary: &&'static str| {
        let executable = executable(binary)?;
        let archive = Archive::of_function(&std::fs::read(&executable)?)?;
        Ok(Code { binary, executable, archive })
    };
    let functions = functions.iter().map(code).collect::<Result<_, Failure>>()?;
    Ok(Built { functions, bridge: executable(BRIDGE)? })
}
