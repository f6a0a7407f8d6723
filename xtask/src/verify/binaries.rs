//! The functions for both of Lambda's architectures: built, what they ask of the system they run on, and the foreign one run.
//!
//! `sam build` builds with the same cargo-lambda, which links against an old glibc whatever this machine has. That it did
//! is read from the binaries themselves: what asks for a newer one than Amazon Linux 2023 has would not start there.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use stack::deploy::{Cloud, Depth};
use stack::install;
use stack::ministack::{Ministack, Options};
use stack::runtime_api::{Environment, Function, Outcome, RuntimeApi};

use crate::step::{self, reason};

/// The glibc of Amazon Linux 2023 is 2.34.
const GLIBC_MINOR: u32 = 34;

/// Two doorbells for urgent, four for bulk.
const EVENT: &str = "events/rabbitmq_lane_header.json";

/// One of the two.
#[derive(Clone, Copy)]
pub(super) struct Architecture {
    /// As `template.yaml` calls it.
    name: &'static str,
    flag: &'static str,
    /// As ELF numbers it.
    machine: u16,
}

pub(super) const ARM64: Architecture = Architecture { name: "arm64", flag: "--arm64", machine: 183 };
pub(super) const X86_64: Architecture = Architecture { name: "x86_64", flag: "--x86-64", machine: 62 };

/// Builds every function for it, and reads what each asks for.
pub(super) fn build(architecture: Architecture) -> Result<(), String> {
    let tool = install::sam().map_err(reason)?;
    let names = functions()?;
    let mut build = install::in_workspace(tool.cargo_lambda);
    build.args(["lambda", "build", "--release", architecture.flag, "--lambda-dir"]).arg(folder(architecture));
    build.args(names.iter().flat_map(|name| ["--bin", name]));
    // The linker is looked for in the PATH.
    let path = install::search_path();
    let path = std::env::join_paths(std::iter::once(tool.bin).chain(std::env::split_paths(&path)));
    step::succeed(build.env("PATH", path.map_err(reason)?))?;
    let wrong: Vec<String> = names.iter().filter_map(|name| unfit(architecture, name)).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// Runs the functions for arm64 on this machine: each until it says what it has not been told, and the one that needs no
/// database for a whole event.
pub(super) async fn run_arm64() -> Result<(), String> {
    let tool = install::qemu_arm64().map_err(reason)?;
    let emulated = |name: &str| {
        let mut command = Command::new(&tool.qemu);
        command.arg("-L").arg(&tool.root).arg(bootstrap(ARM64, name)).env_clear();
        command
    };
    for name in functions()? {
        let output = emulated(&name).output().map_err(reason)?;
        let said = String::from_utf8_lossy(&output.stdout);
        if output.status.success() || !said.contains("configuration.invalid") {
            let error = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{name} without variables ended with {}: {said}{error}", output.status));
        }
    }

    let ministack = Ministack::start(Options::default()).await.map_err(reason)?;
    let cloud = Cloud::of(&ministack);
    let mut relay = Function::new(script(&tool, "relay-rabbitmq")?);
    let mut queues = Vec::new();
    for (name, variable) in
        [("urgent", "URGENT_QUEUE_URL"), ("bulk", "BULK_QUEUE_URL"), ("dead", "DEAD_LETTER_QUEUE_URL")]
    {
        let made = cloud.sqs("CreateQueue", &json!({ "QueueName": name })).await.map_err(reason)?;
        let url = made["QueueUrl"].as_str().ok_or("a queue without a URL")?.to_owned();
        relay = relay.env(variable, &url);
        queues.push(url);
    }
    for (name, value) in ministack.client_environment() {
        relay = relay.env(name, value);
    }
    let event = fs::read_to_string(install::workspace().join(EVENT)).map_err(reason)?;
    let event: Value = serde_json::from_str(&event).map_err(reason)?;
    let environment = RuntimeApi::start().environment(relay).await.map_err(reason)?;
    let outcome = environment.invoke(&event).await.outcome;
    if !matches!(outcome, Outcome::Response(_)) {
        return Err(failure(&outcome, &environment));
    }
    for (url, expected) in queues.iter().zip([2, 4, 0]) {
        let depth = cloud.depth(url).await.map_err(reason)?;
        if depth != (Depth { visible: expected, ..Depth::default() }) {
            return Err(format!("{url} holds {depth:?}, not {expected}\n{}", environment.log_text()));
        }
    }
    Ok(())
}

fn failure(outcome: &Outcome, environment: &Environment) -> String {
    format!("{outcome:?}\n{}", environment.log_text())
}

/// A program that the Runtime API can start like any other.
fn script(tool: &install::QemuTool, name: &str) -> Result<PathBuf, String> {
    use std::os::unix::fs::PermissionsExt as _;

    let path = folder(ARM64).join(format!("{name}.sh"));
    let text = format!(
        "#!/bin/sh\nexec {} -L {} {}\n",
        tool.qemu.display(),
        tool.root.display(),
        bootstrap(ARM64, name).display()
    );
    fs::write(&path, text).map_err(reason)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(reason)?;
    Ok(path)
}

/// Why Lambda could not start this binary.
fn unfit(architecture: Architecture, name: &str) -> Option<String> {
    let path = bootstrap(architecture, name);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => return Some(format!("{}: {error}", path.display())),
    };
    let machine = bytes.get(18..20).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    if machine != architecture.machine {
        return Some(format!("{name} is for machine {machine}, which is not {}", architecture.name));
    }
    match newest_glibc(&bytes) {
        Some(minor) if minor <= GLIBC_MINOR => None,
        Some(minor) => Some(format!("{name} for {} asks for glibc 2.{minor}", architecture.name)),
        None => Some(format!(
            "{name} for {} asks for no glibc, so it is not what was to be read",
            architecture.name
        )),
    }
}

/// The `35` of the newest `GLIBC_2.35` that a dynamic binary names among the versions it needs.
fn newest_glibc(binary: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"GLIBC_2.";
    let places = binary.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    let minors = places.filter_map(|(at, _)| {
        let digits: String = binary[at + NAME.len()..]
            .iter()
            .map(|byte| char::from(*byte))
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse().ok()
    });
    minors.max()
}

/// Whatever has a folder in `functions`.
fn functions() -> Result<Vec<String>, String> {
    let entries = fs::read_dir(install::workspace().join("functions")).map_err(reason)?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok().filter(|entry| entry.path().join("src/main.rs").is_file()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    Ok(names)
}

fn bootstrap(architecture: Architecture, name: &str) -> PathBuf {
    folder(architecture).join(name).join("bootstrap")
}

fn folder(architecture: Architecture) -> PathBuf {
    install::workspace().join("target/verify").join(architecture.name)
}

#[cfg(test)]
mod tests {
    use super::newest_glibc;

    #[test]
    fn the_newest_version_counts_and_not_the_last() {
        assert_eq!(newest_glibc(b"\0GLIBC_2.9\0GLIBC_2.34\0GLIBC_2.17\0"), Some(34));
        assert_eq!(newest_glibc(b"GLIBC_2.2.5"), Some(2));
        assert_eq!(newest_glibc(b"GLIBC_PRIVATE GLIBC_2."), None);
    }
}
