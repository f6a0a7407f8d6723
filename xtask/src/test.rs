//! `cargo xtask test`: everything that the integration server checks, and nothing else.
//!
//! Four lanes run beside each other. The first holds all that compiles, one step after another, because one cargo at a
//! time may use the build directory; their order lets each use what the one before it left there. The other lanes fetch
//! tools and check what needs no compiler. Every step runs, whatever became of the others.

use std::path::PathBuf;
use std::process::ExitCode;

use stack::install;

use crate::Outcome;
use crate::executables::executables;
use crate::step::{self, Steps, reason};
use crate::verify::templates;

/// Which server the integration tests use; `tests/it/world.rs` reads it.
const SERVER: &str = "SENDONCE_TEST_SERVER";

/// Check everything: format, lints, documentation, dependencies, tests, template
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Instead, run the integration tests on Oracle's MySQL 9 (left out where it cannot be had)
    #[arg(long)]
    mysql: bool,
    /// Use the MySQL server of this folder, laid out as a system's root with all its libraries (a container image's files)
    #[arg(long, value_name = "FOLDER", requires = "mysql")]
    mysql_root: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> Outcome {
    let check = move || if args.mysql { mysql(args.mysql_root) } else { everything() };
    Ok(tokio::task::spawn_blocking(check).await?)
}

fn everything() -> ExitCode {
    let steps = Steps::new();
    std::thread::scope(|scope| {
        scope.spawn(|| code(&steps));
        scope.spawn(|| servers(&steps));
        scope.spawn(|| dependencies(&steps));
        scope.spawn(|| template(&steps));
    });
    steps.finish()
}

fn code(steps: &Steps) {
    steps.command("format", install::cargo().args(["fmt", "--all", "--check", "--", "--color=never"]));
    // The whole workspace every time: a part of it would be resolved to other features, and so built again.
    let workspace = |command: &str| {
        let mut cargo = install::cargo();
        cargo.args([command, "--workspace"]);
        cargo
    };
    steps.command("lints", workspace("clippy").args(["--all-targets", "--", "--deny", "warnings"]));
    // After the lints, which left the metadata of every dependency behind.
    steps.command("documentation", workspace("doc").arg("--no-deps").env("RUSTDOCFLAGS", "--deny warnings"));
    build(steps);
    std::thread::scope(|scope| {
        // It waits for most of its time, and what it needs is built.
        scope.spawn(|| deploy(steps));
        steps.tests("tests", workspace("test").arg("--no-fail-fast").env(SERVER, "mariadb"));
    });
}

/// The template through the SAM command line into ministack, and away again.
fn deploy(steps: &Steps) {
    steps.run("deploy-local --short", || {
        // Not this very file, which the build may have replaced.
        let built = executables(["xtask"]).map_err(|error| error.to_string())?;
        let xtask = built.get("xtask").ok_or("cargo built no xtask")?;
        step::succeed(install::in_workspace(xtask).args(["deploy-local", "--short"]))
    });
}

/// Builds the tests, and the functions' binaries that they start.
fn build(steps: &Steps) {
    steps.command("build", install::cargo().args(["build", "--workspace", "--all-targets"]));
}

/// Fetches what the tests start, which would otherwise be waited for in their midst.
fn servers(steps: &Steps) {
    steps.run("servers for the tests", || {
        install::mariadb().map_err(reason)?;
        install::rabbitmq().map_err(reason)?;
        install::ministack().map_err(reason)?;
        install::inbox().map_err(reason)?;
        Ok(())
    });
}

fn dependencies(steps: &Steps) {
    steps.run("licences, bans, sources", || {
        let tool = install::cargo_deny().map_err(reason)?;
        // cargo-deny looks at the manifests of all platforms, so at more than the compiler needs.
        step::succeed(install::cargo().args(["fetch", "--quiet"]))?;
        let mut check = install::in_workspace(tool.cargo_deny);
        step::succeed(check.args(["--offline", "check", "licenses", "bans", "sources"]))
    });
}

fn template(steps: &Steps) {
    steps.run("template: cfn-lint", || {
        let tool = install::cfn_lint().map_err(reason)?;
        step::succeed(install::in_workspace(tool.cfn_lint).args(templates()?))
    });
    steps.run("template: sam validate", || {
        let tool = install::sam().map_err(reason)?;
        // A region is asked for, though nothing is: the check is a local one.
        let mut validate = install::in_workspace(tool.sam);
        validate.args(["validate", "--lint", "--region", "eu-west-1", "--template", "template.yaml"]);
        step::succeed(validate.env("SAM_CLI_TELEMETRY", "0"))
    });
}

fn mysql(root: Option<PathBuf>) -> ExitCode {
    let steps = Steps::new();
    let Some(root) = root else {
        match install::mysql() {
            Ok(_) => on_mysql(&steps, None),
            Err(error) => {
                steps.skip("tests on MySQL", &format!("no MySQL server can be had: {}", reason(error)));
            }
        }
        return steps.finish();
    };
    // Whoever names a server wants no other, and no test left out.
    let found = std::path::absolute(&root).map_err(reason);
    match found.and_then(|root| install::mysql_below(&root).map_err(reason).map(|_| root)) {
        Ok(root) => on_mysql(&steps, Some(root)),
        Err(error) => steps.run("tests on MySQL", || Err(format!("--mysql-root: {error}"))),
    }
    steps.finish()
}

fn on_mysql(steps: &Steps, root: Option<PathBuf>) {
    build(steps);
    let mut tests = install::cargo();
    tests.args(["test", "--workspace", "--test", "it", "--no-fail-fast", "--", "--skip", "architecture"]);
    tests.env(SERVER, "mysql");
    if let Some(root) = root {
        tests.env(install::MYSQL_ROOT, root);
    }
    steps.tests("tests on MySQL", &mut tests);
}
