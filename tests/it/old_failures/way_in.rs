//! The way in for sendonce: RabbitMQ, `sendonce-bridge`, Lambda's Invoke API, environments of the real function.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use stack::{
    lambda::{Counts, Lambda},
    runtime_api::Function,
    supervisor::{Program, Running, Supervisor},
};

use super::broker::Broker;
use crate::world::function_binary;

const FUNCTION: &str = "dispatch-rabbitmq";

/// More than any scenario with the broker away invokes.
const MOST_RECORDED: usize = 100;

/// Longer than the bridge takes to stop.
const STOPS_WITHIN: Duration = Duration::from_secs(20);

/// The bridge, and the function that it invokes.
pub(crate) struct WayIn {
    queue: String,
    lambda: Lambda,
    bridge: Arc<Running>,
}

impl WayIn {
    /// Opens it: one message an invocation, so many invocations at once.
    pub(crate) async fn open(
        function: Function,
        concurrency: usize,
        broker_uri: &str,
        queue: String,
    ) -> Self {
        let lambda = Lambda::start().await.expect("a free port");
        lambda.function(FUNCTION, function, concurrency);
        lambda.record(MOST_RECORDED);
        let supervisor = Supervisor::of_this_process().expect("a supervisor");
        let folder = supervisor.folder("bridge").expect("a folder");
        let program = Program::new("bridge", function_binary("sendonce-bridge"), folder)
            .clear_environment()
            .env("BROKER_URL", broker_uri)
            .env("QUEUES", &queue)
            .env("FUNCTION_NAME", FUNCTION)
            .env("BATCH_SIZE", "1")
            .env("INVOCATIONS", concurrency.to_string())
            // What the database refuses comes again soon, and as often as need be.
            .env("MAX_TRIES", "50")
            .env("RETRY_DELAYS_S", "1")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "aws-secret-marker")
            .env("AWS_ENDPOINT_URL_LAMBDA", lambda.endpoint());
        let bridge = Arc::new(supervisor.spawn(&program).expect("it starts"));
        Self { queue, lambda, bridge }
    }

    /// The queue it consumes.
    pub(crate) fn queue(&self) -> &str {
        &self.queue
    }

    /// Waits until so many invocations have failed.
    pub(crate) async fn failed(&self, count: u64) {
        while self.counts().failed < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until so many invocations have begun that ring for this email.
    pub(crate) async fn invoked_for(&self, id: u64, times: usize) {
        let body = STANDARD.encode(json!({"email_id": id}).to_string());
        let rings = |payload: &[u8]| String::from_utf8_lossy(payload).contains(&body);
        while self.lambda.recorded().iter().filter(|recorded| rings(&recorded.payload)).count() < times {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until so many invocations have ended.
    pub(crate) async fn invoked(&self, count: usize) {
        self.lambda.invoked(FUNCTION, count as u64).await;
    }

    /// Waits until so many invocations have succeeded.
    pub(crate) async fn succeeded(&self, count: u64) {
        let succeeded = |counts: Counts| counts.invocations - counts.failed;
        while succeeded(self.counts()) < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What there has been of the function.
    pub(crate) fn counts(&self) -> Counts {
        self.lambda.counts(FUNCTION)
    }

    /// All that the function has logged.
    pub(crate) fn log(&self) -> String {
        self.lambda.environments(FUNCTION).iter().map(|environment| environment.log_text()).collect()
    }

    /// All that the bridge has logged.
    pub(crate) fn bridge_log(&self) -> String {
        std::fs::read_to_string(self.bridge.log_file()).expect("its log")
    }

    /// Stops the bridge in order, and asserts that nothing is left in its queue and that nothing was put aside.
    pub(crate) async fn closed(&self, broker: &Broker) {
        let bridge = Arc::clone(&self.bridge);
        let ended =
            tokio::task::spawn_blocking(move || bridge.terminate(STOPS_WITHIN)).await.expect("it ran");
        let log = self.bridge_log();
        assert_eq!(ended.expect("it ran"), "exit status: 0", "{log}");
        assert_eq!(broker.depth(&self.queue).await, Some(0), "{log}");
        assert_eq!(broker.depth(&format!("{}.dead", self.queue)).await.unwrap_or(0), 0, "{log}");
    }
}
