//! Steps: run side by side, one line each when it is done, all that a failed one printed, and a table at the end.

use std::error::Error;
use std::fmt;
use std::io::{self, BufRead as _, BufReader, PipeReader, Read as _, Write as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The steps of one run.
pub(crate) struct Steps {
    began: Instant,
    done: Mutex<Vec<Step>>,
}

struct Step {
    name: &'static str,
    /// Since the run began.
    after: Duration,
    took: Duration,
    ending: Ending,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Passed,
    Failed,
    Skipped,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), done: Mutex::new(Vec::new()) }
    }

    /// Runs one step; an error is all there is to know about its failure.
    pub(crate) fn run(&self, name: &'static str, work: impl FnOnce() -> Result<(), String>) {
        let (after, began) = (self.began.elapsed(), Instant::now());
        let result = work();
        let ending = if result.is_ok() { Ending::Passed } else { Ending::Failed };
        self.note(Step { name, after, took: began.elapsed(), ending }, result.err().as_deref());
    }

    /// Runs a command as a step, showing what it prints only when it fails.
    pub(crate) fn command(&self, name: &'static str, command: &mut Command) {
        self.run(name, || succeed(command));
    }

    /// Runs tests as a step, passing on what they print, line by line. Why one failed is said once more at the end, since
    /// hundreds of lines may come after it.
    pub(crate) fn tests(&self, name: &'static str, command: &mut Command) {
        self.run(name, || {
            let (mut child, output) = start(command)?;
            let mut failures = Failures::default();
            for line in BufReader::new(output).split(b'\n') {
                let mut line = line.map_err(|error| error.to_string())?;
                failures.see(&String::from_utf8_lossy(&line));
                line.push(b'\n');
                // Whole lines, so that those of other steps come between them and not into them.
                let _ = io::stdout().lock().write_all(&line);
            }
            let status = child.wait().map_err(|error| error.to_string())?;
            if status.success() { Ok(()) } else { Err(format!("{failures}{status}; see its output above")) }
        });
    }

    /// Notes that a step was left out.
    pub(crate) fn skip(&self, name: &'static str, why: &str) {
        let step = Step { name, after: self.began.elapsed(), took: Duration::ZERO, ending: Ending::Skipped };
        self.note(step, Some(why));
    }

    fn note(&self, step: Step, text: Option<&str>) {
        let mut stdout = io::stdout().lock();
        let _ = writeln!(stdout, "{step}");
        if let Some(text) = text {
            let _ = writeln!(stdout, "{}\n", text.trim_end());
        }
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push(step);
    }

    /// Prints the table of all steps in the order they began; fails if any of them did.
    pub(crate) fn finish(self) -> ExitCode {
        let mut steps = self.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        steps.sort_by_key(|step| step.after);
        println!("\n{:8} {:24} {:>9}", "", "step", "seconds");
        for step in &steps {
            println!("{step}");
        }
        println!("{:8} {:24} {:>9.1}", "", "all", self.began.elapsed().as_secs_f64());
        let failed = steps.iter().any(|step| step.ending == Ending::Failed);
        if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ending = match self.ending {
            Ending::Passed => "passed",
            Ending::Failed => "FAILED",
            Ending::Skipped => "SKIPPED",
        };
        write!(f, "{ending:8} {:24} {:>9.1}", self.name, self.took.as_secs_f64())
    }
}

/// What failed tests said, as the test harness repeats it after the last one: a `---- NAME stdout ----` line and what the
/// test printed, until its backtrace or the list of their names.
#[derive(Default)]
struct Failures {
    lines: Vec<String>,
    /// Lines of the failure that is being read; none is.
    of_this: Option<usize>,
}

impl Failures {
    /// So many lines of each: the first ones say what was wrong.
    const MOST: usize = 40;

    fn see(&mut self, line: &str) {
        if line.starts_with("---- ") && line.ends_with(" ----") {
            self.of_this = Some(0);
        } else if line == "failures:" || line == "stack backtrace:" {
            self.of_this = None;
        }
        let Some(seen) = &mut self.of_this else { return };
        *seen += 1;
        if *seen <= Self::MOST {
            self.lines.push(line.to_owned());
        } else if *seen == Self::MOST + 1 {
            self.lines.push("[…] (the rest is above)".to_owned());
        }
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Runs a command to its end. The error is all that it printed.
pub(crate) fn succeed(command: &mut Command) -> Result<(), String> {
    let (mut child, mut output) = start(command)?;
    let mut text = Vec::new();
    let read = output.read_to_end(&mut text);
    let status = read.and_then(|_| child.wait()).map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("{}\n{status}", String::from_utf8_lossy(&text))) }
}

/// Starts a command without input, with one pipe for all it prints, so that the order of its lines is kept.
fn start(command: &mut Command) -> Result<(Child, PipeReader), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut spawn = || {
        let (output, input) = io::pipe()?;
        command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input);
        let child = command.spawn();
        // The command holds this side's ends of the pipe until they are replaced.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok((child?, output))
    };
    spawn().map_err(|error: io::Error| format!("cannot run {program}: {error}"))
}

/// An error with its causes.
pub(crate) fn reason(error: impl Error + 'static) -> String {
    crate::chain(&error)
}

#[cfg(test)]
mod tests {
    use super::Failures;

    #[test]
    fn a_failures_words_are_kept_and_a_long_story_is_cut() {
        let mut failures = Failures::default();
        let story = "  12. time passes\n".repeat(100);
        let printed = format!(
            "test a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\nthread 'b' panicked\n{story}\
             ---- c stdout ----\nleft: 1\nstack backtrace:\n   0: main\n\nfailures:\n    b\n    c\n\ntest result: FAILED. 1 passed; 2 failed\n"
        );
        printed.lines().for_each(|line| failures.see(line));
        let text = failures.to_string();
        assert!(text.starts_with("---- b stdout ----\nthread 'b' panicked\n  12."), "{text}");
        assert!(
            text.contains("time passes\n[…] (the rest is above)\n---- c stdout ----\nleft: 1\n"),
            "{text}"
        );
        assert_eq!(text.lines().count(), Failures::MOST + 1 + 2, "{text}");
    }
}
