//! One connection.

use std::time::Duration;

use lapin::{Channel, Connection, ConnectionProperties};
use tokio::time::timeout;

use super::{trouble, wire::Wire};
use crate::config::BrokerConfig;

/// Bound of the handshake, TLS and AMQP.
const OPEN: Duration = Duration::from_secs(15);

/// Bound of saying goodbye.
const CLOSE: Duration = Duration::from_secs(2);

/// A connection to RabbitMQ. Dropping it ends it, whatever it is doing.
#[derive(Debug)]
pub struct Link {
    connection: Connection,
    wire: Wire,
}

impl Link {
    /// Opens it. `name` is what the broker shows it as.
    ///
    /// # Errors
    ///
    /// Says why, in a sentence without user or password.
    pub async fn open(config: &BrokerConfig, name: &str) -> Result<Self, String> {
        let runtime = lapin::runtime::default_runtime().map_err(|error| error.to_string())?;
        let (wire, failed) = Wire::new();
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let (kept, place) = (wire.clone(), config.clone());
        let connecting = Connection::connector(
            config.uri.clone(),
            runtime,
            async move |_, runtime| Ok(kept.connect(&place, &runtime).await?),
            properties,
        );
        let opened = tokio::select! {
            opened = timeout(OPEN, connecting) => match opened {
                Ok(opened) => opened.map_err(|error| trouble::opening(&error, config)),
                Err(_) => Err(trouble::no_answer(config)),
            },
            // Said as it was, before lapin wraps it up.
            Ok(error) = failed => Err(trouble::connecting(&error, config)),
        };
        match opened {
            Ok(connection) => Ok(Self { connection, wire }),
            Err(reason) => {
                wire.abandon();
                Err(reason)
            }
        }
    }

    /// A channel of its own.
    ///
    /// # Errors
    ///
    /// As lapin says; when the connection is lost, at once.
    pub async fn channel(&self) -> lapin::Result<Channel> {
        self.connection.create_channel().await
    }

    /// Whether it is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connection.status().connected()
    }

    /// Whether the broker has said that it takes nothing.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Ends it at once.
    pub fn cut(&self) {
        self.wire.abandon();
    }

    /// Says goodbye, where somebody listens.
    pub async fn close(&self) {
        let _ = timeout(CLOSE, self.connection.close(200, "told to stop".into())).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.wire.abandon();
    }
}
