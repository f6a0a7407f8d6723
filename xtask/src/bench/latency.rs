//! The latency of an email, and of the same without the function, in turns.
//!
//! A block of emails each, over and over, so that whatever else the machine does meanwhile slows all of them.

use std::{fs, path::Path, time::Duration};

use tokio::task::spawn_blocking;

use super::{
    Failure,
    raw::{Raw, STEPS},
    samples::Samples,
    script::Script,
    stage::{Function, Stage},
};

/// Emails between two turns.
const BLOCK: usize = 50;

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    /// The function in plaintext and with TLS to the database; then the build to compare with, if there is one.
    pub(super) builds: Vec<[Build; 2]>,
    /// The yardstick, in plaintext.
    pub(super) raw: Samples,
    /// Its steps.
    pub(super) steps: [Samples; STEPS.len()],
    /// CPU time of the yardstick for 1,000 emails, in seconds.
    pub(super) raw_cpu_s: f64,
    /// An invocation that neither connects nor sends.
    pub(super) idle: Samples,
}

/// One build of the function, with or without TLS.
#[derive(Debug)]
pub(super) struct Build {
    /// Event in, response out.
    pub(super) latency: Samples,
    /// CPU time for 1,000 emails, in seconds.
    pub(super) cpu_s: f64,
    /// Resident memory afterwards, in KiB.
    pub(super) resident_kib: u64,
}

/// A process and what it took.
struct Runner {
    function: Function,
    latency: Samples,
    cpu_before: Duration,
}

impl Runner {
    fn begin(&mut self) -> Result<(), Failure> {
        self.latency = Samples::default();
        self.cpu_before = self.function.environment.cpu_time()?;
        Ok(())
    }

    async fn finish(self) -> Result<Build, Failure> {
        let environment = &self.function.environment;
        let emails = u32::try_from(self.latency.count())?;
        let used = environment.cpu_time()?.saturating_sub(self.cpu_before);
        let build = Build {
            cpu_s: used.as_secs_f64() * 1000.0 / f64::from(emails),
            resident_kib: environment.rss_kib()?,
            latency: self.latency,
        };
        self.function.stop().await;
        Ok(build)
    }
}

/// Measures `emails` of each kind.
pub(super) async fn measure(
    stage: &Stage,
    against: Option<&Path>,
    script: Script,
    emails: usize,
) -> Result<Measured, Failure> {
    let mut runners = Vec::new();
    for binary in [Some(stage.binary()), against].into_iter().flatten() {
        for variables in [vec![("DATABASE_TLS", "off".to_owned())], stage.verified().to_vec()] {
            let function = Function::start_of(stage, binary, variables).await?;
            runners.push(Runner { function, latency: Samples::default(), cpu_before: Duration::ZERO });
        }
    }
    let idler = Function::start(stage, [("DATABASE_TLS", "off".to_owned())]).await?;
    let mut yardstick = Raw::new(stage, script)?;
    let (mut raw, mut steps, mut idle) =
        (Samples::default(), STEPS.map(|_| Samples::default()), Samples::default());
    let mut raw_cpu = Duration::ZERO;
    for wanted in [emails.div_ceil(10).max(BLOCK), emails] {
        // What the first round, the warm-up, measured is forgotten.
        (raw, steps, idle) = (Samples::default(), STEPS.map(|_| Samples::default()), Samples::default());
        raw_cpu = Duration::ZERO;
        for runner in &mut runners {
            runner.begin()?;
        }
        while raw.count() < wanted {
            let block = BLOCK.min(wanted - raw.count());
            let ids = stage.write_emails(block * (runners.len() + 1)).await?;
            let (for_raw, ids) = ids.split_at(block);
            for (runner, ids) in runners.iter_mut().zip(ids.chunks(block)) {
                for id in ids {
                    runner.latency.add(runner.function.send(*id).await?);
                }
            }
            let for_raw = for_raw.to_vec();
            let (back, cpu, samples) = spawn_blocking(move || {
                let before = thread_cpu();
                let samples = for_raw.into_iter().map(|id| yardstick.send(id)).collect::<Result<Vec<_>, _>>();
                (yardstick, thread_cpu().saturating_sub(before), samples)
            })
            .await?;
            yardstick = back;
            raw_cpu += cpu;
            for taken in samples? {
                raw.add(taken.iter().sum());
                steps.iter_mut().zip(taken).for_each(|(samples, step)| samples.add(step));
            }
            for _ in 0..block {
                idle.add(idler.idle().await?);
            }
            // It remembers every request whole; thousands of them would be a benchmark of its memory.
            stage.ses.forget();
        }
    }
    idler.stop().await;
    let mut builds = Vec::new();
    let mut runners = runners.into_iter();
    while let (Some(plaintext), Some(tls)) = (runners.next(), runners.next()) {
        builds.push([plaintext.finish().await?, tls.finish().await?]);
    }
    let raw_cpu_s = raw_cpu.as_secs_f64() * 1000.0 / f64::from(u32::try_from(raw.count())?);
    Ok(Measured { builds, raw, steps, raw_cpu_s, idle })
}

/// CPU time of this thread so far. Zero where the kernel does not say.
fn thread_cpu() -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(told.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}
