//! `cargo xtask verify`: what is looked at before a release, and takes too long, or needs too much, for every change.
//!
//! Two checkers read the templates for what they leave open to the world. What they are told to leave alone stands in
//! `infra/checks`, or beside the resource it is about, with the reason. And the functions are built for both of Lambda's
//! architectures, as a release is.

mod binaries;

use std::fs;
use std::process::ExitCode;

use stack::install;
use tokio::runtime::Handle;

use crate::Outcome;
use crate::step::{self, Steps, reason};

/// Check what a change rarely breaks: what the templates leave open, the functions for both architectures
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only read the templates, which takes seconds; release builds take minutes
    #[arg(long)]
    templates: bool,
}

pub(crate) async fn run(args: Args) -> Outcome {
    let runtime = Handle::current();
    Ok(tokio::task::spawn_blocking(move || everything(args.templates, &runtime)).await?)
}

fn everything(templates_only: bool, runtime: &Handle) -> ExitCode {
    let steps = Steps::new();
    std::thread::scope(|scope| {
        scope.spawn(|| openness(&steps));
        scope.spawn(|| policies(&steps));
        if !templates_only {
            scope.spawn(|| functions(&steps, runtime));
        }
    });
    steps.finish()
}

/// One after the other: each build takes all there is of the machine.
fn functions(steps: &Steps, runtime: &Handle) {
    steps.run("functions: x86_64", || binaries::build(binaries::X86_64));
    steps.run("functions: arm64", || binaries::build(binaries::ARM64));
    if cfg!(target_arch = "aarch64") {
        steps.skip("functions: arm64, run", "on this machine every test runs them");
    } else {
        steps.run("functions: arm64, run", || runtime.block_on(binaries::run_arm64()));
    }
}

fn openness(steps: &Steps) {
    steps.run("templates: checkov", || {
        let tool = install::checkov().map_err(reason)?;
        let mut check = install::in_workspace(tool.checkov);
        check.args(["--config-file", "infra/checks/checkov.yaml", "--quiet", "--compact"]);
        // It would fetch its makers' advice on what it finds.
        check.arg("--skip-download");
        for template in templates()? {
            check.args(["--file", &template]);
        }
        step::succeed(&mut check)
    });
}

fn policies(steps: &Steps) {
    steps.run("templates: cfripper", || {
        let tool = install::cfripper().map_err(reason)?;
        let mut check = install::in_workspace(tool.python);
        // Nothing is left in the source tree.
        check.args(["-B", "infra/checks/with_cfripper.py"]).args(templates()?);
        step::succeed(&mut check)
    });
}

/// Every template, from the root of the workspace: the application and the stacks it nests.
pub(crate) fn templates() -> Result<Vec<String>, String> {
    let folder = install::workspace().join("infra");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut templates: Vec<String> =
        names.filter(|name| name.ends_with(".yaml")).map(|name| format!("infra/{name}")).collect();
    templates.sort_unstable();
    templates.insert(0, "template.yaml".to_owned());
    Ok(templates)
}
