//! The claim, and the sweep's look at what is overdue, in a table of millions against one of thousands.
//!
//! A server of its own, with room for the whole index in memory. Its log is written at every commit but not flushed: a
//! flush takes as long whatever the table's size, and would hide the difference that is looked for. For the same reason
//! only the claim is timed, over a connection that is open already.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use outbox::store::{Database as Store, DatabaseConfig, Part, Session, SweepRules, Tls};
use stack::database::{Database, Flavor, Options, Server};
use tokio::task::spawn_blocking;

use super::{
    Failure,
    mysql::{Answer, Connection},
    samples::Samples,
    script::{Template, Values},
    stage::{RAW_USER, create_raw_user},
};

/// Rows of the small table.
pub(super) const FEW: u64 = 10_000;
/// Claims timed on each.
const CLAIMS: usize = 1000;
/// Claims between two turns.
const BLOCK: usize = 50;
/// The rows to claim come last, and have ids of as many digits as the template's.
const FIRST_PENDING_ID: u64 = 50_000_001;

/// Looks of the sweep timed on each.
const LOOKS: usize = 50;
/// By the defaults.
const RULES: SweepRules = SweepRules::DEFAULT;

/// The same with few rows and with many.
#[derive(Debug, Default)]
pub(super) struct Pair {
    pub(super) few: Samples,
    pub(super) many: Samples,
}

/// What was timed.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) claim: Pair,
    pub(super) look: Pair,
}

/// Fills two tables and claims from them in turns.
pub(super) async fn measure(claim: Template, rows: u64) -> Result<Measured, Failure> {
    let options = Options::new(Flavor::MariaDb)
        .arg("--innodb-buffer-pool-size=3G")
        .arg("--innodb-log-file-size=1G")
        .arg("--innodb-flush-log-at-trx-commit=2")
        .arg("--skip-innodb-doublewrite");
    let server = Server::start(options).await?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()));
    let mut claimants = Vec::new();
    let mut sweepers = Vec::new();
    for rows in [FEW, rows] {
        let database = server.create_database().await?;
        create_raw_user(&database).await?;
        fill(&database, rows).await?;
        let config = DatabaseConfig::parse(database.url(), Tls::Off)?;
        sweepers.push(Store::new(config).connect(soon()).await?);
        claimants.push((
            Connection::open(address, RAW_USER, database.name())?,
            claim.clone(),
            Samples::default(),
        ));
    }
    let look = looks(sweepers).await?;
    let claimants = spawn_blocking(move || -> io::Result<_> {
        let last = FIRST_PENDING_ID + u64::try_from(CLAIMS + BLOCK).map_err(io::Error::other)?;
        let mut ids = FIRST_PENDING_ID..last;
        let mut warm = false;
        while !ids.is_empty() {
            let block: Vec<u64> = ids.by_ref().take(BLOCK).collect();
            for (connection, claim, samples) in &mut claimants {
                for id in &block {
                    let packet = claim.fill(&Values::of(*id))?;
                    let began = Instant::now();
                    let answer = connection.query(packet)?;
                    if warm {
                        samples.add(began.elapsed());
                    }
                    if answer != (Answer { matched: Some(1), rows: 1 }) {
                        return Err(io::Error::other(format!("email {id} was not claimed: {answer:?}")));
                    }
                }
            }
            warm = true;
        }
        Ok(claimants)
    })
    .await??;
    let mut samples = claimants.into_iter().map(|(_, _, samples)| samples);
    match (samples.next(), samples.next()) {
        (Some(few), Some(many)) => Ok(Measured { claim: Pair { few, many }, look }),
        _ => Err("a table is missing".into()),
    }
}

/// The sweep's look at what is overdue, on both in turns: nothing is, but the rows that will be claimed are waiting.
async fn looks(mut sweepers: Vec<Session>) -> Result<Pair, Failure> {
    let mut pair = Pair::default();
    for round in 0..=LOOKS {
        for (session, samples) in sweepers.iter_mut().zip([&mut pair.few, &mut pair.many]) {
            let began = Instant::now();
            for part in Part::ALL {
                session.survey(part, &RULES, 1_000, soon()).await?;
            }
            if round > 0 {
                samples.add(began.elapsed());
            }
        }
    }
    for session in sweepers {
        session.close().await;
    }
    Ok(pair)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// Writes `rows` emails that were sent long ago, and as many pending ones as will be claimed.
async fn fill(database: &Database, rows: u64) -> Result<(), Failure> {
    // Numbers from cross joins of ten: the server's engine for sequences is not everywhere.
    let digits = "(SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 \
        UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
    let tables: Vec<_> = (0..8).map(|place| format!("{digits} AS d{place}")).collect();
    let tables = tables.join(", ");
    let columns = "sender, to_addresses, subject, text_body, state, sent_at";
    let row = "'Shop <orders@shop.example>', '[\"ada@customer.example\"]', 'Your receipt', 'Thank you.'";
    // Without these checks an empty table is filled in bulk, its indexes sorted instead of grown.
    let sql = format!(
        "SET unique_checks = 0, foreign_key_checks = 0, check_constraint_checks = 0;
         INSERT INTO email ({columns}) SELECT {row}, 'sent', UTC_TIMESTAMP(6) FROM {tables} LIMIT {rows}"
    );
    database.admin().execute(&sql).await?;
    let pending = CLAIMS + BLOCK;
    let sql = format!(
        "ALTER TABLE email AUTO_INCREMENT = {FIRST_PENDING_ID};
         INSERT INTO email ({columns}) SELECT {row}, 'pending', NULL FROM {tables} LIMIT {pending};
         ANALYZE TABLE email"
    );
    database.admin().rows(&sql).await?;
    Ok(())
}
