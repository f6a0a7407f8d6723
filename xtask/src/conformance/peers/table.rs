//! What was found, as tables for a terminal and for the document.

use std::fmt::Write as _;

use ::conformance::{
    cell::{Step, World},
    peers::{
        Tally,
        post_office::{self, Outcome, Settings, Trial},
    },
};

/// A system, and what came of each kill.
pub(super) struct Examined {
    pub(super) name: String,
    /// Whether it has a column of its own, by step and by world.
    pub(super) is_detailed: bool,
    pub(super) kills: Vec<(Step, World, Tally)>,
}

impl Examined {
    pub(super) fn total(&self) -> Tally {
        sum(self.kills.iter().map(|(_, _, tally)| *tally))
    }

    fn of(&self, is_wanted: impl Fn(Step, World) -> bool) -> Tally {
        sum(self.kills.iter().filter(|(step, world, _)| is_wanted(*step, *world)).map(|(_, _, tally)| *tally))
    }
}

fn sum(tallies: impl Iterator<Item = Tally>) -> Tally {
    tallies.fold(Tally::default(), |mut sum, tally| {
        sum += tally;
        sum
    })
}

/// A line a system.
pub(super) fn summary(systems: &[Examined]) -> String {
    let mut table =
        "| system | kills | emails at stake | lost | sent more than once | most often | in doubt, taken | \
                     in doubt, not taken | said not sent, taken |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
            .to_owned();
    for system in systems {
        let Tally { kills, emails, lost, repeated, most, doubt_taken, doubt_not_taken, denied } =
            system.total();
        let _ = writeln!(
            table,
            "| {} | {kills} | {emails} | {lost} | {repeated} | {most} × | {doubt_taken} | {doubt_not_taken} | {denied} |",
            system.name
        );
    }
    table
}

/// Emails sent more than once, of those at stake, by the step at which the process was killed.
pub(super) fn by_step(systems: &[Examined]) -> String {
    let mut table = head("killed when", systems);
    for step in Step::ALL {
        line(&mut table, step.meaning(), systems, |at, _| at == step);
    }
    table
}

/// The same by what else went wrong.
pub(super) fn by_world(systems: &[Examined]) -> String {
    let mut table = head("world", systems);
    for world in World::ALL {
        if systems.iter().any(|system| system.of(|_, at| at == world) != Tally::default()) {
            line(&mut table, &format!("`{}`", world.name()), systems, |_, at| at == world);
        }
    }
    table
}

fn detailed(systems: &[Examined]) -> impl Iterator<Item = &Examined> {
    systems.iter().filter(|system| system.is_detailed)
}

fn head(what: &str, systems: &[Examined]) -> String {
    let names: Vec<_> = detailed(systems).map(|system| system.name.as_str()).collect();
    format!("| {what} | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()))
}

fn line(table: &mut String, what: &str, systems: &[Examined], is_wanted: impl Fn(Step, World) -> bool) {
    let _ = write!(table, "| {what} |");
    for system in detailed(systems) {
        let _ = write!(table, " {} |", words(system.of(&is_wanted)));
    }
    table.push('\n');
}

/// How many were sent more than once, and whatever else is not as it should be.
fn words(tally: Tally) -> String {
    if tally == Tally::default() {
        return "–".to_owned();
    }
    let mut words = format!("{} of {}", tally.repeated, tally.emails);
    let others = [
        (tally.lost, "lost"),
        (tally.doubt_taken + tally.doubt_not_taken, "in doubt"),
        (tally.denied, "said not sent"),
    ];
    for (count, what) in others {
        if count > 0 {
            let _ = write!(words, ", {count} {what}");
        }
    }
    words
}

/// What a kill of django-post_office costs, by how far it had come; nothing else went wrong.
pub(super) fn by_request(outcomes: &[Outcome]) -> String {
    let mut table = "| killed when | settings |".to_owned();
    for number in post_office::NUMBERS {
        let _ = write!(table, " at request {number} |");
    }
    let _ = writeln!(table, "\n|---|---|{}", "--:|".repeat(post_office::NUMBERS.len()));
    for (settings, name) in [(Settings::Defaults, "defaults"), (Settings::BatchesOfOne, "batches of one")] {
        for step in [Step::SesAsked, Step::SesTook] {
            let _ = write!(table, "| {} | {name} |", step.meaning());
            for number in post_office::NUMBERS {
                let trial = Trial { step: Some(step), world: World::Calm, number, settings };
                let found = outcomes.iter().find(|outcome| outcome.trial == trial);
                let words = found.map_or_else(|| "–".to_owned(), |outcome| words(outcome.tally()));
                let _ = write!(table, " {words} |");
            }
            table.push('\n');
        }
    }
    table
}

/// One answer lost and nobody killed.
pub(super) fn lost_answers(outcomes: &[Outcome]) -> String {
    let mut table =
        "| boto3's retries | answers lost | emails | lost | sent more than once | said failed, taken |\n\
                     |---|--:|--:|--:|--:|--:|\n"
            .to_owned();
    for (settings, name) in [(Settings::Defaults, "on, as they come"), (Settings::NoSdkRetries, "turned off")]
    {
        let is_wanted = |trial: Trial| trial.step.is_none() && trial.settings == settings;
        let some: Vec<_> = outcomes.iter().filter(|outcome| is_wanted(outcome.trial)).collect();
        let Tally { emails, lost, repeated, denied, .. } = sum(some.iter().map(|outcome| outcome.tally()));
        let _ = writeln!(table, "| {name} | {} | {emails} | {lost} | {repeated} | {denied} |", some.len());
    }
    table
}
