//! One queue: consumes, forms batches, and keeps their invocations under way.
//!
//! It has a channel of its own, so that what is wrong with one queue never stops another. Whatever goes wrong with the
//! channel ends it, with all that it had not acknowledged; the broker delivers that again when the queue is set up anew.

mod flight;

use std::{
    collections::VecDeque,
    pin::Pin,
    time::{Duration, Instant},
};

use fastrand::Rng;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::time::{sleep_until, timeout};

use crate::{
    batch::BODY_BYTES,
    broker::{Session, trouble},
    config::BridgeConfig,
    event,
    function::Function,
    letter,
    patience::Patience,
    status::Status,
    stop::Stop,
    topology,
};

/// Bound of setting a queue up, and of each answer of the broker when it is left.
const SET_UP: Duration = Duration::from_secs(20);
const LEAVE: Duration = Duration::from_secs(3);

/// Bound of telling the broker what became of a batch.
const TELL: Duration = Duration::from_secs(10);

const TAG: &str = "sendonce-bridge";

/// Serves one queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Worker<'a> {
    pub(crate) config: &'a BridgeConfig,
    pub(crate) session: &'a Session,
    pub(crate) function: &'a Function,
    pub(crate) status: &'a Status,
    pub(crate) stop: &'a Stop,
    pub(crate) queue: &'a str,
}

/// A message that is not acknowledged.
#[derive(Debug)]
struct Item {
    delivery: Delivery,
    tries: u32,
    /// As it stands in the event; nothing where it is too large for one.
    json: Vec<u8>,
    since: Instant,
}

impl Item {
    fn of(delivery: Delivery, since: Instant) -> Self {
        let tries = letter::tries(&delivery.properties);
        let json = if delivery.data.len() > BODY_BYTES {
            Vec::new()
        } else {
            event::message(&delivery.properties, delivery.redelivered, &delivery.data)
        };
        Self { delivery, tries, json, since }
    }

    /// Whether the broker still waits for its acknowledgement.
    fn is_ours(&self) -> bool {
        self.delivery.acker.usable()
    }

    fn weight(&self) -> (u32, usize) {
        (self.tries, self.json.len())
    }
}

/// What is under way: how many invocations it is, and what is wrong with the queue.
type Flight<'f> = Pin<Box<dyn Future<Output = (usize, Result<(), String>)> + 'f>>;

