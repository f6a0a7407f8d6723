//! `cargo xtask deploy-local`: the files of this repository through `sam build` and `sam deploy`, as DEPLOY.md has it, but
//! into an AWS on this machine; an email through what was deployed; `sam delete`, and a look at what is left.
//!
//! `sam build` optimizes every function over all crates, which takes minutes. With `--short` it is left out: `sam deploy`
//! gets the binaries as cargo builds them for the tests. `cargo xtask test` runs that.

mod sam;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use stack::database::{Database, Flavor, Options, Server};
use stack::deploy::Cloud;
use stack::front::Front;
use stack::inbox::Inbox;
use stack::install::{self, workspace};
use stack::ministack::{self, ACCOUNT, Ministack};
use stack::ses::Ses;
use stack::supervisor::Supervisor;
use tokio::task::spawn_blocking;

use self::sam::Sam;
use crate::Outcome;

type Failure = Box<dyn Error + Send + Sync>;

/// The stack's name, which that of every function begins with.
const STACK: &str = "sendonce";

/// Where `sam` puts what it uploads.
const BUCKET: &str = "sendonce-deploy-local";

const REGION: &str = "eu-west-1";
const DOMAIN: &str = "shop.example";
/// A first invocation of a binary that was not optimized takes a second.
const SENT_WITHIN: Duration = Duration::from_mins(1);

/// Deploy the template with SAM into an AWS on this machine, send an email through it, and remove it again
///
/// Exit code 1 when the email does not arrive, or something is left behind.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave `sam build` out: deploy what cargo builds in the development profile
    #[arg(long)]
    short: bool,
    /// Leave it deployed until Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// Deploys, sends, deletes.
