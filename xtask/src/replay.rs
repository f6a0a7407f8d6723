//! `cargo xtask replay`: events out of files, to a function on this machine or to a deployed one, and what it made of them.
//!
//! Here, the function is the real binary under a Lambda Runtime API, with a database of its own, a strict SES and real
//! queues. The table holds the emails that the event speaks of, and nothing else, before each file anew. There, it is
//! Lambda's Invoke API: what is rung for there is sent.

mod deployed;
mod event;
mod local;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;
use stack::install::workspace;
use stack::supervisor::Supervisor;

use self::event::function_of;
use crate::Outcome;

type Failure = Box<dyn Error + Send + Sync>;

/// Send event files to a function and show what it made of them
///
/// `events/` has a file for every case, and `events/README.md` says which. Exit code 1 when a function failed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The events, each a JSON file
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A function of `functions/` (otherwise what the file's name begins with decides, or what is in it); with
    /// --deployed the name of a deployed one; an ARN is a deployed one in any case
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// Invoke a function that is deployed: the emails that the event rings for are sent
    #[arg(long, requires = "function")]
    deployed: bool,
    /// Where it is deployed, instead of `AWS_REGION`
    #[arg(long)]
    region: Option<String>,
    /// Show what the function logged, too
    #[arg(long)]
    log: bool,
}

/// An event to replay.
struct Replayed {
    /// As it was typed.
    file: PathBuf,
    event: Value,
    function: String,
}

/// Replays.
///
/// # Errors
///
/// A file or a function is not there, or something could not be built, started or asked. A function that failed is no
/// error but the exit code 1.
pub(crate) async fn run(args: Args) -> Outcome {
    let is_arn = args.function.as_deref().is_some_and(|name| name.starts_with("arn:"));
    let outcome = if args.deployed || is_arn {
        let events = read(&args, None)?;
        deployed::replay(&events, args.region, args.log).await
    } else {
        let events = read(&args, Some(&functions()?))?;
        Box::pin(local::replay(&events, args.log)).await
    };
    if let Ok(supervisor) = Supervisor::of_this_process() {
        supervisor.finish();
    }
    Ok(if outcome? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads every file, and tells every problem at once.
fn read(args: &Args, functions: Option<&[String]>) -> Result<Vec<Replayed>, Failure> {
    if let (Some(name), Some(functions)) = (&args.function, functions)
        && !functions.contains(name)
    {
        let functions = functions.join(", ");
        return Err(format!(
            "there is no function {name} in functions/ (there are {functions}); for a deployed one say --deployed"
        )
        .into());
    }
    let (mut events, mut problems) = (Vec::new(), Vec::new());
    for file in &args.files {
        match read_one(file, args.function.as_deref()) {
            Ok(event) => events.push(event),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(events) } else { Err(problems.join("\n       ").into()) }
}

fn read_one(file: &Path, function: Option<&str>) -> Result<Replayed, String> {
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|error| format!("{name} cannot be read: {error}"))?;
    let event: Value = serde_json::from_str(&text).map_err(|error| format!("{name} is not JSON: {error}"))?;
    let guessed = || {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let guess = function_of(&stem, &event).map(str::to_owned);
        guess.ok_or_else(|| format!("{name} does not tell which function it is for: say --function"))
    };
    let function = function.map_or_else(guessed, |name| Ok(name.to_owned()))?;
    Ok(Replayed { file: file.into(), event, function })
}

/// The functions of the workspace, which are its folders.
fn functions() -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for entry in fs::read_dir(workspace().join("functions"))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// An answer, as short as it may be and still be looked at.
fn answer(value: &Value) -> String {
    const SHORT: usize = 100;
    let short = value.to_string();
    if short.chars().count() <= SHORT {
        return short;
    }
    serde_json::to_string_pretty(value).unwrap_or(short).replace('\n', "\n            ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(files: &[&str], function: Option<&str>) -> Args {
        Args {
            files: files.iter().map(|file| workspace().join(file)).collect(),
            function: function.map(str::to_owned),
            deployed: false,
            region: None,
            log: false,
        }
    }

    fn problem(files: &[&str], function: Option<&str>) -> String {
        let functions = functions().unwrap();
        read(&args(files, function), Some(&functions))
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let problem = problem(&["events/no_such.json", "events/README.md", "events/expected.json"], None);
        for part in [
            "no_such.json cannot be read",
            "README.md is not JSON",
            "expected.json does not tell which function",
        ] {
            assert!(problem.contains(part), "{problem}");
        }
    }

    #[test]
    fn a_function_that_there_is_not_is_named_with_those_that_there_are() {
        let problem = problem(&["events/sqs_body_bare_id.json"], Some("dispatch"));
        assert!(problem.contains("no function dispatch ") && problem.contains("dispatch-sqs"), "{problem}");
    }

    #[test]
    fn every_event_of_the_repository_finds_its_function() {
        let functions = functions().unwrap();
        for entry in fs::read_dir(workspace().join("events")).unwrap() {
            let file = entry.unwrap().path();
            if file.extension().is_some_and(|extension| extension == "json")
                && !file.ends_with("expected.json")
            {
                let found = read_one(&file, None).unwrap();
                assert!(functions.contains(&found.function), "{}: {}", file.display(), found.function);
            }
        }
    }

    #[test]
    fn a_long_answer_is_broken_into_lines() {
        assert_eq!(answer(&serde_json::json!({"batchItemFailures": []})), r#"{"batchItemFailures":[]}"#);
        let long =
            serde_json::json!({"batchItemFailures": vec![serde_json::json!({"itemIdentifier": "x"}); 9]});
        assert!(answer(&long).contains('\n'));
    }
}
