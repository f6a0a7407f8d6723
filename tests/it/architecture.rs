//! Who may know whom, asserted from the sources and from the trees of dependencies.
//!
//! In `outbox`, pure modules know no input or output, one adapter owns each library, and use cases know the store and
//! the ports; `doorbell` reaches no database; functions are thin and know nothing of each other; one file builds SQL.

mod source;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;
use stack::install::workspace;

use self::source::Module;

/// Whatever touches the world outside of the process, or the clock.
const WORLD: [&str; 14] = [
    "tokio",
    "sqlx",
    "aws_",
    "hyper",
    "lambda_runtime",
    "std::net",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::os",
    "std::io",
    "std::time::Instant",
    "std::time::SystemTime::now",
];

/// The libraries of adapters to AWS.
const AWS: [&str; 2] = ["aws_", "hyper"];

/// The packages from which no database can be reached.
const WITHOUT_DATABASE: [&str; 3] = ["doorbell", "relay-rabbitmq", "bridge"];

#[test]
fn pure_modules_know_no_input_or_output() {
    let outbox = crate_of("crates/outbox");
    for module in ["email", "state", "retry", "mailer", "measure", "budget"] {
        outbox.inside(module).never_names(&WORLD);
        outbox.inside(module).never_names(&[
            "crate::store",
            "crate::ses",
            "crate::dispatch",
            "crate::config",
        ]);
    }
    for module in ["feedback::envelope", "feedback::event", "feedback::detail"] {
        outbox.inside(module).never_names(&WORLD);
        outbox.inside(module).never_names(&["crate::store", "crate::line", "crate::config"]);
    }
}

#[test]
fn one_adapter_owns_each_library() {
    let outbox = crate_of("crates/outbox");
    outbox.outside("store").never_names(&["sqlx"]);
    outbox.outside("ses").never_names(&["aws_sdk_sesv2"]);
    outbox.outside("meter").never_names(&["metrics"]);
    outbox.inside("meter").never_names(&["crate::store", "crate::dispatch", "crate::line", "aws_"]);
    outbox.inside("store").never_names(&["crate::ses", "crate::dispatch", "aws_"]);
    outbox.inside("ses").never_names(&["crate::store", "crate::dispatch"]);
    outbox.outside("credentials").never_names(&["aws_sigv4", "aws_smithy_http_client"]);
    outbox.never_names(&["aws_sdk_secretsmanager"]);
    outbox.inside("credentials").never_names(&["crate::ses", "crate::dispatch", "crate::config", "sqlx"]);
    // The store asks whoever it is told to ask.
    outbox.inside("store").never_names(&["crate::credentials"]);
    crate_of("crates/doorbell").outside("ring").never_names(&["aws_sdk_sqs"]);
    for function in functions() {
        let function = crate_of(&format!("functions/{function}"));
        function.never_names(&["sqlx", "aws_sdk_sesv2", "aws_sdk_sqs"]);
        function.never_names(&["aws_sigv4", "aws_smithy", "outbox::credentials"]);
    }
}

#[test]
fn use_cases_know_the_store_and_the_ports() {
    for case in ["dispatch", "sweep", "feedback", "redrive"] {
        let case = crate_of("crates/outbox").inside(case);
        case.never_names(&["crate::ses", "crate::credentials", "sqlx", "doorbell::ring::SqsBell"]);
        case.never_names(&AWS);
    }
}

#[test]
fn feedback_sends_nothing_and_rings_nobody() {
    let outbox = crate_of("crates/outbox");
    outbox.inside("feedback").never_names(&["doorbell", "crate::dispatch", "crate::sweep"]);
    outbox.inside("store").never_names(&["crate::feedback"]);
}

/// What operators type goes through the use case and the store like everything else.
#[test]
fn the_command_line_knows_no_adapter() {
    let operator = crate_of("crates/outbox").inside("operator");
    operator.never_names(&["crate::ses", "crate::dispatch", "crate::config", "doorbell", "sqlx"]);
    operator.never_names(&AWS);
    let command_line = Modules(source::modules(&workspace().join("crates/cli/src/main.rs")));
    command_line.never_names(&["sqlx", "doorbell", "outbox::ses", "outbox::dispatch", "std::net"]);
    command_line.never_names(&AWS);
    // The words of the command line are its own; variables are not.
    command_line.outside("arguments").never_names(&["std::env"]);
    command_line.never_names(&["std::env::var", "std::env::var_os", "std::env::vars", "std::env::vars_os"]);
    // `main` reads it through `outbox::config`, and nothing else reads it.
    command_line.outside("").never_names(&["outbox::config::ProcessEnvironment"]);
}