///
/// # Errors
///
/// Something could not be installed, built, started, deployed or asked. An email that does not arrive, or what is left
/// behind, is no error but the exit code 1.
pub(crate) async fn run(args: Args) -> Outcome {
    let folder = workspace().join("target").join("deploy-local");
    // Another one would remove what this one builds.
    let lock = File::create(folder.with_extension("lock"))?;
    lock.try_lock().map_err(|_| "another deploy-local is under way")?;
    let outcome = Box::pin(play(&args, folder.clone())).await;
    if let Ok(supervisor) = Supervisor::of_this_process() {
        supervisor.finish();
    }
    // What failed may be looked at.
    if matches!(outcome, Ok(true)) {
        std::fs::remove_dir_all(&folder)?;
    }
    outcome.map(|is_good| if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn play(args: &Args, folder: PathBuf) -> Result<bool, Failure> {
    let begun = Instant::now();
    let tool = told(begun, "the SAM command line is there", spawn_blocking(install::sam)).await??;
    let local = told(begun, "MariaDB, SES, the inbox and ministack run", Local::start()).await?;
    let Local { cloud, .. } = &local;
    let sam = Sam::new(tool, &local.ministack, folder)?;
    let parameters = local.parameters()?;
    let is_short = args.short;
    let build = {
        let (sam, parameters) = (sam.clone(), parameters.clone());
        spawn_blocking(move || if is_short { sam.build_short() } else { sam.build(&parameters) })
    };
    let built = if is_short { "cargo build (development profile)" } else { "sam build" };
    told(begun, built, build).await??;
    cloud.create_bucket(BUCKET).await?;
    let before = cloud.everything(&[BUCKET]).await?;
    let deploy = {
        let sam = sam.clone();
        spawn_blocking(move || sam.deploy(STACK, BUCKET, &parameters))
    };
    told(begun, "sam deploy", deploy).await??;
    let outputs = cloud.outputs(STACK).await?;
    cloud.repair_mappings().await?;
    let deployed = cloud.everything(&[BUCKET]).await?;
    let made: Vec<&String> = deployed.difference(&before).collect();
    println!(
        "sam deploy made {} things:\n  {}",
        made.len(),
        made.iter().map(|made| made.as_str()).collect::<Vec<_>>().join("\n  ")
    );
    let has_arrived = told(begun, "an email goes through it", local.send(&outputs)).await?;
    if args.keep {
        println!("the stack stays until Ctrl-C; the inbox is at {}", local.inbox.url());
        tokio::signal::ctrl_c().await?;
    }
    told(begun, "sam delete", spawn_blocking(move || sam.delete(STACK, BUCKET))).await??;
    let left = local.left(&before).await?;
    for left in &left {
        println!("left behind: {left}");
    }
    if left.is_empty() {
        println!("nothing is left of it");
    }
    Ok(has_arrived && left.is_empty())
}

/// What stands in for AWS and what the shop has.
struct Local {
    server: Server,
    database: Database,
    _ses: Ses,
    inbox: Inbox,
    _front: Front,
    ministack: Ministack,
    cloud: Cloud,
}

impl Local {
    async fn start() -> Result<Self, Failure> {
        let database = async {
            let server = Server::start(Options::new(Flavor::MariaDb)).await?;
            let database = server.create_empty_database().await?;
            Ok::<_, Failure>((server, database))
        };
        let mail = async {
            let ses = Ses::start().await?;
            ses.verified_senders(Some(&[DOMAIN]));
            // The one that the deployment makes, which is named after it.
            ses.configuration_sets(Some(&[STACK]));
            let inbox = Inbox::start().await?;
            let front = Front::start(&ses, &inbox).await?;
            let options = ministack::Options::default().region(REGION).ses_endpoint(front.endpoint());
            Ok::<_, Failure>((ses, inbox, front, Ministack::start(options).await?))
        };
        let ((server, database), (ses, inbox, front, ministack)) = tokio::try_join!(database, mail)?;
        let cloud = Cloud::of(&ministack);
        Ok(Self { server, database, _ses: ses, inbox, _front: front, ministack, cloud })
    }

    /// The parameters of a deployment with everything that does not need a broker. The database is empty: the deployment
    /// makes the schema.
    fn parameters(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        let ca_file =
            self.server.ca_file().to_str().ok_or("the temporary folder has a name that is not UTF-8")?;
        Ok(vec![
            ("Database", "url".to_owned()),
            ("DatabaseUrl", self.database.url().to_owned()),
            ("MigrateDatabaseUrl", self.database.url().to_owned()),
            ("DatabaseTls", "verify".to_owned()),
            ("DatabaseCaFile", ca_file.to_owned()),
            ("SesIdentityArns", format!("arn:aws:ses:{REGION}:{ACCOUNT}:identity/{DOMAIN}")),
            // More than the sum of what may be connected at the same time, and less than the server allows.
            ("DatabaseMaxConnections", "100".to_owned()),
            ("Network", "made".to_owned()),
            ("Architecture", if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }.to_owned()),
        ])
    }

    /// Writes a row, rings, and waits until the email is in the inbox and its row says so.
    async fn send(&self, outputs: &BTreeMap<String, String>) -> Result<bool, Failure> {
        const SUBJECT: &str = "Deployed on this machine";
        let admin = self.database.admin();
        let row = format!(
            "INSERT INTO email (sender, to_addresses, subject, text_body) VALUES ('Shop <orders@{DOMAIN}>', \
             JSON_ARRAY('Ada <ada@customer.example>'), '{SUBJECT}', 'It went all the way.')"
        );
        admin.execute(&row).await?;
        let id = admin.query_scalar_u64("SELECT MAX(id) FROM email").await?;
        let queue = outputs.get("UrgentQueueUrl").ok_or("the template has no output UrgentQueueUrl")?;
        let rung = Instant::now();
        self.cloud.send_message(queue, &doorbell::body::write(id)).await?;
        let mut state = String::new();
        while rung.elapsed() < SENT_WITHIN {
            let rows = admin.rows(&format!("SELECT state FROM email WHERE id = {id}")).await?;
            state = rows.into_iter().flatten().flatten().next().unwrap_or_default();
            let emails = self.inbox.emails().await?;
            let shown = emails.iter().filter(|email| email["subject"] == SUBJECT).count();
            if state == "sent" && shown == 1 {
                println!(
                    "email {id}: {state}, in the inbox {:.1} s after its doorbell",
                    rung.elapsed().as_secs_f64()
                );
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = self.cloud.log(&format!("{STACK}-dispatch-sqs")).await?.join("\n  ");
        println!("email {id} is {state:?} and not in the inbox; what dispatch-sqs logged:\n  {log}");
        Ok(false)
    }

    /// What there is now and was not before. A stack takes a moment to go.
    async fn left(&self, before: &BTreeSet<String>) -> Result<Vec<String>, Failure> {
        let begun = Instant::now();
        loop {
            let now = self.cloud.everything(&[BUCKET]).await?;
            let left: Vec<String> = now.difference(before).cloned().collect();
            if left.is_empty() || begun.elapsed() > Duration::from_secs(10) {
                return Ok(left);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Says how long after the beginning something was done.
async fn told<T, E>(
    begun: Instant,
    what: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure>
where
    E: Into<Failure>,
{
    let done = work.await.map_err(|error| format!("{what}: {}", crate::chain(&*error.into())))?;
    eprintln!("  {:>6.1} s   {what}", begun.elapsed().as_secs_f64());
    Ok(done)
}