impl Worker<'_> {
    /// Serves it until told to stop, or until the session is lost.
    pub(crate) async fn keep(self, mut dice: Rng) {
        let mut patience = Patience::new(dice.fork());
        loop {
            let start = Instant::now();
            let Err(reason) = self.serve(&dice.fork()).await else { return };
            // With the connection everything goes, and that is said elsewhere.
            if !self.session.is_up() {
                return;
            }
            self.status.queue_is_bad(self.queue, &reason);
            patience.lasted(start.elapsed());
            if patience.wait(self.stop).await.is_err() || !self.session.is_up() {
                return;
            }
        }
    }

    async fn serve(&self, dice: &Rng) -> Result<(), String> {
        let set_up = tokio::select! {
            set_up = timeout(SET_UP, self.set_up()) => set_up,
            () = self.stop.said() => return Ok(()),
        };
        let (channel, consumer) =
            set_up.unwrap_or_else(|_| Err(format!("queue {}: the broker does not answer", self.queue)))?;
        self.status.queue_is_good(self.queue);
        let end = self.pump(&channel, consumer, dice).await;
        // Gives back what is not acknowledged, unless the channel is gone already.
        let _ = timeout(LEAVE, channel.close(200, "left".into())).await;
        end
    }

    async fn set_up(&self) -> Result<(Channel, Consumer), String> {
        let vhost = &self.config.broker.uri.vhost;
        let said = |error: &lapin::Error| trouble::consuming(error, self.queue);
        let channel = self.session.consume.channel().await.map_err(|error| said(&error))?;
        let prepared = topology::prepare(&channel, self.queue, &self.config.retries).await;
        prepared.map_err(|error| trouble::queue(&error, vhost))?;
        let prefetch = channel.basic_qos(self.config.prefetch, BasicQosOptions::default()).await;
        prefetch.map_err(|error| said(&error))?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume(self.queue.into(), TAG.into(), options, none).await;
        Ok((channel, consumer.map_err(|error| said(&error))?))
    }

    /// Takes what comes and sends it off, until told to stop or the channel ends; then waits for what is under way.
    async fn pump(&self, channel: &Channel, mut consumer: Consumer, dice: &Rng) -> Result<(), String> {
        let mut waiting = VecDeque::new();
        let mut flights: FuturesUnordered<Flight<'_>> = FuturesUnordered::new();
        let mut dice = dice.clone();
        let mut under_way = 0;
        let end = loop {
            let may_leave = under_way < self.config.invocations && !waiting.is_empty();
            let due =
                waiting.front().map_or_else(Instant::now, |first: &Item| first.since + self.config.window);
            tokio::select! {
                biased;
                () = self.stop.said() => break Ok(()),
                Some((ended, done)) = flights.next(), if !flights.is_empty() => {
                    under_way -= ended;
                    if let Err(reason) = done {
                        break Err(reason);
                    }
                }
                next = consumer.next(), if !(may_leave && self.is_full(&waiting)) => match next {
                    Some(Ok(delivery)) => {
                        self.status.count(|counts| counts.received += 1);
                        let item = Item::of(delivery, Instant::now());
                        if item.json.is_empty() {
                            flights.push(Box::pin(async move { (0, self.bury_too_large(item).await) }));
                        } else {
                            waiting.push_back(item);
                        }
                    }
                    Some(Err(error)) => break Err(trouble::consuming(&error, self.queue)),
                    None => break Err(format!("queue {} is gone, or the broker wants nobody to read it", self.queue)),
                },
                () = sleep_until(due.into()), if may_leave => {
                    // What came before the connection was lost comes again.
                    waiting.retain(Item::is_ours);
                    let batch = self.config.limits.take(&mut waiting, Item::weight);
                    if !batch.is_empty() {
                        under_way += 1;
                        let dice = dice.fork();
                        flights.push(Box::pin(async move { (1, self.fly(batch, dice).await) }));
                    }
                }
            }
        };
        match &end {
            Ok(()) => self.give_back(channel, &mut consumer, waiting).await,
            // What is under way may take its time.
            Err(reason) if self.session.is_up() => self.status.queue_is_bad(self.queue, reason),
            Err(_) => {}
        }
        while flights.next().await.is_some() {}
        end
    }

    fn is_full(&self, waiting: &VecDeque<Item>) -> bool {
        self.config.limits.is_full(waiting, |item| item.tries)
    }

    /// Asks for no more, and returns what nobody has begun with.
    async fn give_back(&self, channel: &Channel, consumer: &mut Consumer, waiting: VecDeque<Item>) {
        let cancelled = timeout(LEAVE, channel.basic_cancel(TAG.into(), BasicCancelOptions::default())).await;
        let mut deliveries: Vec<Delivery> = waiting.into_iter().map(|item| item.delivery).collect();
        if matches!(cancelled, Ok(Ok(()))) {
            while let Ok(Some(Ok(delivery))) = timeout(LEAVE, consumer.next()).await {
                deliveries.push(delivery);
            }
        }
        requeue(&deliveries).await;
    }
}

/// Gives messages back to their queue, at once and without a count. Where that fails, the channel's end does it.
async fn requeue(deliveries: impl IntoIterator<Item = &Delivery>) {
    let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
    // Only where the channel is left anyway.
    let _ = within_reason(async {
        for delivery in deliveries {
            let _ = delivery.acker.nack(options).await;
        }
    })
    .await;
}

/// Tells the broker something. On a connection that is just being lost lapin may never come back from that, and whoever
/// waits for it would never connect again. An error ends the channel, and with it what the broker was not told.
async fn within_reason(telling: impl Future<Output = ()>) -> Result<(), String> {
    timeout(TELL, telling).await.map_err(|_| "the broker takes no acknowledgements".to_owned())
}
