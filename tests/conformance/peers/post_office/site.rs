//! A database, SES and the command, and a queue that can be filled again at once.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use stack::{
    database::{Database, Flavor, Options, PASSWORD, Server, USER},
    proxy::Proxy,
    ses::Ses,
    supervisor::{MARKER, Supervisor},
};
use tokio::process::{Child, Command};

use super::{EMAILS, Settings};
use crate::{Failure, cell::Step, subject::End};

/// The flights of the command's first connection, in their order: the login; five statements that set up the session;
/// the query for what is queued, and one for its attachments; the mark; four statements that write its log; COM_QUIT.
const LOGIN: usize = 0;
const READ: usize = 6;
pub(super) const MARK: usize = 8;
const QUIT: usize = 13;

/// Where the connection to the database is held for a step: the flight, and whether it is its answer that is held.
pub(super) const fn flight(step: Step) -> Option<(usize, bool)> {
    match step {
        Step::LoginRequest => Some((LOGIN, false)),
        Step::LoginAnswer => Some((LOGIN, true)),
        Step::ClaimRequest => Some((READ, false)),
        Step::ClaimAnswer => Some((READ, true)),
        Step::RecordRequest => Some((MARK, false)),
        Step::RecordAnswer => Some((MARK, true)),
        Step::Quit => Some((QUIT, false)),
        Step::EventHanded | Step::SesAsked | Step::SesTook | Step::Response | Step::DoorbellKept => None,
    }
}

/// One lane: servers of its own.
pub(super) struct Site {
    pub(super) server: Server,
    database: Database,
    pub(super) proxy: Proxy,
    pub(super) ses: Ses,
    python: PathBuf,
    folder: PathBuf,
}

impl Site {
    pub(super) async fn new(python: PathBuf) -> Result<Self, Failure> {
        let options = Options::new(Flavor::MariaDb).arg("--innodb-flush-log-at-trx-commit=2");
        let server = Server::start(options).await?;
        let database = server.create_empty_database().await?;
        let proxy = Proxy::start(([127, 0, 0, 1], server.port()).into()).await?;
        let ses = Ses::start().await?;
        let folder = Supervisor::of_this_process()?.folder("post-office")?;
        fs::write(folder.join("settings.py"), include_str!("settings.py"))?;
        fs::write(folder.join("queue_emails.py"), include_str!("queue_emails.py"))?;
        let site = Self { server, database, proxy, ses, python, folder };
        site.finish(&["-m", "django", "migrate"]).await?;
        site.finish(&["queue_emails.py", &EMAILS.to_string()]).await?;
        site.execute("CREATE TABLE queued AS SELECT * FROM post_office_email").await?;
        Ok(site)
    }

    /// The queue is full again, and nothing has ever happened.
    pub(super) async fn clean(&self) -> Result<(), Failure> {
        self.execute(
            "DELETE FROM post_office_log; DELETE FROM post_office_email; \
             INSERT INTO post_office_email SELECT * FROM queued",
        )
        .await?;
        self.ses.clear_scripts();
        self.ses.forget();
        self.proxy.reset();
        Ok(())
    }

    /// The command, as cron starts it.
    pub(super) fn send_queued_mail(&self, settings: Settings) -> Result<Process, Failure> {
        let mut command = self.command(&["-m", "django", "send_queued_mail"])?;
        Ok(Process(command.env("SETTINGS", settings.name()).spawn()?))
    }

    /// How the row of each email stands, and how often SES took it.
    pub(super) async fn emails(&self) -> Result<Vec<(End, usize)>, Failure> {
        let rows =
            self.database.admin().rows("SELECT `to`, status FROM post_office_email ORDER BY id").await?;
        let taken: Vec<String> =
            self.ses.taken().iter().flat_map(|record| record.message.addresses()).collect();
        let stand = |row: Vec<Option<String>>| {
            let mut values = row.into_iter().flatten();
            let (recipient, status) = (values.next()?, values.next()?);
            let end = match status.as_str() {
                "0" => End::Sent,
                "1" => End::GivenUp,
                _ => End::Waiting,
            };
            Some((end, taken.iter().filter(|address| **address == recipient).count()))
        };
        Ok(rows.into_iter().filter_map(stand).collect())
    }

    /// How many emails SES took, and how many are marked as sent.
    pub(super) async fn taken_and_marked(&self) -> Result<(usize, usize), Failure> {
        let emails = self.emails().await?;
        let taken = emails.iter().filter(|(_, taken)| *taken > 0).count();
        Ok((taken, emails.iter().filter(|(end, _)| *end == End::Sent).count()))
    }

    /// What the last commands wrote.
    pub(super) fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    pub(super) async fn version(&self) -> Result<String, Failure> {
        let rows = self.database.admin().rows("SELECT VERSION()").await?;
        Ok(rows.into_iter().flatten().flatten().next().unwrap_or_default())
    }

    async fn execute(&self, sql: &str) -> Result<(), Failure> {
        self.database.admin().execute(sql).await?;
        Ok(())
    }

    async fn finish(&self, arguments: &[&str]) -> Result<(), Failure> {
        let status = self.command(arguments)?.status().await?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{arguments:?} ended with {status}\n{}", self.log_tail()).into())
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.join("commands.log")
    }

    fn command(&self, arguments: &[&str]) -> Result<Command, Failure> {
        let log = fs::File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new(&self.python);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", self.python.parent().unwrap_or(Path::new("/usr/bin")))
            .env("HOME", &self.folder)
            // Its lock file lies there.
            .env("TMPDIR", &self.folder)
            .env("PYTHONPATH", &self.folder)
            .env("DJANGO_SETTINGS_MODULE", "settings")
            .env("DATABASE_PORT", self.proxy.port().to_string())
            .env("DATABASE_NAME", self.database.name())
            .env("DATABASE_USER", USER)
            .env("DATABASE_PASSWORD", PASSWORD)
            .env("SES_ENDPOINT", self.ses.endpoint())
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            // So that it ends when this process does, however that ends.
            .env(MARKER, format!("{}/", self.folder.display()))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        Ok(command)
    }
}

/// A command under way.
pub(super) struct Process(Child);

impl Process {
    /// Waits until it has ended by itself.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus, Failure> {
        Ok(self.0.wait().await?)
    }

    /// `kill -9`, and waits until it is gone: the next command finds its lock file without its process.
    pub(super) async fn kill(mut self) -> Result<(), Failure> {
        Ok(self.0.kill().await?)
    }

    pub(super) fn suspend(&self) -> Result<(), Failure> {
        self.signal(Signal::STOP)
    }

    pub(super) fn resume(&self) -> Result<(), Failure> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let pid = self.0.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(kill_process(pid.ok_or("it has ended")?, signal)?)
    }
}
