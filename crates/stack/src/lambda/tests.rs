//! Through Amazon's own client, with a real process behind it: the shell script of the Runtime API's tests.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_lambda::error::SdkError;
use aws_sdk_lambda::operation::invoke::{InvokeError, InvokeOutput};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{InvocationType, ThrottleReason};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::gate::Gate;
use crate::proxy::How;

type Answer = Result<InvokeOutput, SdkError<InvokeError>>;

struct Stage {
    lambda: Lambda,
    client: aws_sdk_lambda::Client,
    _folder: TempDir,
}

impl Stage {
    /// A function `echo` that does what its event says.
    async fn set(concurrency: usize, change: impl FnOnce(Function) -> Function) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("function");
        fs::write(&path, include_str!("../runtime_api/function.sh")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made a program");
        let lambda = Lambda::start().await.expect("a port");
        lambda.function("echo", change(Function::new(path)), concurrency);
        let client = aws_sdk_lambda::Client::from_conf(
            aws_sdk_lambda::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .endpoint_url(lambda.endpoint())
                .region(Region::new("eu-west-1"))
                .credentials_provider(Credentials::from_keys("AKIALOCAL", "local", None))
                .retry_config(RetryConfig::disabled())
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .build(),
        );
        Self { lambda, client, _folder: folder }
    }

    async fn invoke(&self, payload: &Value) -> Answer {
        self.invoke_as("echo", InvocationType::RequestResponse, payload.to_string()).await
    }

    async fn invoke_as(&self, name: &str, kind: InvocationType, payload: impl Into<Vec<u8>>) -> Answer {
        let request = self.client.invoke().function_name(name).invocation_type(kind);
        request.payload(Blob::new(payload)).send().await
    }

    fn environment(&self, index: usize) -> Arc<Environment> {
        Arc::clone(&self.lambda.environments("echo")[index])
    }
}

fn payload(answer: &InvokeOutput) -> Value {
    serde_json::from_slice(answer.payload().expect("a payload").as_ref()).expect("JSON")
}

/// The error's type, of an answer that says that the function failed.
fn failure(answer: Answer) -> String {
    let answer = answer.expect("200");
    assert_eq!((answer.status_code(), answer.function_error()), (200, Some("Unhandled")));
    let payload = payload(&answer);
    assert!(payload["errorMessage"].is_string(), "{payload}");
    payload["errorType"].as_str().expect("a type").to_owned()
}

fn status(answer: Answer) -> (u16, InvokeError) {
    match answer.expect_err("refused") {
        SdkError::ServiceError(error) => {
            let status = error.raw().status().as_u16();
            (status, error.into_err())
        }
        other => panic!("no answer of the service: {other:?}"),
    }
}

#[tokio::test]
async fn one_environment_answers_one_after_another() {
    let stage = Stage::set(1, |function| function.env("GREETING", "hi")).await;
    for number in 0..3 {
        let answer = stage.invoke(&json!({ "a": number })).await.expect("200");
        assert_eq!((payload(&answer), answer.function_error()), (json!({ "a": number }), None));
        assert_eq!((answer.status_code(), answer.executed_version()), (200, Some("$LATEST")));
    }
    let told = stage.invoke(&json!("variables")).await.expect("200");
    assert_eq!(payload(&told), "hi  eu-west-1");
    assert_eq!(stage.environment(0).log_text().matches("started as echo").count(), 1);
    assert_eq!(stage.lambda.environments("echo").len(), 1);
    assert_eq!(
        stage.lambda.counts("echo"),
        Counts { requests: 4, invocations: 4, failed: 0, throttled: 0, peak: 1 }
    );
    assert_eq!(stage.lambda.recorded(), [], "nothing is kept unless it is asked for");
}

