//! The mass scenario: a thousand rows, several workers killed at random, every queue purged in mid-flight.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use stack::{
    proxy::How,
    runtime_api::{Environment, Outcome},
    ses::{EventKind, event},
};

use crate::{
    Failure,
    cell::Policy,
    flight::{self, Flight},
    queue,
    site::{Part, Site},
    subject::End,
};

/// Workers at once.
const WORKERS: usize = 4;

/// Doorbells an invocation.
const BATCH: usize = 10;

/// More rounds than a backlog takes.
const ROUNDS: usize = 40;

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Storm {
    /// How many emails.
    pub emails: usize,
    /// How many workers are killed in mid-flight; with none, those at work when the queue is purged live on as well.
    pub kills: usize,
    /// Their `on_unknown`.
    pub policy: Policy,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct StormFinding {
    /// What was done.
    pub storm: Storm,
    /// Workers that died with an invocation under way.
    pub killed: usize,
    /// Rows not yet sent when the queue was purged.
    pub purged_at: usize,
    /// Rows that say sent.
    pub sent: usize,
    /// Rows that say unknown.
    pub unknown: usize,
    /// Emails that SES took more than once.
    pub twice: usize,
    /// What is wrong, a sentence each.
    pub faults: Vec<String>,
}

/// Raises a storm and waits until it is over.
pub(crate) async fn weather(site: &mut Site<'_>, storm: Storm, seed: u64) -> Result<StormFinding, Failure> {
    site.clean().await?;
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut ids = BTreeMap::new();
    for number in 0..storm.emails {
        let recipient = format!("{number}@storm.example");
        ids.insert(site.insert(&recipient, storm.policy).await?, recipient);
    }
    let all: Vec<u64> = ids.keys().copied().collect();
    site.queue.ring(&all).await?;
    let mut finding =
        StormFinding { storm, killed: 0, purged_at: 0, sent: 0, unknown: 0, twice: 0, faults: Vec::new() };
    // Half of the work is done by workers that are killed now and then.
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(site.worker().await?);
    }
    let mut kills: Vec<usize> = (0..storm.kills).map(|_| dice.usize(1..storm.emails / 2)).collect();
    kills.sort_unstable();
    kills.reverse();
    while site.ses.request_count() < storm.emails / 2 {
        let batches = take_batches(site).await?;
        if batches.is_empty() {
            break;
        }
        let flights = begin(&workers, &batches);
        while kills.last().is_some_and(|at| *at <= site.ses.request_count() + WORKERS * BATCH / 2) {
            let at = kills.pop().unwrap_or_default();
            let victim = dice.usize(..flights.len());
            tokio::select! {
                () = site.ses.arrived(at) => {}
                // Its batch is done, and nobody else may make up the number.
                _ = flights[victim].clone() => {}
            }
            workers[victim].kill().await;
            workers[victim] = site.worker().await?;
        }
        for (flight, batch) in flights.into_iter().zip(&batches) {
            let outcome = flight.await;
            finding.killed += usize::from(matches!(outcome, Outcome::Died(_)));
            settle(site, &outcome, batch).await?;
        }
    }
    finding.purged_at = storm.emails - count(site, End::Sent).await?;
    // In mid-flight: the last batches are being worked on while the queue is purged, and their workers may die.
    let batches = take_batches(site).await?;
    let flights = begin(&workers, &batches);
    site.queue.purge().await?;
    if storm.kills > 0 {
        for worker in &workers {
            worker.kill().await;
        }
    }
    for outcome in join_all(flights).await {
        finding.killed += usize::from(matches!(outcome, Outcome::Died(_)));
    }
    if storm.kills > 0 {
        drop(workers);
        site.proxy.cut_all(How::Reset);
    } else {
        for worker in workers {
            worker.stop().await;
        }
    }
    repair(site, &mut finding).await?;
    judge(site, &ids, &mut finding).await?;
    Ok(finding)
}

/// Gives each worker its batch.
fn begin(workers: &[Environment], batches: &[Vec<queue::Message>]) -> Vec<Flight> {
    let pairs = workers.iter().zip(batches);
    pairs.map(|(worker, batch)| flight::of(worker.begin(&queue::event(batch)))).collect()
}

/// A batch for each worker.
async fn take_batches(site: &Site<'_>) -> Result<Vec<Vec<queue::Message>>, Failure> {
    let mut batches = Vec::new();
    for _ in 0..WORKERS {
        let batch = site.queue.receive(BATCH).await?;
        if !batch.is_empty() {
            batches.push(batch);
        }
    }
    Ok(batches)
}

