//! Answers requests, as SES does or as a script says.

use std::{sync::Arc, time::Instant};

use tokio::{net::TcpStream, sync::watch, time::sleep};

use super::{
    Shared,
    event::EventKind,
    eventbridge, read,
    recorded::{Answer, Recorded},
    refusal::Refusal,
    script::Fault,
    signature,
};
use crate::http1::{Connection, Request, response};

const PATH: &str = "/v2/email/outbound-emails";

/// What becomes of a connection after a request.
enum Then {
    Next,
    Close,
    Reset,
    Hang,
}

/// Serves one connection until it ends, or until it is idle when `hang_up` changes.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, mut hang_up: watch::Receiver<u64>) {
    let mut connection = Connection::new(stream);
    loop {
        tokio::select! {
            begun = connection.request_begins() => if !matches!(begun, Ok(true)) { return },
            _ = hang_up.changed() => return,
        }
        if shared.scripts().take_close_before_read() {
            return;
        }
        let Ok(Some(request)) = connection.read_request().await else { return };
        let then = handle(&shared, &mut connection, &request).await;
        match then {
            Then::Next => {}
            Then::Close => return,
            Then::Reset => return connection.reset(),
            Then::Hang => {
                connection.peer_stirs().await;
                return;
            }
        }
    }
}

async fn handle(shared: &Arc<Shared>, connection: &mut Connection, request: &Request) -> Then {
    let mut record = Recorded::new(String::new());
    let valid = understand(request, &mut record);
    let fault = shared.scripts().take(&record);
    let order = shared.arrived(record);
    let name = fault.as_ref().map(Fault::name);
    match &fault {
        Some(Fault::Delay(delay)) => sleep(*delay).await,
        Some(Fault::Gate(gate)) => gate.pass().await,
        _ => {}
    }
    let takes = fault.as_ref().is_none_or(Fault::takes);
    let verdict = valid.and_then(|()| if takes { shared.take(order) } else { Ok(String::new()) });
    if let Some(Fault::GateAnswer(gate)) = &fault {
        gate.pass().await;
    }
    let scripted = name.map(Answer::Scripted);
    match fault {
        None | Some(Fault::Delay(_) | Fault::Gate(_) | Fault::GateAnswer(_)) => match verdict {
            Ok(message_id) => {
                shared.answered(order, Answer::Accepted);
                let body = format!(r#"{{"MessageId":"{message_id}"}}"#);
                write(connection, &whole(200, None, body.as_bytes())).await
            }
            Err(refusal) => refuse(shared, connection, order, refusal).await,
        },
        Some(Fault::Refuse(error)) => refuse(shared, connection, order, error.into()).await,
        Some(other) => {
            if let Some(answer) = scripted {
                shared.answered(order, answer);
            }
            act(connection, other, verdict.as_deref().unwrap_or_default()).await
        }
    }
}

/// What a fault does on the wire, once it is settled whether the message is taken.
async fn act(connection: &mut Connection, fault: Fault, message_id: &str) -> Then {
    let good = format!(r#"{{"MessageId":"{message_id}"}}"#);
    let bytes = match fault {
        Fault::HangForever { .. } => return Then::Hang,
        Fault::CloseAfterRead { .. }
        // These are settled before.
        | Fault::Refuse(_)
        | Fault::Delay(_)
        | Fault::Gate(_)
        | Fault::GateAnswer(_) => return Then::Close,
        Fault::ResetAfterRead { .. } | Fault::CloseBeforeRead => return Then::Reset,
        Fault::CloseInHeaders => {
            // When the write fails, the connection is as closed as it was to be.
            let _ = connection.write(b"HTTP/1.1 200 OK\r\nx-amzn-requ").await;
            return Then::Close;
        }
        Fault::CloseInBody => {
            let half = &good.as_bytes()[..good.len() / 2];
            let _ = connection
                .write(&response(200, &[("content-type", "application/json")], half, good.len()))
                .await;
            return Then::Close;
        }
        Fault::Status { code, body, .. } => whole(code, None, body.as_bytes()),
        Fault::Unreadable200 => whole(200, None, b"<html>accepted</html>"),
        Fault::NoMessageId200 => whole(200, None, b"{}"),
        Fault::Truncated200 => whole(200, None, &good.as_bytes()[..good.len() - 4]),
    };
    write(connection, &bytes).await
}

async fn refuse(shared: &Shared, connection: &mut Connection, order: usize, refusal: Refusal) -> Then {
    let bytes = whole(refusal.status, Some(refusal.error), &refusal.body());
    shared.answered(order, Answer::Refused(refusal));
    write(connection, &bytes).await
}

async fn write(connection: &mut Connection, bytes: &[u8]) -> Then {
    if connection.write(bytes).await.is_ok() { Then::Next } else { Then::Close }
}

fn whole(status: u16, error: Option<&str>, body: &[u8]) -> Vec<u8> {
    let id = super::random_uuid();
    let mut headers = vec![("content-type", "application/json"), ("x-amzn-requestid", id.as_str())];
    if let Some(error) = error {
        headers.push(("x-amzn-errortype", error));
    }
    response(status, &headers, body, body.len())
}

/// Reads a request into `record`, or says why SES refuses it.
fn understand(request: &Request, record: &mut Recorded) -> Result<(), Refusal> {
    if request.path != PATH || request.method != "POST" {
        return Err(Refusal::protocol(404, "UnknownOperationException", "This operation is not imitated."));
    }
    let signed = signature::check(request);
    if let Ok(region) = &signed {
        record.region.clone_from(region);
    }
    let read = match request.header("content-type") {
        Some("application/json") => read::read(&request.body, record),
        _ => Err(Refusal::protocol(400, "SerializationException", "content-type must be application/json")),
    };
    signed.and(read)
}

impl Shared {
    fn arrived(&self, mut record: Recorded) -> usize {
        let order = {
            let mut records = self.records();
            record.at_order = records.len();
            records.push(record);
            records.len()
        };
        self.arrivals.send_replace(order);
        order - 1
    }

    /// Takes a valid message, unless the account may not send it.
    fn take(self: &Arc<Self>, order: usize) -> Result<String, Refusal> {
        let taken = {
            let mut records = self.records();
            // Cleared meanwhile: nobody asks any more.
            let Some(record) = records.get_mut(order) else { return Ok(super::message_id()) };
            self.account().admit(record, Instant::now())?;
            record.taken = true;
            record.message_id = Some(super::message_id());
            record.clone()
        };
        let message_id = taken.message_id.clone().unwrap_or_default();
        self.emit(taken);
        Ok(message_id)
    }

    fn answered(&self, order: usize, answer: Answer) {
        if let Some(record) = self.records().get_mut(order) {
            record.answer = answer;
        }
    }

    /// Publishes the events of a message that was taken. SES does so only for a configuration set.
    fn emit(self: &Arc<Self>, record: Recorded) {
        let Some((endpoint, kinds)) = self.emission().clone() else { return };
        if record.configuration_set.is_none() {
            return;
        }
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            for kind in kinds {
                shared.put(endpoint.as_str(), &record, kind).await;
            }
        });
    }

    async fn put(&self, endpoint: &str, record: &Recorded, kind: EventKind) {
        let event = super::event::event(record, kind);
        if let Err(error) = eventbridge::put(endpoint, &record.region, &event).await {
            self.emit_errors().push(error.to_string());
        }
    }
}
