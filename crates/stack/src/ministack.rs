//! AWS on this machine: ministack, as a child process.
//!
//! What matters of it (read from its sources and tried, version 1.5.33):
//!
//! - **Settings** are environment variables. `GATEWAY_PORT` and `BIND_HOST` say where it listens. Everything temporary
//!   goes to `TMPDIR`; state is in memory only. It reads `LOG_LEVEL` too, which is also sendonce's: it is not set.
//! - **Functions inherit its whole environment**, then get Lambda's own variables, then the template's; therefore it
//!   starts with next to nothing, and a variable that the template forgot is missing here as it would be on AWS.
//!   `AWS_ENDPOINT_URL` is set last of all, to the value ministack itself was given, so a template cannot change it.
//!   The access key of a function is the number of the account.
//! - **`provided.*` functions** are processes beside it: the zip is unpacked once under `TMPDIR`, its `bootstrap` is run
//!   there with a Runtime API on a port of its own. Each handles one event at a time; as many are started as are needed
//!   at once. The first of a function stays for ever, others for `LAMBDA_WARM_TTL_SECONDS` (300) of idleness. They are
//!   in ministack's process group and end with it. What they print is in ministack's log, after the invocation.
//! - **SQS event source mappings** are polled at once when a message arrives, otherwise every second; at most
//!   `MaximumConcurrency` batches at a time, 5 if the mapping names none, 1 for FIFO queues; reserved concurrency lowers
//!   that. After a failed invocation the mapping rests a second, and its messages stay invisible for the queue's
//!   visibility time-out. Batching windows are ignored: a batch is what is there.
//! - **Kinder than AWS**: a partial batch response that is no JSON, or names an empty or unknown identifier, counts as
//!   success here and as failure of every message there. Only a test of the response itself can find that.
//! - **CloudFormation** expands SAM templates with aws-sam-translator (`CAPABILITY_AUTO_EXPAND`), from S3 or inline.
//!   A function without code answers with a mock. Amazon MQ mappings are accepted and never polled.
//! - **EventBridge** delivers to SQS at once, by the rules' patterns, without looking at the queue's policy. As on AWS
//!   nobody may put events with a source `aws.…`; since the stand-in for SES has to, that is lifted.
//!   `rate(…)` schedules run, the first time when their period is over.
//! - **Queue URLs** that `Ref` puts into a function's variables begin with `http://localhost`; those that the API
//!   returns begin with the host that was asked. Both are understood by whoever asks ministack.

use std::path::PathBuf;

use hyper::Method;
use tokio::task::spawn_blocking;

use crate::install::{self, MinistackTool};
use crate::supervisor::{Program, Running, ServerError, Supervisor, free_port, request, until_ready};

/// The account that everything belongs to.
pub const ACCOUNT: &str = "000000000000";

/// As `python -m ministack`, but that `PutEvents` takes what calls itself an event of AWS: here it is an imitated service
/// that puts it on the bus.
const MAIN: &str = "\
from ministack.app import main
from ministack.services import eventbridge
eventbridge._put_events.__defaults__ = (True,)
main()
";

/// How ministack is started.
#[derive(Debug, Clone)]
pub struct Options {
    region: String,
    ses_endpoint: Option<String>,
    environment: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { region: "us-east-1".into(), ses_endpoint: None, environment: Vec::new() }
    }
}

impl Options {
    /// Where functions find SES v2; ministack itself otherwise, which emits no events and refuses nothing.
    #[must_use]
    pub fn ses_endpoint(mut self, url: impl Into<String>) -> Self {
        self.ses_endpoint = Some(url.into());
        self
    }

    /// The region; `us-east-1` otherwise.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// Sets one more variable, of ministack and so of every function. It overrides what this module sets:
    /// `AWS_ENDPOINT_URL`, say, to have functions reach ministack through a proxy.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }
}

/// A running ministack; dropping it kills it and its functions.
#[derive(Debug)]
pub struct Ministack {
    port: u16,
    region: String,
    folder: PathBuf,
    process: Running,
}

