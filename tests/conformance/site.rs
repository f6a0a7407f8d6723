//! One lane of the kit: servers of its own, so that lanes do not disturb each other.

use std::{collections::BTreeMap, time::Duration};

use stack::{
    database::{Database, Flavor, Options, Server},
    ministack::Ministack,
    proxy::{How, Proxy},
    runtime_api::{Environment, Function, Outcome, RuntimeApi},
    ses::Ses,
};

use crate::{
    Failure,
    clock::Clock,
    queue::Queue,
    subject::{End, Subject, Wiring},
};

/// The servers, and the functions that live longer than a cell.
pub(crate) struct Site<'s> {
    pub(crate) subject: &'s dyn Subject,
    pub(crate) server: Server,
    pub(crate) database: Database,
    pub(crate) clock: Clock,
    /// Before the database, for workers: it holds and cuts.
    pub(crate) proxy: Proxy,
    /// Before the database, for everything else.
    pub(crate) office: Proxy,
    pub(crate) ses: Ses,
    pub(crate) queue: Queue,
    wiring: Wiring,
    api: RuntimeApi,
    spare: Option<Environment>,
    sweep: Option<Environment>,
    feedback: Option<Environment>,
}

/// A row as its table has it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) end: End,
    pub(crate) resends: usize,
    attempt: String,
    /// All of it, for a reader.
    pub(crate) text: String,
}

impl Row {
    /// Whether nothing happened between the two but that time passed.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        (self.end, self.resends, &self.attempt) == (other.end, other.resends, &other.attempt)
    }
}

/// The functions that live longer than a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// A worker that nobody kills.
    Spare,
    /// What repairs.
    Sweep,
    /// What takes events.
    Feedback,
}

