//! One supervised server process.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

use super::{MARKER, ServerError};

/// Registers, then becomes the server. `$1` is the folder `running`, `$2` the server's name.
const REGISTER: &str = r#"printf '%s\n' "$2" >"$1/$$" || exit 125; shift 2; exec "$@""#;

/// How much of a log is shown when a server fails.
const TAIL_BYTES: i64 = 4096;

/// What to run: a program, its arguments, its folder and its environment.
#[derive(Debug, Clone)]
pub struct Program {
    name: String,
    path: PathBuf,
    args: Vec<OsString>,
    folder: PathBuf,
    environment: Vec<(OsString, OsString)>,
    inherit: bool,
}

impl Program {
    /// A program that will run in `folder` and log to `folder/NAME.log`.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>, folder: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            args: Vec::new(),
            folder: folder.into(),
            environment: Vec::new(),
            inherit: true,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().into(), value.as_ref().into()));
        self
    }

    /// Gives it nothing of this process's environment.
    #[must_use]
    pub fn clear_environment(mut self) -> Self {
        self.inherit = false;
        self
    }

    /// Where its output goes.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }
}

/// A server process; dropping it kills its whole process group.
#[derive(Debug)]
pub struct Running {
    name: String,
    pid: Pid,
    marker: String,
    registration: PathBuf,
    log: PathBuf,
    /// The child, and how it ended once that is known.
    child: Mutex<(Child, Option<String>)>,
}

impl Running {
    pub(super) fn spawn(program: &Program, register: &Path, marker: &str) -> Result<Self, ServerError> {
        let log = program.log_file();
        let open = || OpenOptions::new().create(true).append(true).open(&log);
        let (out, err) = open()
            .and_then(|out| Ok((out.try_clone()?, out)))
            .map_err(|source| ServerError::File { action: "write", path: log.clone(), source })?;
        let mut command = Command::new("/bin/sh");
        if !program.inherit {
            command.env_clear();
        }
        command
            .args(["-c", REGISTER, "sh"])
            .arg(register)
            .arg(&program.name)
            .arg(&program.path)
            .args(&program.args)
            .current_dir(&program.folder)
            .envs(program.environment.iter().map(|(name, value)| (name, value)))
            .env(MARKER, marker)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0);
        let spawn_error = |source| ServerError::Spawn { name: program.name.clone(), source };
        let child = command.spawn().map_err(spawn_error)?;
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| spawn_error(io::Error::other("it has an impossible process id")))?;
        Ok(Self {
            name: program.name.clone(),
            pid,
            marker: marker.into(),
            registration: register.join(child.id().to_string()),
            log,
            child: Mutex::new((child, None)),
        })
    }

    /// Its process id, which is its process group's too.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Its name in errors.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its standard output and error go.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// Whether it has not ended yet. A suspended server is running.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let child = self.lock();
        if child.1.is_some() {
            return false;
        }
        // Looks without reaping: until it is reaped, nothing else can get its process id.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(rustix::process::waitid(WaitId::Pid(self.pid), options), Ok(None))
    }

    /// The error to report when it ended by itself; `None` while it runs.
    #[must_use]
    pub fn ended(&self) -> Option<ServerError> {
        if self.is_running() {
            return None;
        }
        let status = self.kill();
        Some(ServerError::Ended { name: self.name.clone(), status, log: self.log_tail() })
    }

    /// Sends a signal to its process group.
    ///
    /// # Errors
    ///
    /// [`ServerError::NotRunning`] when it has ended, [`ServerError::Signal`] when the system refuses.
    pub fn signal(&self, signal: Signal) -> Result<(), ServerError> {
        let child = self.lock();
        if child.1.is_some() {
            return Err(ServerError::NotRunning { name: self.name.clone() });
        }
        rustix::process::kill_process_group(self.pid, signal).map_err(|error| ServerError::Signal {
            action: "send a signal to",
            name: self.name.clone(),
            source: error.into(),
        })
    }

    /// Asks it to end (SIGTERM) and waits; after `patience` it is killed. Returns how it ended.
    ///
    /// Blocks: call it from a thread that may.
    ///
    /// # Errors
    ///
    /// [`ServerError::Signal`] when it cannot be waited for.
    pub fn terminate(&self, patience: Duration) -> Result<String, ServerError> {
        if self.is_running() {
            // Stopped processes act upon SIGTERM only when they go on.
            let _ = self.signal(Signal::TERM).and_then(|()| self.signal(Signal::CONT));
            self.wait(patience).map_err(|source| ServerError::Signal {
                action: "wait for the end of",
                name: self.name.clone(),
                source,
            })?;
        }
        Ok(self.kill())
    }

    /// Kills it (SIGKILL) with everything it started, waits until it is gone, and returns how it ended.
    pub fn kill(&self) -> String {
        let mut child = self.lock();
        if let Some(status) = child.1.as_ref() {
            return status.clone();
        }
        // Its id cannot have passed to another process: it is reaped only below, and the group outlives the leader.
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        kill_marked(&self.marker);
        // Unregistered before it is reaped, or the watcher could one day kill a stranger with the same id.
        let _ = fs::remove_file(&self.registration);
        let status = child.0.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        // What its workers started in the meantime.
        kill_marked(&self.marker);
        child.1 = Some(status.clone());
        status
    }

    /// Waits until it has ended, at most `patience`; without reaping it.
    pub(super) fn wait(&self, patience: Duration) -> io::Result<()> {
        let handle = rustix::process::pidfd_open(self.pid, PidfdFlags::empty())?;
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timeout)) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, (Child, Option<String>)> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills every process whose environment has `marker`, wherever it fled to.
fn kill_marked(marker: &str) {
    let wanted = format!("{MARKER}={marker}");
    let Ok(processes) = fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(environment) = fs::read(process.path().join("environ")) else { continue };
        if environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

/// The last lines of a file, as far as they can be read.
pub(crate) fn tail(path: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let _ = file.seek(SeekFrom::End(-TAIL_BYTES));
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) if bytes.is_empty() => "(it is empty)".into(),
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim_end().into(),
        Err(error) => format!("({} cannot be read: {error})", path.display()),
    }
}