#[test]
fn one_file_builds_sql() {
    let store = crate_of("crates/outbox").inside("store");
    let besides = store.outside("store::literal");
    // `Sql` alone makes this promise to sqlx, which takes nothing else but text that was there when it was compiled.
    besides.never_names(&["sqlx::AssertSqlSafe", "AssertSqlSafe", "sqlx::SqlSafeStr", "sqlx::SqlStr"]);
    store.never_names(&["sqlx::query", "sqlx::query_as", "sqlx::query_scalar", "sqlx::QueryBuilder"]);
    besides.outside("store::relay").never_names(&["format!", "write!", "std::fmt::Write"]);
    // A leaked text would pass for program text.
    store.never_mentions("leak");
}

#[test]
fn no_database_behind_the_doorbell() {
    let packages = packages();
    for name in WITHOUT_DATABASE {
        assert!(packages.iter().any(|package| package["name"] == name), "{name} is gone");
        let tree = cargo(&["tree", "--package", name, "--edges", "normal", "--prefix", "none"]);
        let tree = String::from_utf8(tree.stdout).expect("UTF-8");
        assert!(tree.starts_with(name), "{tree}");
        for line in tree.lines() {
            let dependency = line.split(' ').next().unwrap_or_default();
            assert!(
                !dependency.starts_with("sqlx") && dependency != "outbox",
                "{name} depends on {dependency}"
            );
        }
    }
}

/// What reads an event of RabbitMQ does nothing else, and what puts aside and hands on knows no queue service.
#[test]
fn the_event_of_a_broker_is_read_without_input_or_output() {
    let doorbell = crate_of("crates/doorbell");
    for module in ["rabbitmq::event", "rabbitmq::loose", "rabbitmq::delivery"] {
        doorbell.inside(module).never_names(&WORLD);
        doorbell.inside(module).never_names(&["crate::ring", "crate::config", "crate::aws"]);
    }
    doorbell.inside("rabbitmq").never_names(&AWS);
    doorbell.inside("trace").never_names(&WORLD);
    doorbell.inside("rabbitmq").never_names(&["crate::ring", "crate::config"]);
}

/// What a message becomes, and with whom it travels, is decided without the broker; each library has its adapter.
#[test]
fn the_bridge_decides_apart_from_what_it_speaks_to() {
    let bridge = crate_of("crates/bridge");
    for module in ["batch", "event", "letter"] {
        // `lapin`'s types are the words of a message; its connections are not.
        let pure = bridge.inside(module);
        pure.never_names(&[
            "tokio",
            "aws_",
            "hyper",
            "std::net",
            "std::fs",
            "std::env",
            "std::time",
            "crate::broker",
        ]);
        pure.never_names(&["lapin::Channel", "lapin::Connection", "lapin::Consumer"]);
    }
    bridge.outside("function").never_names(&["aws_config", "aws_sdk_lambda"]);
    bridge.outside("broker").never_names(&["lapin::Connection", "lapin::tcp", "async_rs"]);
    bridge.inside("broker").never_names(&["aws_", "hyper", "crate::function"]);
    bridge.inside("function").never_names(&["lapin", "hyper", "crate::broker", "crate::queue"]);
    bridge.outside("health").never_names(&["hyper"]);
    bridge.never_names(&["std::env"]);
    bridge.outside("").never_names(&["doorbell::config::ProcessEnvironment"]);
}

#[test]
fn one_module_reads_the_environment() {
    crate_of("crates/doorbell")
        .outside("config")
        .never_names(&["std::env", "crate::config::ProcessEnvironment"]);
    crate_of("crates/outbox").outside("config").never_names(&["std::env", "doorbell::config"]);
    crate_of("crates/outbox").never_names(&["std::env"]);
}

