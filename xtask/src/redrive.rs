//! `cargo xtask redrive`: what is in a dead-letter queue, how the email of each message stands, and ringing anew for those
//! that are not at their end.
//!
//! Without `--yes` it only looks: what was taken from the queue is shown to others again. It reads the table over one
//! connection, which is closed before anything is rung. Message ids, email ids and states are printed, and never a body:
//! in a dead-letter queue anything may be.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use doorbell::aws::AwsAccess;
use doorbell::backlog::Taken;
use doorbell::config::{ConfigError, ProcessEnvironment, Reader, Variables};
use doorbell::ring::{Queues, SqsBacklog, SqsBell};
use outbox::config::OperatorConfig;
use outbox::redrive::{self, Done, Planned, What, Why};

use crate::{Outcome, aws, chain};

/// How long the table may take to answer.
const LOOKING: Duration = Duration::from_secs(30);

/// Show what is in a dead-letter queue and how each email stands; with --yes, ring for those that are not at their end
///
/// The table is found by `DATABASE_URL`, `DATABASE_TLS` and `DATABASE_CA_FILE`, the lanes' queues by `URGENT_QUEUE_URL` and
/// `BULK_QUEUE_URL`. A message is removed only after its doorbell was rung, or when its email is at its end.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The dead-letter queue
    queue_url: String,
    /// Act; otherwise it is only told what would be done
    #[arg(long)]
    yes: bool,
    /// Instead, move every message to this queue as it is: SES's events back to where `feedback` takes them from
    #[arg(long, value_name = "QUEUE_URL", conflicts_with_all = ["database", "urgent", "bulk"])]
    move_to: Option<String>,
    /// Instead of `DATABASE_URL`, for a URL without a password: what is typed here, others on this machine can see
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Instead of `URGENT_QUEUE_URL`
    #[arg(long, value_name = "QUEUE_URL")]
    urgent: Option<String>,
    /// Instead of `BULK_QUEUE_URL`
    #[arg(long, value_name = "QUEUE_URL")]
    bulk: Option<String>,
    /// Instead of `AWS_REGION`
    #[arg(long)]
    region: Option<String>,
    /// Take about so many messages at most
    #[arg(long, value_name = "MESSAGES", default_value_t = 1_000)]
    most: usize,
    /// Hide what was taken from others for so long; after an interruption it shows again when this is over
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=43_200))]
    hide: u64,
}

