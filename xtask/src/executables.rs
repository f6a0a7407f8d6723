//! The workspace's binaries, built as they stand there.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use stack::install::cargo;

/// Builds the binaries of these names in the development profile, and returns where each is.
///
/// By their names, as this command was built itself: with `--package`, half of the dependencies would be built twice.
///
/// # Errors
///
/// Cargo could not be run, or it did not build one of them.
pub(crate) fn executables<'n>(
    names: impl IntoIterator<Item = &'n str> + Clone,
) -> Result<BTreeMap<String, PathBuf>, Box<dyn Error + Send + Sync>> {
    let mut cargo = cargo();
    cargo.args(["build", "--message-format=json-render-diagnostics"]);
    cargo.args(names.clone().into_iter().flat_map(|name| ["--bin", name]));
    // What cargo tells people goes where it always goes.
    let built = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !built.status.success() {
        return Err(format!("cargo ended with {}", built.status).into());
    }
    let messages = String::from_utf8(built.stdout)?;
    let messages: Vec<Value> = messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let executable = |name: &str| {
        // A library may have the name of its binary.
        let of_binary = messages.iter().filter(|message| message["target"]["name"] == name);
        let executable = of_binary.filter_map(|message| message["executable"].as_str()).next_back();
        let executable = executable.ok_or_else(|| format!("cargo built no binary {name}"))?;
        Ok((name.to_owned(), PathBuf::from(executable)))
    };
    names.into_iter().map(executable).collect()
}
