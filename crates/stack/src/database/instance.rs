//! One running server.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::options::{Flavor, Options, Place, Tool};
use super::{Admin, DatabaseError, PASSWORD, Process, USER, grants, migrations, migrations_folder, template};
use crate::certificate::Certificates;
use crate::supervisor::{Running, ServerError, Supervisor, free_port, until_ready};

/// How long an orderly shutdown may take before it is cut short.
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// A private database server. Dropping it kills it; its folder goes with the process.
#[derive(Debug)]
pub struct Server {
    supervisor: Arc<Supervisor>,
    tool: Tool,
    place: Place,
    args: Vec<String>,
    admin: Admin,
    databases: AtomicU32,
    /// The users of the functions are there, and known.
    users: OnceCell<()>,
    process: Mutex<Option<Running>>,
}

/// A database with the whole schema, of its own name.
#[derive(Debug, Clone)]
pub struct Database {
    name: String,
    url: String,
    admin: Admin,
}

impl Database {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `mysql://…` for the application's user, who may do everything here.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same for the user of a function (`sweep`), or of `operator` or `producer`, with the rights of
    /// `infra/grants.sql`. They have no rights on a database without tables.
    #[must_use]
    pub fn url_of(&self, function: &str) -> String {
        self.url.replacen(USER, &grants::user(function), 1)
    }

    /// The administrator, with this database as the default.
    #[must_use]
    pub fn admin(&self) -> &Admin {
        &self.admin
    }
}

impl Server {
    /// Installs what is missing, starts a fresh server and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] when any of that fails; the end of the server's log is in it.
    pub async fn start(options: Options) -> Result<Self, DatabaseError> {
        let server = spawn_blocking(move || Self::prepare(options)).await??;
        server.launch().await?;
        server.make_user().await?;
        Ok(server)
    }