impl<'s> Site<'s> {
    pub(crate) async fn new(
        subject: &'s dyn Subject,
        ministack: &Ministack,
        number: usize,
    ) -> Result<Self, Failure> {
        // Written at every commit as ever, but to the system's cache, which flushes it in its own time: what is killed here
        // are processes, not the machine. On a busy disk a flush can take longer than the five seconds that a statement
        // has. By itself MariaDB passes the cache by, for its log and for its tables.
        let options = Options::new(Flavor::MariaDb)
            .arg("--innodb-flush-log-at-trx-commit=2")
            .arg("--innodb-log-file-buffering=ON")
            .arg("--innodb-flush-method=nosync");
        let server = Server::start(options).await?;
        let database = match subject.schema() {
            None => server.create_database().await?,
            Some(schema) => {
                let database = server.create_empty_database().await?;
                database.admin().execute(&schema).await?;
                database
            }
        };
        let address = ([127, 0, 0, 1], server.port()).into();
        let (proxy, office) = (Proxy::start(address).await?, Proxy::start(address).await?);
        let ses = Ses::start().await?;
        let queue = Queue::create(ministack, &format!("conformance-{number}")).await?;
        let through = |proxy: &Proxy| {
            database.url().replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()))
        };
        let wiring = Wiring {
            database_url: through(&proxy),
            office_url: through(&office),
            ses_endpoint: ses.endpoint(),
            sqs_endpoint: ministack.endpoint(),
            queue_url: queue.url.clone(),
            region: ministack.region().to_owned(),
        };
        Ok(Self {
            clock: Clock::of(&database).await?,
            api: RuntimeApi::start(),
            spare: None,
            sweep: None,
            feedback: None,
            subject,
            server,
            database,
            proxy,
            office,
            ses,
            queue,
            wiring,
        })
    }

    /// As if nothing had ever happened.
    pub(crate) async fn clean(&mut self) -> Result<(), Failure> {
        self.database.admin().execute(&self.subject.clean()).await?;
        self.queue.purge().await?;
        self.ses.clear_scripts();
        self.ses.forget();
        self.proxy.reset();
        self.office.reset();
        Ok(())
    }

    /// Writes an email and returns its id.
    pub(crate) async fn insert(&self, recipient: &str, policy: crate::cell::Policy) -> Result<u64, Failure> {
        // One connection, so that the id is that of this very row.
        let sql = self.subject.insert(recipient, policy) + "; SELECT LAST_INSERT_ID()";
        Ok(self.database.admin().query_scalar_u64(&sql).await?)
    }

    /// A worker of its own life.
    pub(crate) async fn worker(&self) -> Result<Environment, Failure> {
        self.start(self.subject.worker(&self.wiring)).await
    }

    /// A worker of its own life that is held at SES while others go on.
    pub(crate) async fn patient_worker(&self) -> Result<Environment, Failure> {
        self.start(self.subject.patient_worker(&self.wiring)).await
    }

    /// A function that lives longer than a cell, started again when it died; `None`: the subject has none.
    pub(crate) async fn part(&mut self, part: Part) -> Result<Option<&Environment>, Failure> {
        let running = match part {
            Part::Spare => &self.spare,
            Part::Sweep => &self.sweep,
            Part::Feedback => &self.feedback,
        };
        if !running.as_ref().is_some_and(Environment::is_running) {
            let function = match part {
                Part::Spare => Some(self.subject.worker(&self.wiring)),
                Part::Sweep => self.subject.sweep(&self.wiring),
                Part::Feedback => self.subject.feedback(&self.wiring),
            };
            let started = match function {
                Some(function) => Some(self.start(function).await?),
                None => None,
            };
            match part {
                Part::Spare => self.spare = started,
                Part::Sweep => self.sweep = started,
                Part::Feedback => self.feedback = started,
            }
        }
        Ok(match part {
            Part::Spare => self.spare.as_ref(),
            Part::Sweep => self.sweep.as_ref(),
            Part::Feedback => self.feedback.as_ref(),
        })
    }

    /// Lets the sweep run once. Says what came of it, or `None` where there is no sweep.
    pub(crate) async fn run_sweep(&mut self) -> Result<Option<Outcome>, Failure> {
        let Some(sweep) = self.part(Part::Sweep).await? else { return Ok(None) };
        Ok(Some(sweep.invoke(&serde_json::json!({})).await.outcome))
    }

    async fn start(&self, function: Function) -> Result<Environment, Failure> {
        let name = function.name.clone();
        let environment = self.api.environment(function).await?;
        environment
            .ready()
            .await
            .map_err(|error| format!("{name} does not start: {error}\n{}", environment.log_text()))?;
        Ok(environment)
    }

    pub(crate) async fn row(&self, id: u64) -> Result<Row, Failure> {
        let mut rows = self.database.admin().rows(&self.subject.row(id)).await?;
        let Some(row) = rows.pop() else {
            return Ok(Row {
                end: End::Gone,
                resends: 0,
                attempt: String::new(),
                text: "there is no such row".to_owned(),
            });
        };
        let mut values = row.into_iter().map(Option::unwrap_or_default);
        let (state, resends) = (values.next().unwrap_or_default(), values.next().unwrap_or_default());
        let attempt = values.next().unwrap_or_default();
        let rest = values.collect::<Vec<_>>().join(" ");
        Ok(Row {
            end: self.subject.end(&state),
            resends: resends.parse()?,
            text: format!("{state} resends={resends} {attempt} {rest}"),
            attempt,
        })
    }

    /// How every row stands.
    pub(crate) async fn ends(&self) -> Result<BTreeMap<u64, End>, Failure> {
        let query = self.subject.rows().ok_or("the subject takes no part in the mass scenario")?;
        let rows = self.database.admin().rows(&query).await?;
        let mut ends = BTreeMap::new();
        for row in rows {
            let mut values = row.into_iter().map(Option::unwrap_or_default);
            let (id, state) = (values.next().unwrap_or_default(), values.next().unwrap_or_default());
            ends.insert(id.parse()?, self.subject.end(&state));
        }
        Ok(ends)
    }

    pub(crate) async fn history(&self, id: u64) -> Result<Vec<String>, Failure> {
        let Some(query) = self.subject.history(id) else { return Ok(Vec::new()) };
        let rows = self.database.admin().rows(&query).await?;
        Ok(rows.into_iter().flatten().flatten().collect())
    }

    /// Nobody reaches the database any more, and whoever did is cut off; or all is well again.
    pub(crate) async fn database_away(&self, away: bool) {
        for proxy in [&self.proxy, &self.office] {
            proxy.refuse(away).await;
            if away {
                proxy.cut_all(How::Reset);
            }
        }
    }

    /// The application's connections that are open when everybody had the time to close theirs: the server hangs up
    /// first and forgets the connection a moment later.
    pub(crate) async fn connections_left(&self) -> Result<usize, Failure> {
        let mut open = 0;
        for _ in 0..3_000 {
            open =
                self.server.processlist().await?.len() + self.proxy.totals().open + self.office.totals().open;
            if open == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(open)
    }
}