#[test]
fn functions_are_thin_and_know_nothing_of_each_other() {
    let (packages, functions) = (packages(), functions());
    assert!(!functions.is_empty());
    for function in &functions {
        let folder = workspace().join("functions").join(function);
        let mut sources = files(&folder.join("src"));
        sources.sort();
        let named: Vec<_> = sources.iter().map(|path| path.file_name().expect("a name")).collect();
        assert_eq!(named, ["lib.rs", "main.rs"], "functions/{function}/src");
        assert!(lines(&sources[1]) <= 40, "functions/{function}/src/main.rs is wiring, in 40 lines at most");

        let manifest = folder.join("Cargo.toml");
        let package = packages
            .iter()
            .find(|package| package["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest))
            .expect("it is a member of the workspace");
        assert_eq!(package["name"], **function, "the package is named as its folder");
        let binaries: Vec<_> = list(&package["targets"])
            .iter()
            .filter(|target| list(&target["kind"]).iter().any(|kind| kind == "bin"))
            .map(|target| target["name"].as_str().expect("a name"))
            .collect();
        assert_eq!(binaries, [function], "the binary is named as its folder");
        for dependency in list(&package["dependencies"]) {
            let other = functions.iter().find(|other| dependency["name"] == ***other);
            assert_eq!(other, None, "{function} depends on another function");
        }
    }
}

#[test]
fn no_file_is_long() {
    let mut long = Vec::new();
    for folder in ["crates", "functions", "xtask", "tests"] {
        for path in files(&workspace().join(folder)) {
            let lines = lines(&path);
            if path.extension().is_some_and(|extension| extension == "rs") && lines > 450 {
                long.push((path, lines));
            }
        }
    }
    assert!(long.is_empty(), "more than 450 lines: {long:?}");
}

/// The modules of a package's library, and of its `main.rs`, tests left out.
fn crate_of(package: &str) -> Modules {
    let source = workspace().join(package).join("src");
    let mut modules = source::modules(&source.join("lib.rs"));
    if source.join("main.rs").exists() {
        modules.extend(source::modules(&source.join("main.rs")));
    }
    Modules(modules)
}

/// Some modules of a crate.
#[derive(Clone)]
struct Modules(Vec<Module>);

impl Modules {
    /// A module of this name and what is below it; it must exist.
    fn inside(&self, name: &str) -> Self {
        let inside: Vec<_> = self.0.iter().filter(|module| module.is_within(name)).cloned().collect();
        assert!(!inside.is_empty(), "there is no module {name}");
        Self(inside)
    }

    /// All but that.
    fn outside(&self, name: &str) -> Self {
        let inside = self.inside(name);
        assert!(self.0.len() > inside.0.len(), "nothing is outside of {name}");
        Self(self.0.iter().filter(|module| !module.is_within(name)).cloned().collect())
    }

    /// Nothing is named that one of these stands for: see [`source::Named::is_within`].
    fn never_names(&self, forbidden: &[&str]) {
        for module in &self.0 {
            for path in &module.paths {
                let found = forbidden.iter().find(|name| path.is_within(name));
                assert!(
                    found.is_none(),
                    "{}:{}: `{}` may not be named here",
                    module.file.display(),
                    path.line,
                    path.text
                );
            }
        }
    }

    /// No path or call has this name in it.
    fn never_mentions(&self, name: &str) {
        for module in &self.0 {
            let found = module.paths.iter().find(|path| path.text.split("::").any(|part| part == name));
            assert!(found.is_none(), "{} mentions `{name}`: {found:?}", module.file.display());
        }
    }
}

/// The names of the folders in `functions`.
fn functions() -> Vec<String> {
    let entries = fs::read_dir(workspace().join("functions")).expect("functions");
    let folders = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir());
    let mut names: Vec<_> = folders.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
    names.sort();
    names
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files
}

fn lines(path: &Path) -> usize {
    fs::read(path).expect("readable").split(|byte| *byte == b'\n').count() - 1
}

/// The packages of the workspace as cargo sees them.
fn packages() -> Vec<Value> {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    list(&metadata["packages"]).to_vec()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn cargo(arguments: &[&str]) -> Output {
    let mut cargo = stack::install::cargo();
    let output = cargo.args(arguments).arg("--offline").output().expect("cargo runs");
    assert!(output.status.success(), "{cargo:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
