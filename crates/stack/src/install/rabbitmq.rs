//! The RabbitMQ server: the system's own if it has one, otherwise Debian's package.
//!
//! The package is [unpacked](super::unpack), with its Erlang, and not installed: its installation starts a broker and an
//! `epmd` as services, on the ports that somebody else may have. Debian's `erl` insists on `/usr/lib/erlang`; the unpacked
//! one is told where it is.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::unpack::unpack;
use super::{InstallError, brought, ensure, find_program, say};

/// Where Debian's package puts the server.
const SERVERS: &str = "usr/lib/rabbitmq/lib";

/// Where Debian's packages put Erlang.
const ERLANG: &str = "usr/lib/erlang";

/// Which packages are installed on this machine.
const STATUS: &str = "/var/lib/dpkg/status";

/// A RabbitMQ server and the Erlang that it runs on.
#[derive(Debug, Clone)]
pub struct RabbitmqTool {
    /// `rabbitmq-server` itself, not the script in front of it that becomes another user.
    pub server: PathBuf,
    /// The folder of `erl` and `epmd`, which must come first in the server's PATH.
    pub erlang: PathBuf,
    /// The server's `LD_LIBRARY_PATH`, where it has libraries of its own.
    pub libraries: Option<OsString>,
}

/// The RabbitMQ server of this machine, or the one that Debian or Ubuntu have for it.
///
/// # Errors
///
/// [`InstallError`] when it is not here and cannot be fetched.
pub fn rabbitmq() -> Result<RabbitmqTool, InstallError> {
    below(Path::new("/")).map_or_else(|| unpacked("rabbitmq"), Ok)
}

/// The server whose files lie below `root` as a package has them below `/`.
fn below(root: &Path) -> Option<RabbitmqTool> {
    let servers = fs::read_dir(root.join(SERVERS)).ok()?.flatten();
    let server =
        servers.map(|entry| entry.path().join("sbin/rabbitmq-server")).find(|path| path.is_file())?;
    let erlang = root.join(ERLANG).join("bin");
    erlang.join("epmd").is_file().then_some(RabbitmqTool { server, erlang, libraries: None })
}

pub(super) fn unpacked(name: &str) -> Result<RabbitmqTool, InstallError> {
    let folder = ensure(name, "Debian's own, layout 1", fetch)?;
    let root = folder.join("root");
    let Some(tool) = below(&root) else {
        return Err(InstallError::Missing { path: root.join(SERVERS), what: "rabbitmq-server".into() });
    };
    let triplet = if cfg!(target_arch = "aarch64") { "aarch64-linux-gnu" } else { "x86_64-linux-gnu" };
    let libraries = [root.join("usr/lib").join(triplet), root.join("lib").join(triplet)];
    let libraries = libraries.map(PathBuf::into_os_string).join(&OsString::from(":"));
    Ok(RabbitmqTool { libraries: Some(libraries), ..tool })
}

fn fetch(folder: &Path) -> Result<(), InstallError> {
    if find_program("apt-get").is_none() || find_program("dpkg-deb").is_none() {
        return Err(InstallError::Unsupported { what: "rabbitmq-server".into() });
    }
    say("fetching RabbitMQ and Erlang (40 MB, half a minute; the system is not changed)");
    let status = fs::read_to_string(STATUS).map_err(|source| InstallError::File {
        action: "read",
        path: STATUS.into(),
        source,
    })?;
    unpack(folder, "rabbitmq-server", None, &without_erlang(&status))?;
    let erl = brought(folder.join("root").join(ERLANG).join("bin/erl"), "erlang-base")?;
    let file = |action, source| InstallError::File { action, path: erl.clone(), source };
    let script = fs::read_to_string(&erl).map_err(|error| file("read", error))?;
    let here = format!("ROOTDIR=\"{}\"", folder.join("root").join(ERLANG).display());
    fs::write(&erl, script.replace("ROOTDIR=/usr/lib/erlang", &here)).map_err(|error| file("write", error))
}

/// What is installed, but for Erlang: the server needs all of that in one place.
fn without_erlang(status: &str) -> String {
    let kept = status.split_inclusive("\n\n").filter(|package| {
        let name = package.lines().find_map(|line| line.strip_prefix("Package: ")).unwrap_or_default();
        !name.starts_with("erlang") && !name.starts_with("rabbitmq")
    });
    kept.collect()
}