#[tokio::test]
async fn what_fails_is_told_and_the_next_invocation_works() {
    let stage = Stage::set(1, |function| function.timeout(Duration::from_secs(2))).await;
    assert_eq!(failure(stage.invoke(&json!("fail")).await), "Bad");
    assert_eq!(
        stage.invoke(&json!("garbage")).await.expect("200").payload().expect("bytes").as_ref(),
        b"not json"
    );
    assert_eq!(stage.lambda.environments("echo").len(), 1, "an error ends no environment");
    assert_eq!(failure(stage.invoke(&json!("die")).await), "Runtime.ExitError");
    assert_eq!(failure(stage.invoke(&json!("hang")).await), "Sandbox.Timedout");
    assert_eq!(payload(&stage.invoke(&json!(1)).await.expect("200")), 1);
    // Killed while nobody looked: that costs no invocation.
    let last = stage.environment(2);
    last.kill().await;
    assert_eq!(payload(&stage.invoke(&json!(2)).await.expect("200")), 2);
    assert_eq!(stage.lambda.environments("echo").len(), 4);
    let counts = stage.lambda.counts("echo");
    assert_eq!((counts.invocations, counts.failed), (6, 3));

    let broken = Stage::set(1, |function| function.env("BROKEN", "1")).await;
    assert_eq!(failure(broken.invoke(&json!(1)).await), "Config");
    broken.lambda.function("echo", Function::new("/nowhere"), 1);
    assert_eq!(failure(broken.invoke(&json!(1)).await), "Runtime.InvalidEntrypoint");
}

#[tokio::test]
async fn environments_that_ended_are_kept_for_a_while_only() {
    let stage = Stage::set(1, |function| function).await;
    for _ in 0..12 {
        assert_eq!(failure(stage.invoke(&json!("die")).await), "Runtime.ExitError");
    }
    let kept = stage.lambda.environments("echo");
    assert!((8..=9).contains(&kept.len()), "{}", kept.len());
    assert!(kept.iter().all(|environment| environment.log_text().contains("got \"die\"")));
}

#[tokio::test]
async fn beyond_the_concurrency_it_throttles() {
    let stage = Stage::set(2, |function| function).await;
    stage.invoke(&json!(0)).await.expect("200");
    let first = stage.environment(0).hold_response();
    let (one, two) = (json!(1), json!(2));
    let meanwhile = async {
        first.reached().await;
        // A second environment, which is then idle.
        assert_eq!(payload(&stage.invoke(&two).await.expect("200")), 2);
        let second = stage.environment(1).hold_response();
        let queued = stage.invoke_as("echo", InvocationType::Event, "3");
        let (held, event) = tokio::join!(stage.invoke(&two), async {
            second.reached().await;
            let (code, error) = status(stage.invoke(&two).await);
            let InvokeError::TooManyRequestsException(error) = error else { panic!("{error}") };
            assert_eq!(code, 429);
            assert_eq!(
                error.reason(),
                Some(&ThrottleReason::ReservedFunctionConcurrentInvocationLimitExceeded)
            );
            let event = queued.await.expect("taken though there is no room");
            first.release();
            second.release();
            event
        });
        held.expect("200");
        event
    };
    let (held, event) = tokio::join!(stage.invoke(&one), meanwhile);
    assert_eq!(payload(&held.expect("200")), 1);
    assert_eq!((event.status_code(), event.payload()), (202, None));
    stage.lambda.invoked("echo", 5).await;
    let counts = stage.lambda.counts("echo");
    assert_eq!(counts, Counts { requests: 6, invocations: 5, failed: 0, throttled: 1, peak: 2 });
    assert_eq!(stage.lambda.environments("echo").len(), 2);
}

