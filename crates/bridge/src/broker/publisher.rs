//! Messages that are put aside: confirmed by the broker, or not published.

use std::time::Duration;

use futures_util::future::try_join_all;
use lapin::{
    BasicProperties, Channel, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tokio::{sync::Mutex, time::timeout};

use super::{Link, trouble};

/// Bound of one group. A broker that is short of memory takes nothing until it is not.
const PUBLISH: Duration = Duration::from_mins(1);

/// A message and the queue that it is put into.
#[derive(Debug)]
pub struct Letter<'a> {
    /// The queue.
    pub queue: String,
    /// Its properties.
    pub properties: BasicProperties,
    /// Its body.
    pub body: &'a [u8],
}

/// Publishes.
#[derive(Debug)]
pub struct Publisher {
    link: Link,
    channel: Mutex<Option<Channel>>,
}

impl Publisher {
    /// Through this connection.
    #[must_use]
    pub fn new(link: Link) -> Self {
        Self { link, channel: Mutex::new(None) }
    }

    /// Its connection.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Publishes all, or at least one is not and then none counts as published.
    ///
    /// A message that found no queue comes back, but does not say which one it was. So only one group is on its way at a
    /// time, and what came back is blamed on all of it.
    ///
    /// # Errors
    ///
    /// Says why, in a sentence.
    pub async fn publish(&self, letters: Vec<Letter<'_>>) -> Result<(), String> {
        let mut kept = self.channel.lock().await;
        let published = timeout(PUBLISH, self.try_to(&mut kept, letters)).await;
        let published =
            published.unwrap_or_else(|_| Err("the broker did not confirm a message in time".to_owned()));
        if published.is_err() {
            // What is still to come back on this channel must not be blamed on the next group.
            *kept = None;
        }
        published
    }

    async fn try_to(&self, kept: &mut Option<Channel>, letters: Vec<Letter<'_>>) -> Result<(), String> {
        let channel = if let Some(channel) = kept.take().filter(|channel| channel.status().connected()) {
            channel
        } else {
            let channel = self.link.channel().await.map_err(|error| trouble::publishing(&error))?;
            let select = channel.confirm_select(ConfirmSelectOptions::default()).await;
            select.map_err(|error| trouble::publishing(&error))?;
            channel
        };
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let mut confirms = Vec::with_capacity(letters.len());
        for Letter { queue, properties, body } in letters {
            let sent =
                channel.basic_publish("".into(), queue.as_str().into(), options, body, properties).await;
            confirms.push(sent.map_err(|error| trouble::publishing(&error))?);
        }
        let confirmed = try_join_all(confirms).await.map_err(|error| trouble::publishing(&error))?;
        for confirmation in confirmed {
            match confirmation {
                Confirmation::Ack(None) => {}
                Confirmation::Ack(Some(back)) | Confirmation::Nack(Some(back)) => {
                    return Err(format!("queue {} is not there", back.routing_key));
                }
                Confirmation::Nack(None) | Confirmation::NotRequested => {
                    return Err("the broker did not take a message for a queue of the bridge".to_owned());
                }
            }
        }
        *kept = Some(channel);
        Ok(())
    }
}
