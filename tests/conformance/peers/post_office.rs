//! django-post_office, its own `send_queued_mail` as the process that is killed.
//!
//! Emails are queued with its `mail.send`, SES is called by django-ses, and the command is started again as cron starts
//! it, until nothing is queued. Everything has its defaults: one process, five threads, batches of a hundred, no
//! retries of its own (`MAX_RETRIES` is 0), and the retries of boto3. A batch is marked as sent when all of it has been
//! sent; a lock file keeps a second command on the same machine out.
//!
//! It has no queue, so the worlds in which a queue or a doorbell is at fault mean nothing to it, and neither do the
//! steps after its farewell to the database. SES's events tell it what became of a message, not whether to send it.

mod run;
mod site;

use std::{
    collections::VecDeque,
    fmt,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use futures_util::future::try_join_all;

use super::Tally;
use crate::{
    Failure,
    cell::{Step, World},
    story::Story,
    subject::End,
};

/// How many emails are queued.
pub const EMAILS: usize = 20;

/// The requests at which it is killed, where the step is one of SES's.
pub const NUMBERS: [usize; 5] = [1, 5, 10, 15, EMAILS];

/// The worlds that mean something to it.
const WORLDS: [World; 6] = [
    World::Calm,
    World::AnswerLost,
    World::DatabaseGone,
    World::DatabaseRestarted,
    World::TwoWorkers,
    World::Suspended,
];

/// How it is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settings {
    /// As it comes.
    Defaults,
    /// boto3 repeats no request by itself.
    NoSdkRetries,
    /// `BATCH_SIZE` and `THREADS_PER_PROCESS` are 1: each email is marked before the next is sent.
    BatchesOfOne,
}

impl Settings {
    /// Its name in a trial's name, and for the project's settings.
    const fn name(self) -> &'static str {
        match self {
            Self::Defaults => "defaults",
            Self::NoSdkRetries => "no_sdk_retries",
            Self::BatchesOfOne => "batches_of_one",
        }
    }

    /// How many requests it has under way at once.
    const fn threads(self) -> usize {
        match self {
            Self::Defaults | Self::NoSdkRetries => 5,
            Self::BatchesOfOne => 1,
        }
    }
}

/// One run of the command over a full queue, and what befalls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// Where it is killed; `None`: it is not.
    pub step: Option<Step>,
    /// In what world.
    pub world: World,
    /// At which request to SES it is killed, or which request's answer is lost.
    pub number: usize,
    /// How it is configured.
    pub settings: Settings,
}

impl Trial {
    /// A kill at every step, in every world; where the step is one of SES's, at several emails.
    #[must_use]
    pub fn kills() -> Vec<Self> {
        let mut all = Vec::new();
        for world in WORLDS {
            for step in Step::ALL.into_iter().filter(|step| site::flight(*step).is_some() || asks_ses(*step))
            {
                let numbers = if asks_ses(step) { &NUMBERS[..] } else { &NUMBERS[2..3] };
                for number in numbers {
                    all.push(Self { step: Some(step), world, number: *number, settings: Settings::Defaults });
                }
            }
        }
        all
    }

    /// One answer lost and nobody killed, with and without boto3's retries.
    #[must_use]
    pub fn lost_answers() -> Vec<Self> {
        let trial = |settings, number| Self { step: None, world: World::AnswerLost, number, settings };
        [Settings::Defaults, Settings::NoSdkRetries]
            .into_iter()
            .flat_map(|settings| NUMBERS.map(|number| trial(settings, number)))
            .collect()
    }

    /// A kill while it asks SES, when it marks each email before the next.
    #[must_use]
    pub fn batches_of_one() -> Vec<Self> {
        let settings = Settings::BatchesOfOne;
        let trial = |step, number| Self { step: Some(step), world: World::Calm, number, settings };
        NUMBERS
            .into_iter()
            .flat_map(|number| [Step::SesAsked, Step::SesTook].map(|step| trial(step, number)))
            .collect()
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.step.map_or("nobody_killed", Step::name);
        write!(f, "{step}/{}/{}/{}", self.world.name(), self.number, self.settings.name())
    }
}

/// What came of a trial.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Of which.
    pub trial: Trial,
    /// Whether the process was at the step when it was killed or suspended.
    pub reached: bool,
    /// How each email's row ended, and how often SES took it.
    pub emails: Vec<(End, usize)>,
    /// Why the kit itself failed; then there are no emails.
    pub broken: Option<String>,
    /// What happened.
    pub story: Story,
}

impl Outcome {
    /// What came of the emails.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally =
            Tally { kills: usize::from(self.reached && self.trial.step.is_some()), ..Tally::default() };
        for (end, taken) in &self.emails {
            tally.count(*end, *taken);
        }
        tally
    }
}

/// Runs the trials on so many sites beside each other; `told` hears of every one as it ends. Returns the outcomes in
/// the order of the trials, and the database server's version.
///
/// # Errors
///
/// The servers could not be started. A trial that fails is in the outcomes instead.
pub async fn run(
    python: PathBuf,
    trials: Vec<Trial>,
    lanes: usize,
    told: impl Fn(&Outcome),
) -> Result<(Vec<Outcome>, String), Failure> {
    let waiting: Mutex<VecDeque<(usize, Trial)>> = Mutex::new(trials.into_iter().enumerate().collect());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let lanes = (0..lanes.max(1)).map(|_| async {
        let mut site = site::Site::new(python.clone()).await?;
        let mut outcomes = Vec::new();
        while let Some((place, trial)) = next() {
            let outcome = run::examine(&mut site, trial).await;
            told(&outcome);
            outcomes.push((place, outcome));
        }
        Ok::<_, Failure>((outcomes, site.version().await?))
    });
    let (mut all, mut server) = (Vec::new(), String::new());
    for (outcomes, version) in try_join_all(lanes).await? {
        all.extend(outcomes);
        server = version;
    }
    all.sort_by_key(|(place, _)| *place);
    Ok((all.into_iter().map(|(_, outcome)| outcome).collect(), server))
}

/// Whether the process is held by SES there.
const fn asks_ses(step: Step) -> bool {
    matches!(step, Step::SesAsked | Step::SesTook)
}
