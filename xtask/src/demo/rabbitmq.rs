//! RabbitMQ beside SQS: a broker, the daemon that listens to it, and what a producer does there.

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use stack::ministack::Ministack;
use stack::rabbitmq::{Options, Rabbitmq};
use stack::supervisor::{Program, Running, Supervisor};
use tokio::task::spawn_blocking;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::progress::Failure;

/// The queue whose doorbells are handed on to SQS.
pub(super) const RELAYED: &str = "mail.relay";

/// The queue whose doorbells are answered by sending.
pub(super) const DISPATCHED: &str = "mail.dispatch";

/// What is under way at a stop takes milliseconds.
const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// A broker with the producer's two queues.
pub(super) struct Broker {
    server: Rabbitmq,
    connection: Connection,
    channel: Channel,
}

/// A daemon, listening to one queue.
pub(super) struct Bridge {
    process: Arc<Running>,
}

impl Broker {
    /// Starts it and declares the queues, as a producer does.
    pub(super) async fn start() -> Result<Self, Failure> {
        let server = Rabbitmq::start(Options::default()).await?;
        let connection = Connection::connect(&server.uri(), ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        for queue in [RELAYED, DISPATCHED] {
            let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            let mut arguments = FieldTable::default();
            arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
            channel.queue_declare(queue.into(), durable, arguments).await?;
        }
        Ok(Self { server, connection, channel })
    }

    /// Starts the daemon that invokes `function` with what comes through `queue`.
    pub(super) fn bridge(
        &self,
        binary: &Path,
        queue: &str,
        function: &str,
        ministack: &Ministack,
    ) -> Result<Bridge, Failure> {
        let supervisor = Supervisor::of_this_process()?;
        let name = format!("bridge-{queue}");
        let program = Program::new(&name, binary, supervisor.folder(&name)?)
            .clear_environment()
            .env("BROKER_URL", self.server.uri())
            .env("QUEUES", queue)
            .env("FUNCTION_NAME", function)
            .env("AWS_REGION", ministack.region())
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_ENDPOINT_URL_LAMBDA", ministack.endpoint());
        Ok(Bridge { process: Arc::new(supervisor.spawn(&program)?) })
    }

    /// Puts a persistent doorbell into a queue and sees that it is kept. The header names the lane.
    pub(super) async fn publish(&self, queue: &str, lane: &str, body: &str) -> Result<(), Failure> {
        let mut headers = FieldTable::default();
        headers.insert("lane".into(), AMQPValue::LongString(lane.into()));
        let properties = BasicProperties::default().with_delivery_mode(2).with_headers(headers);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let sent =
            self.channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties).await?;
        let confirmation = sent.await?;
        if !confirmation.is_ack() || confirmation.take_message().is_some() {
            return Err(format!("RabbitMQ did not take a doorbell for {queue}").into());
        }
        Ok(())
    }

    /// How many messages wait in a queue.
    pub(super) async fn waiting(&self, queue: &str) -> Result<u32, Failure> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        // On a channel of its own, since one that asks for a queue which there is not is closed.
        let channel = self.connection.create_channel().await?;
        let found = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
        channel.close(200, "done".into()).await?;
        Ok(found.message_count())
    }
}

impl Bridge {
    /// Asks it to stop, waits until it has, and tells how it ended and what it said at the end.
    pub(super) async fn stop(&self) -> Result<(String, String), Failure> {
        if let Some(ended) = self.process.ended() {
            return Err(Box::new(ended));
        }
        let process = Arc::clone(&self.process);
        let how = spawn_blocking(move || process.terminate(STOPS_WITHIN)).await??;
        Ok((how, self.process.log_tail()))
    }
}