/// Looks, and acts if asked to.
///
/// # Errors
///
/// Something is not configured, or the queue or the table did not answer. A message that could not be dealt with is no
/// error but the exit code 1.
pub(crate) async fn run(args: Args) -> Outcome {
    let settings = Settings::read(&args)?;
    let access = aws::access(args.region.clone(), aws::region_of_url(&args.queue_url)).await?;
    let bell = settings.bell(&access);
    let backlog = bell.backlog(args.queue_url.clone(), Duration::from_secs(args.hide));
    let taken = redrive::take(&backlog, args.most).await?;
    if taken.is_empty() {
        println!("no message is in the queue, or each is hidden because somebody has taken it");
        return Ok(ExitCode::SUCCESS);
    }
    let outcome = match &args.move_to {
        Some(queue_url) => Ok(move_on(&backlog, queue_url, &taken, args.yes).await),
        None => ring(&bell, &backlog, &settings, taken.clone(), args.yes).await,
    };
    if outcome.is_err() || !args.yes {
        redrive::give_back(&backlog, &taken).await;
    }
    outcome.map(|all_is_well| if all_is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns whether everything was done that was to be done.
async fn ring(
    bell: &SqsBell,
    backlog: &SqsBacklog,
    settings: &Settings,
    taken: Vec<Taken>,
    yes: bool,
) -> Result<bool, Box<dyn Error + Send + Sync>> {
    let operator = settings.operator.as_ref().ok_or("there is no database to look at")?;
    let deadline = Instant::now() + LOOKING;
    let mut session = operator.database.connect(deadline).await?;
    let planned = redrive::plan(&mut session, taken, deadline).await;
    session.close().await;
    let planned = planned?;
    println!("{:40} {:>20}  {:10}  what is to be done", "message", "email", "state");
    for planned in &planned {
        println!("{}", line(planned));
    }
    let count = |is: fn(&What) -> bool| planned.iter().filter(|planned| is(&planned.what)).count();
    let to_ring = count(|what| matches!(what, What::Ring(_)));
    let to_remove = count(|what| !matches!(what, What::Keep(_)));
    let to_keep = planned.len() - to_remove;
    if !yes {
        println!(
            "\nnothing was changed; with --yes: {to_ring} to ring for, {to_remove} to remove, {to_keep} to keep"
        );
        return Ok(true);
    }
    let (mut rung, mut removed, mut failed) = (0, 0, 0);
    redrive::apply(bell, backlog, &planned, |planned, done| {
        let is_rung = matches!(done, Done::AsPlanned | Done::NotRemoved(_));
        rung += usize::from(is_rung && matches!(planned.what, What::Ring(_)));
        removed += usize::from(done.is_as_planned() && !matches!(planned.what, What::Keep(_)));
        failed += usize::from(!done.is_as_planned());
        complain(&planned.taken, done);
    })
    .await;
    println!("\n{rung} rung for, {removed} removed, {to_keep} kept, {failed} failed");
    Ok(failed == 0)
}

async fn move_on(backlog: &SqsBacklog, queue_url: &str, taken: &[Taken], yes: bool) -> bool {
    if !yes {
        for taken in taken {
            println!("{}", taken.id);
        }
        println!("\nnothing was changed; with --yes: {} to move", taken.len());
        return true;
    }
    let mut failed = 0;
    redrive::move_on(backlog, queue_url, taken, |taken, done| {
        failed += usize::from(!done.is_as_planned());
        complain(taken, done);
    })
    .await;
    println!("{} moved, {failed} failed", taken.len() - failed);
    failed == 0
}

/// Says what went wrong with a message, if something did.
fn complain(taken: &Taken, done: &Done) {
    let why = match done {
        Done::AsPlanned => return,
        Done::NoQueue(lane) => {
            let variable = format!("{}_QUEUE_URL", lane.as_str().to_uppercase());
            format!("not rung for: set {variable} or say --{lane}")
        }
        Done::AsTheOther => "not rung for, like the other of the same email".to_owned(),
        Done::NotRung(error) => format!("not rung for: {}", chain(error)),
        Done::NotMoved(error) => format!("not moved for certain: {}", chain(error)),
        Done::NotRemoved(error) => format!("done, but it may still be in the queue: {}", chain(error)),
    };
    eprintln!("{}: {why}", taken.id);
}

fn line(planned: &Planned) -> String {
    let email = planned.email_id.map_or_else(|| "–".to_owned(), |id| id.to_string());
    let state = planned.state.map_or("–", |state| state.as_str());
    let what = match planned.what {
        What::Ring(lane) => format!("ring ({lane}), then remove"),
        What::Double => "remove: the same email is rung for".to_owned(),
        What::Remove => "remove: it is at its end".to_owned(),
        What::Keep(why) => kept(why, &planned.taken),
    };
    format!("{:40} {email:>20}  {state:10}  {what}", planned.taken.id)
}

/// What came through RabbitMQ says itself why it is here, in one of our own words.
fn kept(why: Why, taken: &Taken) -> String {
    let is_word = |text: &&str| {
        text.len() <= 40 && text.chars().all(|sign| sign.is_ascii_lowercase() || "_8".contains(sign))
    };
    match taken.attribute("reason").filter(is_word) {
        Some(reason) => format!("keep: {why} ({reason})"),
        None => format!("keep: {why}"),
    }
}

/// What the environment and the arguments say.
struct Settings {
    /// Only where the table is to be looked at.
    operator: Option<OperatorConfig>,
    endpoint: Option<String>,
    queues: Queues,
}

impl Settings {
    fn read(args: &Args) -> Result<Self, ConfigError> {
        let given = Given(vec![
            ("QUEUE_URL", Some(args.queue_url.clone())),
            ("MOVE_TO", args.move_to.clone()),
            ("DATABASE_URL", args.database.clone()),
            ("URGENT_QUEUE_URL", args.urgent.clone()),
            ("BULK_QUEUE_URL", args.bulk.clone()),
        ]);
        let mut reader = Reader::of(&given);
        let queue_url = reader.url("QUEUE_URL");
        let endpoint = reader.endpoint("AWS_ENDPOINT_URL_SQS");
        let (mut operator, mut queues) = (None, Queues::default());
        if args.move_to.is_some() {
            let target = reader.queue_url("MOVE_TO");
            if target.is_some() && target == queue_url {
                reader.problem("MOVE_TO is the queue that is to be emptied");
            }
        } else {
            queues = Queues {
                urgent: reader.queue_url("URGENT_QUEUE_URL"),
                bulk: reader.queue_url("BULK_QUEUE_URL"),
            };
            let lanes = [&queues.urgent, &queues.bulk].map(Option::as_deref);
            if queue_url.is_some() && lanes.contains(&queue_url.as_deref()) {
                reader.problem("QUEUE_URL is the queue of a lane: its messages are taken by dispatch-sqs");
            }
            if args.yes && lanes == [None, None] {
                reader.problem("URGENT_QUEUE_URL and BULK_QUEUE_URL are not set: where to ring");
            }
            match OperatorConfig::from_variables(&given) {
                Ok(config) => operator = Some(config),
                Err(error) => error.problems().iter().for_each(|problem| reader.problem(problem.clone())),
            }
        }
        reader.finish(Self { operator, endpoint, queues })
    }

    fn bell(&self, access: &AwsAccess) -> SqsBell {
        SqsBell::new(access, self.endpoint.as_deref(), self.queues.clone())
    }
}

/// The arguments, and behind them the environment.
struct Given(Vec<(&'static str, Option<String>)>);

impl Variables for Given {
    fn value(&self, name: &str) -> Option<String> {
        let given = self.0.iter().find(|(candidate, _)| *candidate == name);
        given.and_then(|(_, value)| value.clone()).or_else(|| ProcessEnvironment.value(name))
    }
}
