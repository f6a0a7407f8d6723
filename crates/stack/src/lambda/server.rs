//! The one operation of the API.

use std::io;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::net::TcpStream;

use super::answer::{EVENT_LIMIT, Refusal, SYNCHRONOUS_LIMIT, request_id};
use super::pool::{Done, Pool, Slot};
use super::script::Fault;
use super::{Shared, Tasks, lock, spawn};
use crate::http1::{Connection, Request};
use crate::proxy::How;

const PREFIX: &str = "/2015-03-31/functions/";
const JSON: (&str, &str) = ("content-type", "application/json");
const VERSION: (&str, &str) = ("x-amz-executed-version", "$LATEST");

/// The set that [`Tasks`] shares, seen from within it.
type TasksBelow = Weak<<Tasks as std::ops::Deref>::Target>;

/// What to do with the connection next.
enum Next {
    Serve,
    Cut(How),
}

/// Serves one connection until it ends, or is cut.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, tasks: TasksBelow) {
    let mut connection = Connection::new(stream);
    while let Ok(Some(request)) = connection.read_request().await {
        match answer(&shared, &mut connection, request, &tasks).await {
            Ok(Next::Serve) => {}
            Ok(Next::Cut(How::Reset)) => return connection.reset(),
            Ok(Next::Cut(How::Close)) | Err(_) => return,
        }
    }
}

async fn answer(
    shared: &Shared,
    connection: &mut Connection,
    request: Request,
    tasks: &TasksBelow,
) -> io::Result<Next> {
    let (name, pool) = match find(shared, &request) {
        Ok(found) => found,
        Err(refusal) => return refuse(connection, refusal).await,
    };
    pool.requested();
    shared.record(&name, &request.body);
    let fault = lock(&shared.scripts).take();
    match &fault {
        Some(Fault::Status(status)) => return refuse(connection, Refusal::of_status(*status)).await,
        Some(Fault::CutBefore(how)) => return Ok(Next::Cut(*how)),
        Some(Fault::Hold(gate)) => gate.pass().await,
        Some(Fault::FunctionError { kind, message }) => {
            return respond(connection, &request_id(), failed(kind, message), true).await;
        }
        Some(Fault::CutAfter(_) | Fault::HoldAnswer(_)) | None => {}
    }
    match request.header("x-amz-invocation-type").unwrap_or("RequestResponse") {
        "RequestResponse" => {
            let slot = match admit(&pool, &request.body) {
                Ok(slot) => slot,
                Err(refusal) => return refuse(connection, refusal).await,
            };
            let (id, done) = pool.run(slot, request.body).await;
            match fault {
                Some(Fault::CutAfter(how)) => return Ok(Next::Cut(how)),
                Some(Fault::HoldAnswer(gate)) => gate.pass().await,
                _ => {}
            }
            match done {
                Done::Payload(payload) => respond(connection, &id, payload, false).await,
                Done::Failed { kind, message } => {
                    respond(connection, &id, failed(&kind, &message), true).await
                }
            }
        }
        "Event" => {
            if let Err(refusal) = check(&request.body, "Event", EVENT_LIMIT) {
                return refuse(connection, refusal).await;
            }
            if let Some(tasks) = tasks.upgrade() {
                let payload = request.body;
                spawn(&tasks, async move {
                    if let Some(slot) = pool.slot().await {
                        // Nobody waits for what comes of it.
                        let _ = pool.run(slot, payload).await;
                    }
                });
            }
            connection.respond(202, &[], b"").await?;
            Ok(Next::Serve)
        }
        "DryRun" => {
            // A 204 has no length.
            connection.write(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
            Ok(Next::Serve)
        }
        other => refuse(connection, Refusal::no_such_type(other)).await,
    }
}

fn find(shared: &Shared, request: &Request) -> Result<(String, Arc<Pool>), Refusal> {
    let path = request.path.split('?').next().unwrap_or_default();
    let name = path.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix("/invocations"));
    let Some(name) = name.filter(|_| request.method == "POST") else {
        return Err(Refusal::no_such_operation());
    };
    if !request.header("authorization").is_some_and(|value| value.starts_with("AWS4-HMAC-SHA256 ")) {
        return Err(Refusal::unsigned());
    }
    let name = function_name(name);
    let pool = shared.pool(&name).ok_or_else(|| Refusal::no_such_function(&name))?;
    Ok((name, pool))
}

/// The name in what may be a name, a whole or a partial ARN, each with a qualifier.
fn function_name(text: &str) -> String {
    let text = text.replace("%3A", ":").replace("%3a", ":").replace("%24", "$");
    let from = text.split_once("function:").map_or(text.as_str(), |(_, name)| name);
    from.split(':').next().unwrap_or_default().to_owned()
}

fn admit<'a>(pool: &'a Pool, payload: &Bytes) -> Result<Slot<'a>, Refusal> {
    check(payload, "RequestResponse", SYNCHRONOUS_LIMIT)?;
    pool.slot_now().ok_or_else(Refusal::throttled)
}

fn check(payload: &Bytes, invocation: &str, limit: usize) -> Result<(), Refusal> {
    if payload.len() > limit {
        return Err(Refusal::too_large(payload.len(), invocation, limit));
    }
    // No payload at all is allowed.
    if !payload.is_empty()
        && let Err(error) = serde_json::from_slice::<IgnoredAny>(payload)
    {
        return Err(Refusal::not_json(&error));
    }
    Ok(())
}

fn failed(kind: &str, message: &str) -> Bytes {
    json!({ "errorType": kind, "errorMessage": message }).to_string().into()
}

async fn respond(connection: &mut Connection, id: &str, payload: Bytes, failed: bool) -> io::Result<Next> {
    let headers = [JSON, VERSION, ("x-amzn-requestid", id), ("x-amz-function-error", "Unhandled")];
    let headers = if failed { &headers[..] } else { &headers[..3] };
    connection.respond(200, headers, &payload).await?;
    Ok(Next::Serve)
}

async fn refuse(connection: &mut Connection, refusal: Refusal) -> io::Result<Next> {
    let headers = [JSON, ("x-amzn-errortype", refusal.kind)];
    let headers = if refusal.kind.is_empty() { &headers[..1] } else { &headers[..] };
    connection.respond(refusal.status, headers, refusal.body.as_bytes()).await?;
    Ok(Next::Serve)
}
