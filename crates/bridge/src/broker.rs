//! RabbitMQ: the only module, with those below it, that opens a connection.
//!
//! Heartbeats, TLS, confirms and prefetch are lapin's. Its automatic recovery is not used: see
//! `docs/decisions/0011-bridge.md`. A connection that is lost ends everything that stood on it, and all starts over as it
//! did at first; so each queue is set up by itself again, and one that has vanished meanwhile does not keep the others.
//!
//! Messages are published through a connection of their own: a broker that is short of memory reads no more from one that
//! publishes, and acknowledgements would wait in it.

mod link;
mod publisher;
pub mod trouble;
mod wire;

use std::time::Duration;

pub use self::{
    link::Link,
    publisher::{Letter, Publisher},
};
use crate::config::BrokerConfig;

/// How often it is looked at whether both are up: lapin tells consumers of an end, but not who publishes now and then.
const GLANCE: Duration = Duration::from_millis(250);

/// Both connections.
#[derive(Debug)]
pub struct Session {
    /// The one that messages come through.
    pub consume: Link,
    /// The one that they are put aside through.
    pub publisher: Publisher,
}

impl Session {
    /// Opens both.
    ///
    /// # Errors
    ///
    /// Says why, in a sentence without user or password.
    pub async fn open(config: &BrokerConfig) -> Result<Self, String> {
        let consume = Link::open(config, "sendonce-bridge").await?;
        let publisher = Publisher::new(Link::open(config, "sendonce-bridge (puts aside)").await?);
        Ok(Self { consume, publisher })
    }

    /// Whether both are up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.consume.is_connected() && self.publisher.link().is_connected()
    }

    /// Waits until one is lost, and ends the other. Meanwhile tells when the broker takes no messages, and when it does
    /// again: one that is short of memory or disk says so to whoever publishes, and delivers on.
    pub async fn lost(&self, mut is_blocked: impl FnMut(bool)) {
        let mut before = false;
        while self.is_up() {
            let now = self.publisher.link().is_blocked();
            if now != before {
                before = now;
                is_blocked(now);
            }
            tokio::time::sleep(GLANCE).await;
        }
        self.consume.cut();
        self.publisher.link().cut();
    }

    /// Says goodbye, where somebody listens.
    pub async fn close(&self) {
        futures_util::future::join(self.consume.close(), self.publisher.link().close()).await;
    }
}
