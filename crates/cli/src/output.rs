//! What is printed, and where: one document or one text on the standard output, errors on the standard error.

mod table;
mod words;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::error::ErrorKind;
use serde_json::{Value, json};

pub(crate) use self::{
    table::Table,
    words::{clipped, emails, harmless, mailboxes, plain, thousands},
};
use crate::failure::{Exit, Failure};

/// What a command has to say.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) text: String,
    pub(crate) json: Value,
    pub(crate) exit: Exit,
    /// What went wrong half-way.
    pub(crate) failure: Option<Failure>,
}

impl Report {
    pub(crate) fn done(text: String, json: Value) -> Self {
        Self { text, json, exit: Exit::Done, failure: None }
    }
}

/// Says what is wrong with the command line, as clap words it, or the help that was asked for.
pub(crate) fn not_understood(error: &clap::Error, as_json: bool) -> ExitCode {
    let asked_for_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if !as_json || asked_for_help {
        let _ = error.print();
        return ExitCode::from(if asked_for_help { Exit::Done } else { Exit::Usage } as u8);
    }
    let text = error.to_string();
    let first: Vec<_> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let sentence = first.join(" ");
    print(Err(Failure::usage(sentence.trim_start_matches("error: "), "see sendonce --help")), as_json)
}

/// Prints, and says how the process ends.
pub(crate) fn print(done: Result<Report, Failure>, as_json: bool) -> ExitCode {
    let (text, mut document, exit, failure) = match done {
        Ok(report) => {
            let exit = report.failure.as_ref().map_or(report.exit, |failure| failure.exit);
            (report.text, report.json, exit, report.failure)
        }
        Err(failure) => (String::new(), json!({}), failure.exit, Some(failure)),
    };
    if let (Some(failure), Some(document)) = (&failure, document.as_object_mut()) {
        document.insert("error".to_owned(), failure.json());
    }
    let text = if as_json { harmless(&format!("{document:#}\n")) } else { text };
    // A reader that went away, such as `head`, has what it wants.
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
    if let Some(failure) = &failure {
        let _ = io::stderr().write_all(failure.text().as_bytes());
    }
    ExitCode::from(exit as u8)
}
