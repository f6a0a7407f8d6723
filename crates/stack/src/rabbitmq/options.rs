//! How a broker is started: its options, and the files and variables that they become.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::certificate::Certificates;
use crate::install::{RabbitmqTool, search_path};
use crate::supervisor::{Program, ServerError};

/// How a broker is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub(super) tls: bool,
    vhosts: Vec<String>,
    users: Vec<(String, String)>,
    settings: Vec<String>,
    more: Map<String, Value>,
}

impl Options {
    /// Has it listen with TLS too, on a second port.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Adds a virtual host; `/` is always there.
    #[must_use]
    pub fn vhost(mut self, name: impl Into<String>) -> Self {
        self.vhosts.push(name.into());
        self
    }

    /// Adds a user, who may do everything in every virtual host; [`USER`](super::USER) is always there.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.users.push((name.into(), password.into()));
        self
    }

    /// Adds one line of `rabbitmq.conf`, such as `consumer_timeout = 5000`.
    #[must_use]
    pub fn setting(mut self, line: impl Into<String>) -> Self {
        self.settings.push(line.into());
        self
    }

    /// Has it begin with queues, policies and the like of the virtual host `/`, in the form in which they would be posted to
    /// the management interface's `/api/definitions/%2F`.
    #[must_use]
    pub fn definitions(mut self, kinds: Map<String, Value>) -> Self {
        for (kind, mut list) in kinds {
            for item in list.as_array_mut().into_iter().flatten() {
                item["vhost"] = "/".into();
            }
            self.more.insert(kind, list);
        }
        self
    }

    /// Users, virtual hosts and rights, imported when it starts: `rabbitmqctl` takes a second a call.
    fn imported(&self) -> Value {
        let mut vhosts = vec!["/".to_owned()];
        vhosts.extend(self.vhosts.iter().cloned());
        let mut users = vec![(super::USER.to_owned(), super::PASSWORD.to_owned())];
        users.extend(self.users.iter().cloned());
        let permissions: Vec<_> = users
            .iter()
            .flat_map(|(user, _)| vhosts.iter().map(move |vhost| (user, vhost)))
            .map(|(user, vhost)| {
                json!({ "user": user, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*" })
            })
            .collect();
        let users: Vec<_> = users
            .iter()
            .map(|(name, password)| json!({ "name": name, "password": password, "tags": "" }))
            .collect();
        let vhosts: Vec<_> = vhosts.iter().map(|name| json!({ "name": name })).collect();
        let mut all = self.more.clone();
        all.extend([
            ("users".to_owned(), users.into()),
            ("vhosts".to_owned(), vhosts.into()),
            ("permissions".to_owned(), permissions.into()),
        ]);
        all.into()
    }
}

/// Where one broker lives.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    pub(super) port: u16,
    pub(super) tls: Option<(u16, Certificates)>,
    pub(super) epmd_port: u16,
    pub(super) distribution_port: u16,
}

impl Place {
    /// Writes the files that the server reads when it starts.
    pub(super) fn furnish(&self, options: &Options) -> Result<(), ServerError> {
        let write = |name: &str, text: String| {
            let path = self.folder.join(name);
            fs::write(&path, text).map_err(|source| ServerError::File { action: "write", path, source })
        };
        write("rabbitmq.conf", self.settings(options))?;
        write("definitions.json", options.imported().to_string())?;
        // Both are read from /etc unless they are named.
        write("advanced.config", "[].\n".into())?;
        write("enabled_plugins", "[].\n".into())
    }

    fn settings(&self, options: &Options) -> String {
        let mut text = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\n\
             num_acceptors.tcp = 2\n\
             load_definitions = {}\n\
             loopback_users = none\n\
             log.file = false\n\
             log.console = true\n\
             raft.wal_max_size_bytes = 32000000\n",
            self.port,
            self.folder.join("definitions.json").display()
        );
        if let Some((port, certificates)) = &self.tls {
            let path = |path: &Path| path.display().to_string();
            let lines = [
                ("listeners.ssl.1", format!("127.0.0.1:{port}")),
                ("num_acceptors.ssl", "2".into()),
                ("ssl_options.cacertfile", path(&certificates.ca)),
                ("ssl_options.certfile", path(&certificates.certificate)),
                ("ssl_options.keyfile", path(&certificates.key)),
                ("ssl_options.verify", "verify_none".into()),
                ("ssl_options.fail_if_no_peer_cert", "false".into()),
            ];
            for (name, value) in lines {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{name} = {value}");
            }
        }
        for line in &options.settings {
            text.extend([line, "\n"]);
        }
        text
    }

    /// The server, ready to be started.
    pub(super) fn server(&self, tool: &RabbitmqTool) -> Program {
        let own = |name: &str| self.folder.join(name);
        self.program("rabbitmq", tool.server.clone(), tool)
            // As a systemd unit does: the script becomes the server, which then ends in order at SIGTERM.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env("RABBITMQ_NODENAME", format!("sendonce-{}@localhost", self.port))
            .env("RABBITMQ_DIST_PORT", self.distribution_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", own("data"))
            .env("RABBITMQ_LOG_BASE", own("logs"))
            .env("RABBITMQ_LOG", "info,-color")
            .env("RABBITMQ_CONFIG_FILE", own("rabbitmq.conf"))
            .env("RABBITMQ_CONFIG_FILES", own("more.d"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", own("advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", own("enabled_plugins"))
            // Not the system's.
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("ERL_CRASH_DUMP_SECONDS", "0")
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "+S 1:1 +SDcpu 1:1 +SDio 2 -kernel inet_dist_use_interface {127,0,0,1}",
            )
    }

    /// Erlang's name server, which would otherwise be started by the server, detach itself and outlive it.
    pub(super) fn name_server(&self, tool: &RabbitmqTool) -> Program {
        self.program("epmd", tool.erlang.join("epmd"), tool).args([
            "-port",
            &self.epmd_port.to_string(),
            "-address",
            "127.0.0.1",
        ])
    }

    fn program(&self, name: &str, path: PathBuf, tool: &RabbitmqTool) -> Program {
        let mut programs = tool.erlang.clone().into_os_string();
        programs.push(":");
        programs.push(search_path());
        let mut program = Program::new(name, path, &self.folder).clear_environment();
        if let Some(libraries) = &tool.libraries {
            program = program.env("LD_LIBRARY_PATH", libraries);
        }
        program
            .env("PATH", programs)
            // Where Erlang keeps its cookie.
            .env("HOME", &self.folder)
            .env("LANG", "C.UTF-8")
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
    }
}
