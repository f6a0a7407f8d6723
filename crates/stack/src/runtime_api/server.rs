//! The four endpoints a runtime uses.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use rustix::process::Signal;
use serde::Deserialize;
use tokio::net::TcpStream;

use super::{Event, Flight, Invocation, Outcome, Phase, Shared};
use crate::http1::{Connection, Request};

pub(super) const TRACE_ID: &str =
    "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0";

const BASE: &str = "/2018-06-01/runtime/";
/// The largest response Lambda takes: 6 MB.
const RESPONSE_LIMIT: usize = 6 * 1024 * 1024;
const JSON: (&str, &str) = ("content-type", "application/json");

/// What a runtime posts about an error.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Diagnostic {
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    error_message: String,
}

/// Serves one connection until it ends. Its errors concern the process, whose end is noticed elsewhere.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let mut connection = Connection::new(stream);
    while let Ok(Some(request)) = connection.read_request().await {
        if answer(&shared, &mut connection, request).await.is_err() {
            return;
        }
    }
}

async fn answer(shared: &Arc<Shared>, connection: &mut Connection, request: Request) -> io::Result<()> {
    let arrived = Instant::now();
    let path = request.path.strip_prefix(BASE).unwrap_or_default();
    match (request.method.as_str(), path) {
        ("GET", "invocation/next") => next(shared, connection).await,
        ("POST", "init/error") => {
            let (kind, message) = diagnostic(&request.body);
            shared.phase.send_replace(Phase::Failed { kind, message });
            ok(connection).await
        }
        ("POST", path) => {
            let Some((id, what)) = path.strip_prefix("invocation/").and_then(|rest| rest.split_once('/'))
            else {
                return refuse(connection, 404, "NotFound", "no such endpoint").await;
            };
            let (status, outcome) = match what {
                "response" if request.body.len() > RESPONSE_LIMIT => (
                    413,
                    Outcome::Error {
                        kind: "Function.ResponseSizeTooLarge".into(),
                        message: format!("response of {} bytes exceeds {RESPONSE_LIMIT}", request.body.len()),
                    },
                ),
                "response" => (202, response(request.body)),
                "error" => {
                    let (kind, message) = diagnostic(&request.body);
                    (202, Outcome::Error { kind, message })
                }
                _ => return refuse(connection, 404, "NotFound", "no such endpoint").await,
            };
            if let Some(gate) = shared.take_response_gate() {
                let mut exit = shared.exit.subscribe();
                tokio::select! {
                    () = gate.pass() => {}
                    _ = exit.wait_for(Option::is_some) => return Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
            if !finish(shared, id, outcome, arrived) {
                return refuse(connection, 400, "InvalidRequestID", "no such invocation under way").await;
            }
            if status == 202 {
                ok(connection).await
            } else {
                refuse(connection, status, "RequestEntityTooLarge", "response too large").await
            }
        }
        _ => refuse(connection, 404, "NotFound", "no such endpoint").await,
    }
}

/// Waits for an event and hands it out.
async fn next(shared: &Arc<Shared>, connection: &mut Connection) -> io::Result<()> {
    shared.phase.send_if_modified(|phase| {
        let first = matches!(phase, Phase::Starting);
        if first {
            let born = shared.born.get().map_or(Duration::ZERO, Instant::elapsed);
            *phase = Phase::Ready(born);
        }
        first
    });
    let event = loop {
        if let Some(event) = take(shared) {
            break event;
        }
        tokio::select! {
            () = shared.work.notified() => {}
            () = connection.peer_stirs() => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    };
    let headers = [
        JSON,
        ("lambda-runtime-aws-request-id", &event.id),
        ("lambda-runtime-deadline-ms", &event.deadline_ms),
        ("lambda-runtime-invoked-function-arn", &shared.arn),
        ("lambda-runtime-trace-id", TRACE_ID),
    ];
    connection.respond(200, &headers, &event.payload).await
}

/// What the process is told of an event.
struct HandedOut {
    id: String,
    payload: Bytes,
    deadline_ms: String,
}

/// The next event, under way from now on; or, when there is none, the process is frozen if that is wished.
fn take(shared: &Arc<Shared>) -> Option<HandedOut> {
    // Held until the event is under way: whoever books the process's death finds it either here or there.
    let mut state = shared.state();
    let Some(event) = state.pending.pop_front() else {
        if shared.function.freeze_between && !state.frozen && state.ended.is_none() {
            state.frozen = true;
            if let Some(pid) = shared.pid.get() {
                // A process that is gone needs no freezing. The lock stays held, so that no event comes between.
                let _ = rustix::process::kill_process(*pid, Signal::STOP);
            }
        }
        return None;
    };
    let Event { id, payload, told, timeout, handed, done } = event;
    let deadline = SystemTime::now() + told;
    let deadline_ms = deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis().to_string();
    let timer = tokio::spawn(end_at(Arc::clone(shared), id.clone(), timeout)).abort_handle();
    let flight = Flight { handed: Instant::now(), timed_out: false, timer, done };
    state.flights.insert(id.clone(), flight);
    drop(state);
    handed.send_replace(true);
    Some(HandedOut { id, payload, deadline_ms })
}

/// Kills the process when its time is over and the invocation has not ended.
async fn end_at(shared: Arc<Shared>, id: String, timeout: Duration) {
    tokio::time::sleep(timeout).await;
    let late = shared.state().flights.get_mut(&id).is_some_and(|flight| {
        flight.timed_out = true;
        true
    });
    if late {
        let _ = shared.signal(Signal::KILL);
    }
}

fn finish(shared: &Shared, id: &str, outcome: Outcome, arrived: Instant) -> bool {
    let mut state = shared.state();
    // One whose time is over has lost, even if its process can still answer before it dies.
    if state.flights.get(id).is_none_or(|flight| flight.timed_out) {
        return false;
    }
    let Some(flight) = state.flights.remove(id) else { return false };
    drop(state);
    flight.timer.abort();
    let latency = arrived.duration_since(flight.handed);
    // The caller may have dropped its handle.
    let _ = flight.done.send(Invocation { request_id: id.to_owned(), outcome, latency });
    true
}

fn response(body: Bytes) -> Outcome {
    match serde_json::from_slice(&body) {
        Ok(value) => Outcome::Response(value),
        Err(_) => Outcome::Unreadable(body),
    }
}

fn diagnostic(body: &[u8]) -> (String, String) {
    match serde_json::from_slice::<Diagnostic>(body) {
        Ok(told) => (told.error_type, told.error_message),
        Err(_) => ("Unreadable".into(), String::from_utf8_lossy(body).into_owned()),
    }
}

async fn ok(connection: &mut Connection) -> io::Result<()> {
    connection.respond(202, &[JSON], br#"{"status":"OK"}"#).await
}

async fn refuse(connection: &mut Connection, status: u16, kind: &str, message: &str) -> io::Result<()> {
    let body = format!(r#"{{"errorType":"{kind}","errorMessage":"{message}"}}"#);
    connection.respond(status, &[JSON], body.as_bytes()).await
}