    /// The one server of its make that all tests of this process share.
    ///
    /// # Errors
    ///
    /// As [`Server::start`]; the next call tries again.
    pub async fn shared(flavor: Flavor) -> Result<&'static Self, DatabaseError> {
        static MARIADB: OnceCell<Server> = OnceCell::const_new();
        static MYSQL: OnceCell<Server> = OnceCell::const_new();
        let cell = match flavor {
            Flavor::MariaDb => &MARIADB,
            Flavor::MySql => &MYSQL,
        };
        cell.get_or_try_init(|| Self::start(Options::new(flavor))).await
    }

    fn prepare(options: Options) -> Result<Self, DatabaseError> {
        let tool = Tool::find(options.flavor)?;
        let supervisor = Supervisor::of_this_process()?;
        let folder = supervisor.folder(&options.flavor.to_string().to_lowercase())?;
        let place = Place {
            data: folder.join("data"),
            socket: folder.join("socket"),
            port: free_port()?,
            certificates: Certificates::make(&folder)?,
            folder,
        };
        template::copy_to(&tool, &place.data)?;
        Ok(Self {
            supervisor,
            tool,
            args: options.args,
            admin: Admin::new(place.socket.clone()),
            place,
            databases: AtomicU32::new(0),
            users: OnceCell::new(),
            process: Mutex::new(None),
        })
    }

    /// Starts the process and waits until the administrator can log in.
    async fn launch(&self) -> Result<(), DatabaseError> {
        let process = self.supervisor.spawn(&self.tool.program(&self.place, &self.args))?;
        until_ready(&process, || async {
            let connection = self.admin.connect().await?;
            // The login counts, not the farewell.
            let _ = connection.close().await;
            Ok::<(), DatabaseError>(())
        })
        .await?;
        *self.lock() = Some(process);
        Ok(())
    }

    async fn make_user(&self) -> Result<(), DatabaseError> {
        self.admin.execute(&format!("CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'")).await?;
        self.remember_passwords(false).await
    }

    /// MySQL lets a client without TLS log in only when it remembers the password from an earlier login.
    async fn remember_passwords(&self, of_functions: bool) -> Result<(), DatabaseError> {
        if self.flavor() != Flavor::MySql {
            return Ok(());
        }
        let mut users = vec![USER.to_owned()];
        if of_functions {
            users.extend(grants::users()?);
        }
        for user in users {
            let options = MySqlConnectOptions::new()
                .host("127.0.0.1")
                .port(self.port())
                .username(&user)
                .password(PASSWORD)
                .ssl_mode(MySqlSslMode::VerifyIdentity)
                .ssl_ca(self.ca_file());
            let refused = |source| DatabaseError::Statement { sql: "(the login over TLS)".into(), source };
            let connection = options.connect().await.map_err(refused)?;
            connection.close().await.map_err(refused)?;
        }
        Ok(())
    }

    /// Which make it is.
    #[must_use]
    pub fn flavor(&self) -> Flavor {
        self.tool.flavor()
    }

    /// Its port on 127.0.0.1; it stays the same over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.place.port
    }

    /// The certificate authority (PEM) that vouches for `localhost` and 127.0.0.1.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        &self.place.certificates.ca
    }

    /// `mysql://user:password@127.0.0.1:port/database` for the application's user.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port())
    }

    /// The administrator, without a default database.
    #[must_use]
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// The server's log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.lock().as_ref().map_or_else(String::new, Running::log_tail)
    }

    /// The server's process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.lock().as_ref().map(Running::pid)
    }

    /// Makes a database with a name of its own, applies every migration to it, in order, and gives each function's user
    /// the rights of `infra/grants.sql`.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Migration`] names the file that failed.
    pub async fn create_database(&self) -> Result<Database, DatabaseError> {
        let database = self.create_empty_database().await?;
        for (path, sql) in migrations(&migrations_folder())? {
            let applied = database.admin.execute(&sql).await;
            applied.map_err(|source| DatabaseError::Migration { path, source: Box::new(source) })?;
        }
        database.admin.execute(&grants::grants(database.name())?).await?;
        self.users.get_or_try_init(|| self.remember_passwords(true)).await?;
        Ok(database)
    }

    /// Makes a database without any table, on which the application's user may do everything.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Connect`] or [`DatabaseError::Statement`].
    pub async fn create_empty_database(&self) -> Result<Database, DatabaseError> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed) + 1;
        let name = format!("sendonce_{number}");
        // An underscore in a GRANT is a wildcard; escaped, it grants this one database.
        let pattern = name.replace('_', "\\_");
        let sql = format!(
            "CREATE DATABASE `{name}` CHARACTER SET utf8mb4; GRANT ALL ON `{pattern}`.* TO '{USER}'@'%'"
        );
        self.admin.execute(&sql).await?;
        Ok(Database { url: self.url(&name), admin: self.admin.in_database(&name), name })
    }

    /// How many connections the application's users have opened since the server started, refused ones left out.
    ///
    /// # Errors
    ///
    /// As [`Admin::query_scalar_u64`].
    pub async fn connections_made(&self) -> Result<u64, DatabaseError> {
        let table = match self.flavor() {
            Flavor::MariaDb => "information_schema.user_statistics",
            Flavor::MySql => "performance_schema.users",
        };
        let sql =
            format!("SELECT COALESCE(SUM(total_connections), 0) FROM {table} WHERE user LIKE '{USER}%'");
        self.admin.query_scalar_u64(&sql).await
    }

    /// A counter of `SHOW GLOBAL STATUS`, such as `Aborted_clients`.
    ///
    /// # Errors
    ///
    /// As [`Admin::global_status`].
    pub async fn global_status(&self, name: &str) -> Result<u64, DatabaseError> {
        self.admin.global_status(name).await
    }

    /// The application's connections that are open now.
    ///
    /// # Errors
    ///
    /// As [`Admin::processlist`].
    pub async fn processlist(&self) -> Result<Vec<Process>, DatabaseError> {
        self.admin.processlist().await
    }

    /// Shuts it down in order, as an operator would. It can be [restarted](Server::restart).
    ///
    /// # Errors
    ///
    /// [`ServerError::NotRunning`] or [`ServerError::Signal`].
    pub async fn stop(&self) -> Result<(), DatabaseError> {
        let process = self.take()?;
        spawn_blocking(move || process.terminate(STOPS_WITHIN)).await??;
        Ok(())
    }

    /// Kills it (SIGKILL), as a power cut would. It can be [restarted](Server::restart).
    ///
    /// # Errors
    ///
    /// [`ServerError::NotRunning`].
    pub async fn kill(&self) -> Result<(), DatabaseError> {
        let process = self.take()?;
        spawn_blocking(move || process.kill()).await?;
        Ok(())
    }

    /// Starts it again on the same port and data, stopping it in order first if it runs.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub async fn restart(&self) -> Result<(), DatabaseError> {
        if self.pid().is_some() {
            self.stop().await?;
        }
        self.launch().await?;
        self.remember_passwords(self.users.initialized()).await
    }

    /// Freezes it (SIGSTOP): connections stay open, nothing answers.
    ///
    /// # Errors
    ///
    /// [`ServerError::NotRunning`] or [`ServerError::Signal`].
    pub fn suspend(&self) -> Result<(), DatabaseError> {
        self.signal(Signal::STOP)
    }

    /// Lets a suspended server go on.
    ///
    /// # Errors
    ///
    /// [`ServerError::NotRunning`] or [`ServerError::Signal`].
    pub fn resume(&self) -> Result<(), DatabaseError> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), DatabaseError> {
        let process = self.lock();
        Ok(process.as_ref().ok_or_else(|| self.not_running())?.signal(signal)?)
    }

    fn take(&self) -> Result<Running, DatabaseError> {
        self.lock().take().ok_or_else(|| self.not_running())
    }

    fn not_running(&self) -> DatabaseError {
        ServerError::NotRunning { name: self.flavor().to_string() }.into()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