#[tokio::test]
async fn refuses_what_lambda_refuses() {
    let stage = Stage::set(1, |function| function).await;
    let synchronous = InvocationType::RequestResponse;
    let (code, error) = status(stage.invoke_as("nobody", synchronous.clone(), "{}").await);
    assert!(code == 404 && error.is_resource_not_found_exception(), "{code} {error}");
    let (code, error) = status(stage.invoke_as("echo", synchronous.clone(), "no json").await);
    assert!(code == 400 && error.is_invalid_request_content_exception(), "{code} {error}");
    for (kind, limit) in [(synchronous, 6 * 1024 * 1024), (InvocationType::Event, 1024 * 1024)] {
        let exactly = format!("\"{}\"", "a".repeat(limit - 2));
        let (code, error) = status(stage.invoke_as("echo", kind.clone(), exactly + " ").await);
        assert!(code == 413 && error.is_request_too_large_exception(), "{code} {error}");
    }
    let dry = stage.invoke_as("echo", InvocationType::DryRun, "{}").await.expect("allowed");
    assert_eq!(dry.status_code(), 204);
    assert_eq!(stage.lambda.counts("echo").invocations, 0);

    let unsigned = b"POST /2015-03-31/functions/echo/invocations HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}";
    let mut stream = TcpStream::connect(("127.0.0.1", stage.lambda.port())).await.expect("it listens");
    stream.write_all(unsigned).await.expect("written");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("answered");
    assert_eq!(&answer, b"HTTP/1.1 403");

    let arn = "arn:aws:lambda:eu-west-1:111122223333:function:echo:$LATEST";
    stage.invoke_as(arn, InvocationType::RequestResponse, "1").await.expect("an ARN is a name too");
    stage.lambda.refuse(true).await;
    let refused = TcpStream::connect(("127.0.0.1", stage.lambda.port())).await;
    assert_eq!(refused.expect_err("closed").kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn scripted_faults_happen_once_and_in_order() {
    let stage = Stage::set(1, |function| function).await;
    let ran = || stage.lambda.counts("echo").invocations;
    for code in [500, 503, 429, 504] {
        stage.lambda.script(1, Fault::Status(code));
    }
    for (code, name) in
        [(500, "ServiceException"), (503, "ServiceUnavailableException"), (429, "TooManyRequestsException")]
    {
        let (answered, error) = status(stage.invoke(&json!(1)).await);
        assert_eq!((answered, error.meta().code()), (code, Some(name)));
    }
    let (code, error) = status(stage.invoke(&json!(1)).await);
    assert_eq!((code, error.meta().code()), (504, None));
    let (kind, message) = ("Scripted".to_owned(), "no luck".to_owned());
    stage.lambda.script(2, Fault::FunctionError { kind, message });
    for _ in 0..2 {
        assert_eq!(failure(stage.invoke(&json!(1)).await), "Scripted");
    }
    for how in [How::Close, How::Reset] {
        stage.lambda.script(1, Fault::CutBefore(how));
        let error = stage.invoke(&json!(1)).await.expect_err("no answer");
        assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
    }
    assert_eq!((ran(), stage.lambda.environments("echo").len()), (0, 0), "nothing has run");

    for (runs, how) in [(1, How::Close), (2, How::Reset)] {
        stage.lambda.script(1, Fault::CutAfter(how));
        let error = stage.invoke(&json!(1)).await.expect_err("no answer");
        assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
        assert_eq!(ran(), runs);
    }
    assert_eq!(stage.lambda.unused_scripts(), 0);
    assert_eq!(payload(&stage.invoke(&json!(1)).await.expect("200")), 1);
}

#[tokio::test]
async fn gates_hold_before_and_after_the_function() {
    let stage = Stage::set(1, |function| function).await;
    let (before, after) = (Gate::new(), Gate::new());
    stage.lambda.script(1, Fault::Hold(before.clone()));
    stage.lambda.script(1, Fault::HoldAnswer(after.clone()));
    let event = json!(1);
    let (first, ()) = tokio::join!(stage.invoke(&event), async {
        before.reached().await;
        assert_eq!(stage.lambda.counts("echo").invocations, 0);
        before.release();
    });
    first.expect("200");
    let (second, ()) = tokio::join!(stage.invoke(&event), async {
        after.reached().await;
        assert_eq!(stage.lambda.counts("echo").invocations, 2);
        after.release();
    });
    second.expect("200");
}

#[tokio::test]
async fn keeps_the_last_payloads_when_asked_to() {
    let stage = Stage::set(1, |function| function).await;
    stage.lambda.record(2);
    for number in 1..=3 {
        stage.invoke(&json!(number)).await.expect("200");
    }
    let kept = stage.lambda.recorded();
    let kept: Vec<_> = kept.iter().map(|one| (one.function.as_str(), one.payload.as_ref())).collect();
    assert_eq!(kept, [("echo", &b"2"[..]), ("echo", b"3")]);
    stage.lambda.record(0);
    stage.invoke(&json!(4)).await.expect("200");
    assert_eq!(stage.lambda.recorded(), []);
}

#[tokio::test]
async fn dropping_kills_what_is_idle_and_what_is_busy() {
    let stage = Stage::set(2, |function| function).await;
    stage.invoke(&json!(0)).await.expect("200");
    let held = stage.environment(0).hold_response();
    let client = stage.client.clone();
    let busy =
        tokio::spawn(
            async move { client.invoke().function_name("echo").payload(Blob::new("1")).send().await },
        );
    held.reached().await;
    stage.invoke(&json!(2)).await.expect("200");
    let pids: Vec<_> = stage.lambda.environments("echo").iter().map(|one| one.pid()).collect();
    assert_eq!(pids.len(), 2);

    drop(stage);

    busy.await.expect("no panic").expect_err("no answer");
    for pid in pids {
        while fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::task::yield_now().await;
        }
    }
}