/// Deletes what was done; the rest comes again at once.
async fn settle(site: &Site<'_>, outcome: &Outcome, batch: &[queue::Message]) -> Result<(), Failure> {
    for message in batch {
        match outcome {
            Outcome::Response(response) if !message.failed(response) => site.queue.delete(message).await?,
            _ => site.queue.give_back(message).await?,
        }
    }
    Ok(())
}

/// Events, time and sweeps, until nothing is left to do.
async fn repair(site: &mut Site<'_>, finding: &mut StormFinding) -> Result<(), Failure> {
    let mut told = BTreeSet::new();
    for _ in 0..ROUNDS {
        tell(site, &mut told).await?;
        site.clock.pass(Duration::from_mins(16)).await?;
        let swept = site.run_sweep().await?;
        if !matches!(swept, None | Some(Outcome::Response(_))) {
            finding.faults.push(format!("the sweep failed: {swept:?}"));
        }
        let mut workers: Vec<Environment> = Vec::new();
        loop {
            let batches = take_batches(site).await?;
            if batches.is_empty() {
                break;
            }
            while workers.len() < batches.len() {
                workers.push(site.worker().await?);
            }
            let flights = begin(&workers, &batches);
            for (flight, batch) in flights.into_iter().zip(&batches) {
                settle(site, &flight.await, batch).await?;
            }
        }
        for worker in workers {
            worker.stop().await;
        }
        let waiting = count(site, End::Waiting).await? + count(site, End::Busy).await?;
        let unknown = count(site, End::Unknown).await?;
        if waiting == 0
            && told.len() == site.ses.taken().len()
            && (unknown == 0 || finding.storm.policy == Policy::Hold)
        {
            return Ok(());
        }
    }
    finding.faults.push(format!("it never came to rest in {ROUNDS} rounds"));
    Ok(())
}

/// Delivers the Send event of every message that was taken and not told of, through the queue's form, ten at a time.
async fn tell(site: &mut Site<'_>, told: &mut BTreeSet<usize>) -> Result<(), Failure> {
    let mut taken = site.ses.taken();
    taken.retain(|record| !told.contains(&record.at_order));
    for ten in taken.chunks(10) {
        let records: Vec<Value> = ten
            .iter()
            .map(|record| {
                json!({
                    "messageId": format!("event-{}", record.at_order), "receiptHandle": "handle",
                    "body": event(record, EventKind::Send).to_string(), "attributes": {}, "messageAttributes": {},
                    "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-1:000000000000:feedback",
                    "awsRegion": "eu-west-1",
                })
            })
            .collect();
        let Some(feedback) = site.part(Part::Feedback).await? else { break };
        let done = feedback.invoke(&json!({ "Records": records })).await.outcome;
        let failed = match &done {
            Outcome::Response(response) => response["batchItemFailures"].as_array().map_or(0, Vec::len),
            _ => ten.len(),
        };
        if failed > 0 {
            return Err(format!("{failed} events were not taken: {done:?}\n{}", feedback.log_text()).into());
        }
    }
    told.extend(taken.iter().map(|record| record.at_order));
    Ok(())
}

async fn count(site: &Site<'_>, end: End) -> Result<usize, Failure> {
    Ok(site.ends().await?.values().filter(|found| **found == end).count())
}

async fn judge(
    site: &mut Site<'_>,
    ids: &BTreeMap<u64, String>,
    finding: &mut StormFinding,
) -> Result<(), Failure> {
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for address in site.ses.taken().iter().flat_map(|record| record.message.addresses()) {
        *taken.entry(address).or_default() += 1;
    }
    let ends = site.ends().await?;
    for (id, recipient) in ids {
        let end = ends.get(id).copied().unwrap_or(End::Gone);
        let times = taken.get(recipient).copied().unwrap_or(0);
        finding.sent += usize::from(end == End::Sent);
        finding.unknown += usize::from(end == End::Unknown);
        finding.twice += usize::from(times > 1);
        let right = match end {
            End::Sent => times == 1,
            // A worker died between its claim and SES, and its owner said that nobody may decide.
            End::Unknown => times == 0 && finding.storm.policy == Policy::Hold && finding.storm.kills > 0,
            _ => false,
        };
        if !right {
            finding.faults.push(format!("email {id} was taken {times} time(s), and its row is {end}"));
        }
    }
    let open = site.connections_left().await?;
    if open > 0 {
        finding.faults.push(format!("{open} connection(s) were left open"));
    }
    if (finding.killed == 0) != (finding.storm.kills == 0) {
        finding.faults.push(format!("{} workers were killed with an invocation under way", finding.killed));
    }
    if finding.purged_at == 0 {
        finding.faults.push("nothing was left when the queue was purged".to_owned());
    }
    Ok(())
}
