//! A stand-in for Secrets Manager's `GetSecretValue`, which can be slow, broken, forbidding and away.
//!
//! ministack has the real shape of the service, and keeps versions and labels; it can do none of that. This keeps one text
//! a secret, counts who asks, and answers as it is told to. A request that is not signed for `secretsmanager` is refused.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use stack::secrets::{Fault, Secrets};
//!
//! let secrets = Secrets::start().await?;
//! let arn = secrets.put("sendonce/sweep", r#"{"username":"mail","password":"x"}"#);
//! secrets.set_fault(Some(Fault::Refuse { status: 400, code: "AccessDeniedException" }));
//! // … somebody asks secrets.endpoint() for `arn` …
//! assert_eq!(secrets.asked(), 1);
//! # Ok(())
//! # }
//! ```

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{
    gate::Gate,
    http1::{Connection, Request, response},
    listen::Doorway,
};

/// What meets every request until something else is set.
#[derive(Clone, Debug)]
pub enum Fault {
    /// An error of the service, or of something before it.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// The name of the error.
        code: &'static str,
    },
    /// A 200 with this body.
    Body(&'static str),
    /// Answered as usual, when the gate is released.
    Gate(Gate),
    /// Read, and never answered.
    Hang,
}

/// The service, on a free port of 127.0.0.1.
#[derive(Debug)]
pub struct Secrets {
    doorway: Doorway,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Texts by ARN, each with how often it was changed.
    texts: BTreeMap<String, (Option<String>, u32)>,
    fault: Option<Fault>,
    asked: usize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Secrets {
    /// Starts it, without any secret.
    ///
    /// # Errors
    ///
    /// No port could be had.
    pub async fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let doorway = Doorway::open({
            let shared = Arc::clone(&shared);
            move |stream| {
                tokio::spawn(serve(Arc::clone(&shared), stream));
            }
        })
        .await?;
        Ok(Self { doorway, shared })
    }

    /// What to give a client as its endpoint URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.doorway.address())
    }

    /// Makes or changes a secret; returns its ARN without the six random characters, which is how a template names it.
    #[expect(clippy::must_use_candidate, reason = "whoever changes a secret knows its name already")]
    pub fn put(&self, name: &str, text: &str) -> String {
        self.keep(name, Some(text.to_owned()))
    }

    /// Makes it a secret of bytes.
    #[expect(clippy::must_use_candidate, reason = "whoever changes a secret knows its name already")]
    pub fn put_binary(&self, name: &str) -> String {
        self.keep(name, None)
    }

    /// Forgets a secret.
    pub fn delete(&self, name: &str) {
        self.shared.state().texts.remove(&arn(name));
    }

    fn keep(&self, name: &str, text: Option<String>) -> String {
        let arn = arn(name);
        let mut state = self.shared.state();
        let kept = state.texts.entry(arn.clone()).or_default();
        *kept = (text, kept.1 + 1);
        arn
    }

    /// Sets what every request meets from now on.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.shared.state().fault = fault;
    }

    /// How many requests have come.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.shared.state().asked
    }

    /// Closes or reopens the port.
    pub async fn set_open(&self, open: bool) {
        self.doorway.set_open(open).await;
    }
}

fn arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:eu-west-1:111122223333:secret:{name}")
}

async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let mut connection = Connection::new(stream);
    let Ok(Some(request)) = connection.read_request().await else { return };
    let fault = {
        let mut state = shared.state();
        state.asked += 1;
        state.fault.clone()
    };
    let answer = match fault {
        Some(Fault::Hang) => return connection.peer_stirs().await,
        Some(Fault::Refuse { status, code }) => refusal(status, code),
        Some(Fault::Body(body)) => (200, body.to_owned()),
        Some(Fault::Gate(gate)) => {
            gate.pass().await;
            tell(&shared.state(), &request)
        }
        None => tell(&shared.state(), &request),
    };
    // One request a connection: when the port is closed, nobody has one left to ask by.
    let headers = [("content-type", "application/x-amz-json-1.1"), ("connection", "close")];
    let bytes = response(answer.0, &headers, answer.1.as_bytes(), answer.1.len());
    // Whoever hung up meanwhile does not want it.
    let _ = connection.write(&bytes).await;
}

fn refusal(status: u16, code: &str) -> (u16, String) {
    (status, json!({ "__type": code, "message": "as it was told to" }).to_string())
}

fn tell(state: &State, request: &Request) -> (u16, String) {
    let is_signed = request.header("authorization").is_some_and(|authorization| {
        authorization.starts_with("AWS4-HMAC-SHA256 ")
            && authorization.contains("/eu-west-1/secretsmanager/aws4_request")
    });
    if !is_signed {
        return refusal(400, "MissingAuthenticationTokenException");
    }
    if request.header("x-amz-target") != Some("secretsmanager.GetSecretValue") {
        return refusal(400, "UnknownOperationException");
    }
    let question: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let kept = question["SecretId"].as_str().and_then(|id| Some((id, state.texts.get(id)?)));
    let Some((id, (text, version))) = kept else {
        return refusal(400, "ResourceNotFoundException");
    };
    let mut answer = json!({
        "ARN": format!("{id}-AbCdEf"),
        "Name": id.rsplit(':').next(),
        "VersionId": format!("{version:032}"),
        "VersionStages": ["AWSCURRENT"],
        "CreatedDate": 1_750_000_000.0,
    });
    match text {
        Some(text) => answer["SecretString"] = text.as_str().into(),
        None => answer["SecretBinary"] = "aHVudGVyMg==".into(),
    }
    (200, answer.to_string())
}
