use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::database::{Flavor, Options, Server};

/// Whether some process carries this supervisor's marker.
fn survivors(root: &Path) -> Vec<String> {
    let marker = format!("{MARKER}={}/", root.display());
    let processes = fs::read_dir("/proc").expect("/proc is there").flatten();
    processes
        .filter(|process| {
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(&marker)
        })
        .map(|process| {
            fs::read_to_string(process.path().join("cmdline")).unwrap_or_default().replace('\0', " ")
        })
        .collect()
}

/// Looks until nothing is left, for as long as a busy machine may take.
fn nothing_left(root: &Path) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        let survivors = survivors(root);
        if survivors.is_empty() && !root.exists() {
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(20) {
            return Err(format!("{} exists: {}; alive: {survivors:?}", root.display(), root.exists()));
        }
        std::thread::yield_now();
    }
}

fn sleeper(supervisor: &Supervisor, script: &str) -> Running {
    let folder = supervisor.folder("sleeper").expect("a folder");
    let program = Program::new("sleeper", "/bin/sh", folder).args(["-c", script]);
    supervisor.spawn(&program).expect("sh starts")
}

/// Reads the log until it holds a whole line.
fn first_line(process: &Running) -> String {
    loop {
        if let Some((line, _)) = fs::read_to_string(process.log_file()).unwrap_or_default().split_once('\n') {
            return line.to_owned();
        }
        std::thread::yield_now();
    }
}

#[test]
#[ignore = "not a test: the parent that `killed_parent_leaves_nothing` kills"]
fn parent_of_a_server() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _server = runtime.block_on(Server::start(Options::new(Flavor::MariaDb))).expect("MariaDB starts");
    let supervisor = Supervisor::of_this_process().expect("it runs already");
    let fugitive = sleeper(&supervisor, "setsid sh -c 'echo away; exec sleep 1000' & wait");
    first_line(&fugitive);
    println!("root {}", supervisor.root().display());
    // Until it is killed; or, run by hand, until its input ends.
    std::io::stdin().lines().for_each(drop);
}

#[test]
fn killed_parent_leaves_nothing() {
    kill_the_parent("supervisor::tests::parent_of_a_server", &["mariadbd", "sleep 1000"]);
}

/// Runs an ignored test of this binary as another process, until it says `root` and the folder of its supervisor; sees
/// that these programs run, kills it, and sees that nothing is left of them. Returns what it had said before.
pub(crate) fn kill_the_parent(test: &str, running: &[&str]) -> Vec<String> {
    let mut parent = Command::new(std::env::current_exe().expect("this test binary"))
        .args([test, "--exact", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be run again");
    let mut said = Vec::new();
    let mut lines = BufReader::new(parent.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let root = loop {
        let line = lines.next().expect("the parent says where its servers are");
        if let Some((_, root)) = line.split_once("root ") {
            break PathBuf::from(root);
        }
        said.push(line);
    };
    let before = survivors(&root);
    for program in running {
        assert!(before.iter().any(|command| command.contains(program)), "{program} runs first: {before:?}");
    }

    parent.kill().expect("it can be killed");
    let status = parent.wait().expect("it ends");

    assert_eq!(status.signal(), Some(9), "no destructor ran");
    nothing_left(&root).expect("the watcher ended everything");
    said
}

#[test]
fn terminal_signals_do_not_end_the_watcher_before_its_work() {
    let supervisor = Supervisor::start().expect("it starts");
    let root = supervisor.root().to_owned();
    let server = sleeper(&supervisor, "echo up; exec sleep 1000");
    first_line(&server);
    let watcher = supervisor.watcher.lock().unwrap().as_ref().unwrap().0.id();
    let watcher = rustix::process::Pid::from_raw(watcher.cast_signed()).unwrap();
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::HUP, rustix::process::Signal::TERM]
    {
        rustix::process::kill_process_group(watcher, signal).expect("it is there");
    }

    supervisor.finish();

    nothing_left(&root).expect("the watcher ended everything");
}

#[test]
fn one_that_registers_too_late_never_starts() {
    let supervisor = Supervisor::start().expect("it starts");
    // What the watcher does first, when the pipe has ended.
    fs::rename(supervisor.root().join("running"), supervisor.root().join("ended")).unwrap();

    let late = sleeper(&supervisor, "echo up; exec sleep 1000");

    late.wait(Duration::from_secs(20)).unwrap();
    let Some(ServerError::Ended { status, .. }) = late.ended() else { panic!("it must not run") };
    assert!(status.contains("125"), "{status}");
}

#[test]
fn kill_reaches_what_left_the_group_and_spares_the_neighbour() {
    let supervisor = Supervisor::start().expect("it starts");
    let server = sleeper(&supervisor, "setsid sh -c 'echo $$; exec sleep 1000' & wait");
    let neighbour = sleeper(&supervisor, "echo up; exec sleep 1000");
    let fugitive = PathBuf::from("/proc").join(first_line(&server));
    first_line(&neighbour);
    assert!(fugitive.exists());

    server.kill();

    while fs::read(fugitive.join("environ")).is_ok_and(|environment| !environment.is_empty()) {
        std::thread::yield_now();
    }
    assert!(!server.is_running());
    assert!(neighbour.is_running());
}

#[test]
fn a_missing_program_is_told_in_the_shells_words() {
    let supervisor = Supervisor::start().expect("it starts");
    let folder = supervisor.folder("missing").expect("a folder");
    let missing = supervisor.spawn(&Program::new("missing", "/no/such/server", folder)).expect("sh starts");

    missing.wait(Duration::from_secs(20)).unwrap();

    let error = missing.ended().expect("it ended").to_string();
    assert!(error.contains("/no/such/server"), "{error}");
}
