//! With a real process: a shell script that speaks the Runtime API.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use tempfile::TempDir;

use super::{Environment, Function, LogLine, NotReady, Outcome, RuntimeApi, Stream};

/// The script in a folder of its own: a file that is still open for writing anywhere cannot be run.
fn script() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("function");
    fs::write(&path, include_str!("function.sh")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    (folder, path)
}

async fn start(change: impl FnOnce(Function) -> Function) -> Environment {
    let (folder, path) = script();
    let environment = RuntimeApi::start().environment(change(Function::new(path))).await.unwrap();
    environment.ready().await.unwrap();
    drop(folder);
    environment
}

/// The state letter of a process.
fn state(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

#[tokio::test]
async fn answers_errors_and_environment() {
    let environment = start(|function| function.env("GREETING", "hi")).await;
    let done = environment.invoke(&json!({ "a": [1] })).await;
    assert_eq!(done.outcome, Outcome::Response(json!({ "a": [1] })));
    assert!(done.latency > Duration::ZERO);
    assert_eq!(
        environment.invoke(&json!("fail")).await.outcome,
        Outcome::Error { kind: "Bad".into(), message: "no luck".into() }
    );
    assert_eq!(environment.invoke(&json!("garbage")).await.outcome, Outcome::Unreadable("not json".into()));
    assert_eq!(environment.invoke_raw("not json").await.outcome, Outcome::Unreadable("not json".into()));
    // HOME is set in any process that runs tests, and must not leak.
    assert_eq!(environment.invoke(&json!("variables")).await.response(), json!("hi  eu-west-1"));
    assert!(environment.rss_kib().unwrap() > 0);
    assert!(environment.cpu_time().unwrap() > Duration::ZERO);
    let told = LogLine { stream: Stream::Out, text: "started as function".into() };
    assert_eq!(environment.logged("started").await, Some(told));
    assert_eq!(environment.logged("got \"fail\"").await.unwrap().stream, Stream::Err);
}

#[tokio::test]
async fn the_deadline_told_is_the_one_kept() {
    let environment = start(|function| function).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let told = environment.invoke_within(&json!("deadline"), Duration::from_secs(7)).await.response();
    let told = Duration::from_millis(told.as_u64().unwrap());
    assert!(told > now + Duration::from_millis(6_990) && told < now + Duration::from_secs(9), "{told:?}");
    let late = environment.invoke_within(&json!("hang"), Duration::from_millis(50)).await;
    assert_eq!(late.outcome, Outcome::TimedOut);
    assert!(late.latency >= Duration::from_millis(50));
    assert!(!environment.is_running());
    assert!(matches!(environment.invoke(&json!(1)).await.outcome, Outcome::Died(_)));
}

#[tokio::test]
async fn a_death_ends_what_is_under_way_and_what_waits() {
    let environment = start(|function| function).await;
    let first = environment.begin(&json!("hang"));
    let second = environment.begin(&json!(2));
    assert!(first.handed_out().await);
    let killed = environment.kill().await;
    assert_eq!(killed.signal(), Some(9));
    assert_eq!(first.outcome().await.outcome, Outcome::Died(killed));
    assert!(!second.handed_out().await);
    let second = second.outcome().await;
    assert_eq!((second.outcome, second.latency), (Outcome::Died(killed), Duration::ZERO));

    let environment = start(|function| function).await;
    let Outcome::Died(status) = environment.invoke(&json!("die")).await.outcome else { panic!() };
    assert_eq!(status.code(), Some(3));
    assert!(environment.log_text().ends_with("got \"die\"\n"), "{}", environment.log_text());
    assert_eq!(environment.logged("never").await, None);
}

/// Whoever waits for it would wait until its time is over, and learn nothing then.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_death_while_an_event_is_handed_out_ends_it_too() {
    for _ in 0..20 {
        let environment = start(|function| function).await;
        let event = environment.begin_within(&json!("hang"), Duration::from_mins(2));
        environment.kill().await;
        let done = tokio::time::timeout(Duration::from_mins(1), event.outcome()).await;
        assert!(matches!(done.expect("it is told").outcome, Outcome::Died(_)));
    }
}

#[tokio::test]
async fn suspends_and_resumes() {
    let environment = start(|function| function).await;
    environment.suspend().await.unwrap();
    let flight = environment.begin(&json!(1));
    assert!(flight.handed_out().await);
    assert_eq!(state(environment.pid()), 'T');
    environment.resume().unwrap();
    assert_eq!(flight.outcome().await.response(), json!(1));
}

#[tokio::test]
async fn a_held_response_does_not_count() {
    let environment = start(|function| function).await;
    let gate = environment.hold_response();
    let flight = environment.begin(&json!(1));
    gate.reached().await;
    gate.release();
    assert_eq!(flight.outcome().await.response(), json!(1));
    // One response only; the next one passes.
    assert_eq!(environment.invoke(&json!(2)).await.response(), json!(2));
    let gate = environment.hold_response();
    let flight = environment.begin(&json!(3));
    gate.reached().await;
    let killed = environment.kill().await;
    assert_eq!(flight.outcome().await.outcome, Outcome::Died(killed));
}

#[tokio::test]
async fn may_live_longer_than_it_was_told() {
    let environment = start(|function| function).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let flight = environment.begin_told(&json!("deadline"), Duration::from_secs(7), Duration::from_mins(2));
    let told = Duration::from_millis(flight.outcome().await.response().as_u64().unwrap());
    assert!(told > now + Duration::from_millis(6_990) && told < now + Duration::from_mins(1), "{told:?}");
}

#[tokio::test]
async fn freezes_between_invocations() {
    let environment = start(Function::freeze_between).await;
    for number in 0..5 {
        assert_eq!(environment.invoke(&json!(number)).await.response(), json!(number));
    }
    while !environment.is_frozen() || state(environment.pid()) != 'T' {
        tokio::task::yield_now().await;
    }
    // A frozen process ends too, when asked.
    assert_eq!(environment.stop().await.signal(), Some(15));
}

#[tokio::test]
async fn several_environments_run_side_by_side() {
    let (one, two) = tokio::join!(start(|function| function), start(|function| function));
    let hanging = one.begin(&json!("hang"));
    assert!(hanging.handed_out().await);
    assert_eq!(two.invoke(&json!(2)).await.response(), json!(2));
    assert_ne!(one.pid(), two.pid());
}

#[tokio::test]
async fn a_failed_start_says_why() {
    let (_folder, path) = script();
    let broken = Function::new(path).env("BROKEN", "1");
    let environment = RuntimeApi::start().environment(broken).await.unwrap();
    let told = NotReady::InitError { kind: "Config".into(), message: "no DATABASE_URL".into() };
    assert_eq!(environment.ready().await, Err(told));
    assert_eq!(environment.exited().await.code(), Some(1));
    let nothing = RuntimeApi::start().environment(Function::new("/bin/true")).await.unwrap();
    assert!(matches!(nothing.ready().await, Err(NotReady::Died(status)) if status.success()));
    assert!(RuntimeApi::start().environment(Function::new("/nowhere")).await.is_err());
}

#[tokio::test]
async fn dropping_kills() {
    let environment = start(|function| function).await;
    let pid = environment.pid();
    drop(environment);
    while fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
        tokio::task::yield_now().await;
    }
}
