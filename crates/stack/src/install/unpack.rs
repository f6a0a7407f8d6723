//! Debian packages that are unpacked below `target/tools` instead of being installed.
//!
//! They are fetched by an `apt-get` with folders of its own, so the system's lists and packages stay as they are, no rights
//! are needed, and no service is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{InstallError, make_folder, remove_folder, run};

/// Unpacks a package and all it needs into `folder/root`; returns the names of the files it came in.
///
/// It comes from `sources`, in the form of `sources.list`, or from the system's. What `status` says is installed, in the form
/// of `/var/lib/dpkg/status`, is left out.
pub(super) fn unpack(
    folder: &Path,
    package: &str,
    sources: Option<&str>,
    status: &str,
) -> Result<Vec<String>, InstallError> {
    let private = folder.join("apt");
    for part in ["state/lists/partial", "cache/archives/partial", "etc"] {
        make_folder(&private.join(part))?;
    }
    let write = |path: PathBuf, text: &str| {
        fs::write(&path, text).map_err(|source| InstallError::File { action: "write", path, source })
    };
    write(private.join("state/status"), status)?;
    let mut places =
        vec![("Dir::State", "state"), ("Dir::State::status", "state/status"), ("Dir::Cache", "cache")];
    if let Some(sources) = sources {
        write(private.join("etc/sources.list"), sources)?;
        places.extend([
            ("Dir::Etc", "etc"),
            ("Dir::Etc::sourcelist", "etc/sources.list"),
            ("Dir::Etc::sourceparts", "etc/none"),
        ]);
    }
    let apt_get = || {
        let mut command = Command::new("apt-get");
        for (key, part) in &places {
            command.arg("-o").arg(format!("{key}={}", private.join(part).display()));
        }
        // As root, apt would fetch as `_apt`, which may not write here.
        command.args(["-q", "-o", "APT::Sandbox::User=", "-o", "APT::Install-Recommends=false"]);
        command
    };
    run(apt_get().arg("update"))?;
    run(apt_get().args(["install", "-y", "--download-only", package]))?;

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
    remove_folder(&private)?;
    Ok(packages)
}
