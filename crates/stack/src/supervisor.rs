//! Servers that die with their parent, however it dies.
//!
//! A test that panics runs its destructors; one that is killed with `-9`, or whose terminal is closed, does not, and
//! neither does a `static`. So nothing here relies on a destructor: a small shell process holds the read end of a pipe
//! whose only write end is in this process. When the pipe ends, for whatever reason, the shell kills every server and
//! removes the folder in which they kept everything.
//!
//! # How a server is found again
//!
//! - **By its group.** Each server leads a process group of its own. It is started through `sh`, which writes its own
//!   process id into the folder `running` and only then becomes the server. The watcher renames that folder first and
//!   kills afterwards: a server that registers too late finds no folder and never starts. So there is no moment, between
//!   the spawn and the registration, in which the death of the parent leaves something behind.
//! - **By its environment.** What leaves the group (ministack's workers, Erlang's `epmd`) still carries the variable
//!   [`MARKER`], and is found in `/proc`.
//!
//! The watcher leads a process group too and ignores the terminal's signals, so that Ctrl-C does not end it before its
//! work is done.

mod port;
mod process;
mod ready;

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use self::port::free_port;
pub use self::process::{Program, Running};
pub(crate) use self::ready::{request, until_ready};

/// The environment variable that every server, and whatever a server starts, carries.
pub const MARKER: &str = "SENDONCE_SERVER";

const WATCHER: &str = include_str!("supervisor/watch.sh");

/// Why a server could not be started or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A file or folder of the supervisor could not be made, read or removed.
    #[error("cannot {action} {path}", path = path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The shell that starts a server, or the one that watches, could not be run.
    #[error("cannot run sh to start {name}")]
    Spawn {
        /// Which server.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// No free port of 127.0.0.1 was found.
    #[error("no free port on 127.0.0.1")]
    NoPort(#[source] io::Error),
    /// The server ended when it should have run.
    #[error("{name} ended with {status}; the end of its log:\n{log}")]
    Ended {
        /// Which server.
        name: String,
        /// Its exit status, in words.
        status: String,
        /// The last lines it wrote.
        log: String,
    },
    /// The server runs but did not become ready.
    #[error("{name} was not ready after {waited_s} s ({reason}); the end of its log:\n{log}")]
    NotReady {
        /// Which server.
        name: String,
        /// How long it was waited for.
        waited_s: u64,
        /// What its last answer was.
        reason: String,
        /// The last lines it wrote.
        log: String,
    },
    /// The server is not running, because it was stopped or killed.
    #[error("{name} is not running: it was stopped or killed")]
    NotRunning {
        /// Which server.
        name: String,
    },
    /// A signal could not be sent, or the end of a process not be waited for.
    #[error("cannot {action} {name}")]
    Signal {
        /// What was tried.
        action: &'static str,
        /// Which server.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The server's keys and certificates could not be made.
    #[error("cannot make a server's certificate")]
    Certificate(#[from] rcgen::Error),
    /// A server answered something it should not have.
    #[error("{name} answered {what}")]
    Answer {
        /// Which server.
        name: String,
        /// What it answered.
        what: String,
    },
    /// A request to a server failed.
    #[error("no answer from {name}")]
    Request {
        /// Which server.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program is not here and could not be installed.
    #[error(transparent)]
    Install(#[from] crate::install::InstallError),
}

/// Keeps servers, and their folders, from outliving this process.
#[derive(Debug)]
pub struct Supervisor {
    root: PathBuf,
    next: AtomicU32,
    watcher: Mutex<Option<(Child, ChildStdin)>>,
}

impl Supervisor {
    /// The supervisor of this process, started at the first call.
    ///
    /// It is never dropped: its servers end when the process does, or at [`Supervisor::finish`].
    ///
    /// # Errors
    ///
    /// [`ServerError::File`] or [`ServerError::Spawn`] when it cannot be started.
    pub fn of_this_process() -> Result<Arc<Self>, ServerError> {
        static ONE: Mutex<Option<Arc<Supervisor>>> = Mutex::new(None);
        let mut one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(supervisor) = one.as_ref() {
            return Ok(Arc::clone(supervisor));
        }
        let supervisor = Arc::new(Self::start()?);
        *one = Some(Arc::clone(&supervisor));
        Ok(supervisor)
    }

    /// Starts a supervisor of its own; dropping it ends everything it started.
    ///
    /// # Errors
    ///
    /// [`ServerError::File`] or [`ServerError::Spawn`] when it cannot be started.
    pub fn start() -> Result<Self, ServerError> {
        let temporary = std::env::temp_dir();
        let root = tempfile::Builder::new()
            .prefix("sendonce-")
            .tempdir_in(&temporary)
            .map_err(|source| ServerError::File { action: "make a folder in", path: temporary, source })?
            .keep();
        let running = root.join("running");
        fs::create_dir(&running).map_err(|source| ServerError::File {
            action: "make",
            path: running,
            source,
        })?;
        let failed = |source| ServerError::Spawn { name: "the supervisor".into(), source };
        let mut watcher = Command::new("sh")
            .args(["-c", WATCHER, "sendonce-supervisor"])
            .arg(&root)
            .arg(format!("{MARKER}={}/", root.display()))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            // A parent that is itself a supervised server must not have its supervisor killed as one of its own
            // processes before that one has removed its folder.
            .env_remove(MARKER)
            .spawn()
            .map_err(failed)?;
        let (Some(pipe), Some(mut answer)) = (watcher.stdin.take(), watcher.stdout.take()) else {
            return Err(failed(io::Error::other("it has no standard input and output")));
        };
        // Until it has said so, a signal could still end it.
        answer.read_exact(&mut [0; 6]).map_err(failed)?;
        Ok(Self { root, next: AtomicU32::new(1), watcher: Mutex::new(Some((watcher, pipe))) })
    }

    /// The folder that holds everything; it goes when the supervisor does.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes a new, private folder for one server.
    ///
    /// # Errors
    ///
    /// [`ServerError::File`] when it cannot be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf, ServerError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(format!("{name}-{number}"));
        fs::create_dir(&path).map_err(|source| ServerError::File {
            action: "make",
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }

    /// Starts a server. Its output goes to a log file in its folder.
    ///
    /// # Errors
    ///
    /// [`ServerError::File`] or [`ServerError::Spawn`]. A program that is missing shows only later, as
    /// [`ServerError::Ended`] with the shell's words in the log.
    pub fn spawn(&self, program: &Program) -> Result<Running, ServerError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        // The trailing slash keeps server 1 from being taken for server 10.
        let marker = format!("{}/{number}/", self.root.display());
        Running::spawn(program, &self.root.join("running"), &marker)
    }

    /// Ends every server and removes the folder, and returns when that is done. Later calls do nothing.
    pub fn finish(&self) {
        let watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((mut child, pipe)) = watcher {
            drop(pipe);
            // The watcher bounds its own work; its exit status says nothing that could be acted upon here.
            let _ = child.wait();
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
pub(crate) mod tests;