impl Ministack {
    /// Installs it if need be, starts it and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`ServerError`] when any of that fails; the end of its log is in it.
    pub async fn start(options: Options) -> Result<Self, ServerError> {
        let region = options.region.clone();
        let started = spawn_blocking(move || {
            let tool = install::ministack()?;
            let supervisor = Supervisor::of_this_process()?;
            let folder = supervisor.folder("ministack")?;
            let port = free_port()?;
            let process = supervisor.spawn(&program(&tool, &folder, port, options)?)?;
            Ok::<_, ServerError>((port, folder, process))
        });
        let (port, folder, process) = started.await.map_err(|error| ServerError::Request {
            name: "the installer of ministack".into(),
            source: error.into(),
        })??;
        let ministack = Self { port, region, folder, process };
        until_ready(&ministack.process, || request(Method::GET, port, "/_ministack/ready")).await?;
        Ok(ministack)
    }

    /// Its address, for every service.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The region everything is in.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Its folder, which holds its log and the unpacked functions.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Its whole log, with what functions printed.
    ///
    /// # Errors
    ///
    /// [`ServerError::File`] when it cannot be read.
    pub fn log(&self) -> Result<String, ServerError> {
        let path = self.process.log_file();
        let bytes = std::fs::read(path);
        let bytes =
            bytes.map_err(|source| ServerError::File { action: "read", path: path.into(), source })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What an SDK or a command line needs in its environment to talk to it.
    #[must_use]
    pub fn client_environment(&self) -> Vec<(String, String)> {
        let mut environment = credentials(&self.region);
        environment.push(("AWS_ENDPOINT_URL".into(), self.endpoint()));
        environment
    }

    /// Forgets every resource, as if it had just been started.
    ///
    /// # Errors
    ///
    /// [`ServerError::Request`].
    pub async fn reset(&self) -> Result<(), ServerError> {
        let answered = request(Method::POST, self.port, "/_ministack/reset").await;
        answered.map(drop).map_err(|source| ServerError::Request { name: "ministack".into(), source })
    }
}

fn credentials(region: &str) -> Vec<(String, String)> {
    [
        ("AWS_REGION", region),
        ("AWS_DEFAULT_REGION", region),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn program(
    tool: &MinistackTool,
    folder: &std::path::Path,
    port: u16,
    options: Options,
) -> Result<Program, ServerError> {
    let temporary = folder.join("tmp");
    std::fs::create_dir(&temporary).map_err(|source| ServerError::File {
        action: "make",
        path: temporary.clone(),
        source,
    })?;
    let mut program = Program::new("ministack", &tool.python, folder)
        .args(["-c", MAIN])
        .clear_environment()
        .env("PATH", install::search_path())
        .env("HOME", folder)
        .env("TMPDIR", &temporary)
        .env("GATEWAY_PORT", port.to_string())
        .env("BIND_HOST", "127.0.0.1")
        .env("MINISTACK_REGION", &options.region)
        .env("S3_DATA_DIR", folder.join("s3"))
        .env("STATE_DIR", folder.join("state"))
        // Its log is looked at while it runs.
        .env("PYTHONUNBUFFERED", "1")
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"));
    for (name, value) in credentials(&options.region) {
        program = program.env(name, value);
    }
    if let Some(url) = options.ses_endpoint {
        program = program.env("AWS_ENDPOINT_URL_SESV2", url);
    }
    for (name, value) in options.environment {
        program = program.env(name, value);
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_answers_on_its_port_and_keeps_its_files_to_itself() {
        let ministack = Ministack::start(Options::default()).await.unwrap();
        let queues = request(Method::GET, ministack.port(), "/?Action=ListQueues&Version=2012-11-05").await;
        assert!(String::from_utf8_lossy(&queues.unwrap()).contains("ListQueuesResponse"));
        let pid_file = format!("ministack-{}.pid", ministack.port());
        assert!(ministack.folder().join("tmp").join(&pid_file).exists());
        assert!(!std::env::temp_dir().join(pid_file).exists());
        ministack.reset().await.unwrap();
    }

    #[tokio::test]
    async fn two_run_side_by_side() {
        let (one, two) =
            tokio::join!(Ministack::start(Options::default()), Ministack::start(Options::default()));
        assert_ne!(one.unwrap().endpoint(), two.unwrap().endpoint());
    }
}
