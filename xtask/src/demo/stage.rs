//! The servers, and the application deployed into them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use stack::database::{Database, Flavor, Options, Server};
use stack::deploy::{Application, Cloud};
use stack::front::Front;
use stack::inbox::Inbox;
use stack::install::workspace;
use stack::ministack::{self, ACCOUNT, Ministack};
use stack::ses::{EventKind, Ses};
use tokio::task::spawn_blocking;

use super::build::{self, Built, Code};
use super::progress::{Failure, step};
use super::rabbitmq::{Bridge, Broker, DISPATCHED, RELAYED};

/// The functions' names, which the template makes of the stack's.
pub(super) const DISPATCH: &str = "sendonce-dispatch-sqs";
pub(super) const SWEEP: &str = "sendonce-sweep";
pub(super) const FEEDBACK: &str = "sendonce-feedback";

pub(super) const RELAY_RABBITMQ: &str = "sendonce-relay-rabbitmq";
pub(super) const DISPATCH_RABBITMQ: &str = "sendonce-dispatch-rabbitmq";

/// All of them.
pub(super) const FUNCTIONS: [&str; 6] =
    [DISPATCH, SWEEP, FEEDBACK, RELAY_RABBITMQ, DISPATCH_RABBITMQ, "sendonce-migrate"];

/// Their binaries; the first is the worker.
const BINARIES: [&str; 6] =
    ["dispatch-sqs", "sweep", "feedback", "relay-rabbitmq", "dispatch-rabbitmq", "migrate"];

/// The domain that SES lets write.
const DOMAIN: &str = "shop.example";

/// The stack's name, and that of the configuration set that it makes: without one SES tells nothing afterwards.
const STACK: &str = "sendonce";

/// Everything that runs.
pub(super) struct Stage {
    pub(super) server: Server,
    pub(super) database: Database,
    pub(super) ses: Ses,
    pub(super) inbox: Inbox,
    pub(super) front: Front,
    pub(super) ministack: Ministack,
    pub(super) cloud: Cloud,
    pub(super) broker: Broker,
    pub(super) bridges: [Bridge; 2],
    /// The binary of `dispatch-sqs`.
    pub(super) worker: PathBuf,
    outputs: BTreeMap<String, String>,
}

/// SES as the function sees it: the judge, the page, and what stands before both.
struct Mail {
    ses: Ses,
    inbox: Inbox,
    front: Front,
}

impl Stage {
    /// Installs, builds and starts what is needed and deploys the template, which makes the schema. SES will tell these
    /// events of every email that it takes.
    pub(super) async fn set_up(events: &[EventKind]) -> Result<Self, Failure> {
        let build = async { spawn_blocking(|| build::build(&BINARIES)).await? };
        let (Built { functions, bridge }, (server, database), (mail, ministack), broker) = tokio::try_join!(
            step("building the functions and the bridge (development profile)", build),
            start_database(),
            start_cloud(),
            step("starting RabbitMQ", Broker::start()),
        )?;
        let cloud = Cloud::of(&ministack);
        let deployed = deploy(&cloud, &server, &database, &functions);
        let outputs = step("deploying template.yaml into ministack", deployed).await?;
        let Mail { ses, inbox, front } = mail;
        ses.emit_events_to(ministack.endpoint(), events);
        let bridges = [
            broker.bridge(&bridge, RELAYED, &outputs["RelayRabbitmqFunctionArn"], &ministack)?,
            broker.bridge(&bridge, DISPATCHED, &outputs["DispatchRabbitmqFunctionArn"], &ministack)?,
        ];
        let worker = functions.into_iter().next().ok_or("nothing was built")?.executable;
        Ok(Self { server, database, ses, inbox, front, ministack, cloud, broker, bridges, worker, outputs })
    }

    /// An output of the deployed stack.
    pub(super) fn output(&self, name: &str) -> Result<&str, Failure> {
        let value = self.outputs.get(name);
        Ok(value.ok_or_else(|| format!("the template has no output {name}"))?)
    }

    /// Stops the bridges as an operator does, and returns what is wrong with how they ended.
    pub(super) async fn stop_bridges(&self) -> Result<Vec<String>, Failure> {
        let mut wrong = Vec::new();
        for bridge in &self.bridges {
            let (how, log) = bridge.stop().await?;
            if how != "exit status: 0" {
                wrong.push(format!("a bridge ended with {how}:\n{log}"));
            }
        }
        Ok(wrong)
    }

    /// The queue of a lane.
    pub(super) fn queue(&self, lane: &str) -> Result<&str, Failure> {
        self.output(if lane == "bulk" { "BulkQueueUrl" } else { "UrgentQueueUrl" })
    }
}

/// With an empty database: the deploy makes the schema.
async fn start_database() -> Result<(Server, Database), Failure> {
    step(
        "starting MariaDB",
        Box::pin(async {
            let server = Server::start(Options::new(Flavor::MariaDb)).await?;
            let database = server.create_empty_database().await?;
            Ok::<_, Failure>((server, database))
        }),
    )
    .await
}

async fn start_cloud() -> Result<(Mail, Ministack), Failure> {
    let ses = Ses::start().await?;
    ses.verified_senders(Some(&[DOMAIN]));
    ses.configuration_sets(Some(&[STACK]));
    let inbox = step("starting the inbox", Inbox::start()).await?;
    let front = Front::start(&ses, &inbox).await?;
    let options = ministack::Options::default().region("eu-west-1").ses_endpoint(front.endpoint());
    let ministack =
        step("starting ministack (SQS, Lambda, EventBridge, CloudFormation)", Ministack::start(options))
            .await?;
    Ok((Mail { ses, inbox, front }, ministack))
}

async fn deploy(
    cloud: &Cloud,
    server: &Server,
    database: &Database,
    code: &[Code],
) -> Result<BTreeMap<String, String>, Failure> {
    let template = std::fs::read_to_string(workspace().join("template.yaml"))?;
    let ca_file = server.ca_file().to_str().ok_or("the temporary folder has a name that is not UTF-8")?;
    let identity = format!("arn:aws:ses:eu-west-1:{ACCOUNT}:identity/{DOMAIN}");
    let parameters = [
        ("Database", "url"),
        ("DatabaseUrl", database.url()),
        ("MigrateDatabaseUrl", database.url()),
        ("DatabaseTls", "verify"),
        ("DatabaseCaFile", ca_file),
        ("SesIdentityArns", &identity),
        ("RabbitmqBroker", "self-hosted"),
        ("RabbitmqRelayQueue", RELAYED),
        ("RabbitmqDispatchQueue", DISPATCHED),
        ("Architecture", if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }),
    ];
    let code: Vec<_> = code.iter().map(|code| (code.binary, &code.archive)).collect();
    let application = Application { stack: STACK, template: &template, parameters: &parameters, code: &code };
    Ok(cloud.deploy(&application).await?)
}
