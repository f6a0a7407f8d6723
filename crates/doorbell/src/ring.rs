//! Ringing through SQS: the only module that names `aws_sdk_sqs`.

mod backlog;
mod dead_letter;

use std::{collections::HashMap, time::Duration};

use aws_sdk_sqs::{
    Client,
    config::{BehaviorVersion, Config, Region, timeout::TimeoutConfig},
    types::{
        MessageAttributeValue, MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
        SendMessageBatchRequestEntry,
    },
};

pub use self::{backlog::SqsBacklog, dead_letter::DeadLetterQueue};
use crate::{Bell, Lane, Ring, RingError, Rung, aws::AwsAccess, body, sqs, trace::Trace};

/// The queues of the two lanes.
#[derive(Debug, Clone, Default)]
pub struct Queues {
    /// URL of the urgent lane's queue; `None`: leave its emails to the sweep.
    pub urgent: Option<String>,
    /// URL of the bulk lane's queue; `None`: leave its emails to the sweep.
    pub bulk: Option<String>,
}

/// Rings through SQS. Built once an environment. Unlike sending, ringing twice does no harm, so the SDK may retry.
#[derive(Debug, Clone)]
pub struct SqsBell {
    client: Client,
    queues: Queues,
    gives_back: bool,
}

impl SqsBell {
    /// Bound of one ring, the SDK's retries included.
    pub const TIMEOUT: Duration = Duration::from_secs(4);

    /// A bell for these queues. `endpoint_url` overrides SQS's own endpoint.
    #[must_use]
    pub fn new(access: &AwsAccess, endpoint_url: Option<&str>, queues: Queues) -> Self {
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(access.region.clone()))
            .credentials_provider(access.credentials.clone())
            .http_client(access.http_client.clone())
            .timeout_config(TimeoutConfig::builder().operation_timeout(Self::TIMEOUT).build());
        if let Some(url) = endpoint_url {
            config = config.endpoint_url(url);
        }
        Self { client: Client::from_conf(config.build()), queues, gives_back: false }
    }

    /// The same for doorbells that come from a broker: it keeps those that could not be looked at. See
    /// [`Bell::gives_back`].
    #[must_use]
    pub fn giving_back(mut self) -> Self {
        self.gives_back = true;
        self
    }
}

impl SqsBell {
    fn queue(&self, lane: Lane) -> Option<&str> {
        match lane {
            Lane::Urgent => self.queues.urgent.as_deref(),
            Lane::Bulk => self.queues.bulk.as_deref(),
        }
    }

    /// Rings for up to ten of one lane with one call.
    async fn ring_ten(
        &self,
        queue: &str,
        rings: &[(usize, &Ring)],
        results: &mut [Option<Result<Rung, RingError>>],
    ) -> bool {
        let entries = rings.iter().map(|(index, ring)| {
            SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(body::write(ring.email_id))
                .delay_seconds(delay_seconds(ring.delay))
                .set_message_attributes(attributes(ring))
                .set_message_system_attributes(system_attributes(ring.trace.as_deref()))
                .build()
                // Fails only without an id.
                .expect("it has an id")
        });
        let call = self.client.send_message_batch().queue_url(queue).set_entries(Some(entries.collect()));
        match call.send().await {
            Ok(taken) => {
                for entry in taken.successful() {
                    if let Some(result) =
                        entry.id().parse().ok().and_then(|index: usize| results.get_mut(index))
                    {
                        *result = Some(Ok(Rung::Yes));
                    }
                }
                true
            }
            Err(error) => {
                let (index, ring) = rings[0];
                results[index] = Some(Err(RingError { lane: ring.lane, source: error.into() }));
                false
            }
        }
    }
}

/// The count of rings in vain, none for a first ring, and the trace.
fn attributes(ring: &Ring) -> Option<HashMap<String, MessageAttributeValue>> {
    let tries = (ring.tries > 0).then(|| (sqs::TRIES, "Number", ring.tries.to_string()));
    let trace = ring.trace.iter().flat_map(|trace| trace.attributes());
    let trace = trace.map(|(name, value)| (name, "String", value.to_owned()));
    let named = tries.into_iter().chain(trace).filter_map(|(name, kind, value)| {
        // Building fails only without a data type.
        let value = MessageAttributeValue::builder().data_type(kind).string_value(value).build().ok()?;
        Some((name.to_owned(), value))
    });
    Some(named.collect()).filter(|named: &HashMap<_, _>| !named.is_empty())
}

/// X-Ray's header. The SDK names the invocation that rings in a header of its own; this names who rang first.
fn system_attributes(
    trace: Option<&Trace>,
) -> Option<HashMap<MessageSystemAttributeNameForSends, MessageSystemAttributeValue>> {
    let value = MessageSystemAttributeValue::builder().data_type("String").string_value(trace?.xray()?);
    // Building fails only without a data type.
    Some([(MessageSystemAttributeNameForSends::AwsTraceHeader, value.build().ok()?)].into())
}

/// The most entries that SQS takes in one call.
const ENTRIES: usize = 10;

impl Bell for SqsBell {
    async fn ring(&self, ring: Ring) -> Result<Rung, RingError> {
        let Some(queue) = self.queue(ring.lane) else {
            return Ok(Rung::NoQueue);
        };
        let message = self
            .client
            .send_message()
            .queue_url(queue)
            .message_body(body::write(ring.email_id))
            .delay_seconds(delay_seconds(ring.delay))
            .set_message_attributes(attributes(&ring))
            .set_message_system_attributes(system_attributes(ring.trace.as_deref()));
        match message.send().await {
            Ok(_) => Ok(Rung::Yes),
            Err(error) => Err(RingError { lane: ring.lane, source: error.into() }),
        }
    }

    async fn ring_all(&self, rings: &[Ring]) -> Vec<Result<Rung, RingError>> {
        let mut results: Vec<Option<Result<Rung, RingError>>> = rings.iter().map(|_| None).collect();
        for lane in [Lane::Urgent, Lane::Bulk] {
            let of_lane: Vec<_> = rings.iter().enumerate().filter(|(_, ring)| ring.lane == lane).collect();
            let Some(queue) = self.queue(lane) else {
                for (index, _) in of_lane {
                    results[index] = Some(Ok(Rung::NoQueue));
                }
                continue;
            };
            for ten in of_lane.chunks(ENTRIES) {
                // A queue that cannot be reached is not asked again for every ten of a thousand.
                if !self.ring_ten(queue, ten, &mut results).await {
                    break;
                }
            }
        }
        let refused = |lane| RingError { lane, source: "not taken with the others of its batch".into() };
        results
            .into_iter()
            .zip(rings)
            .map(|(result, ring)| result.unwrap_or_else(|| Err(refused(ring.lane))))
            .collect()
    }

    fn lane_of_queue(&self, name: &str) -> Lane {
        let is_bulk = self.queues.bulk.as_deref().and_then(|url| url.rsplit('/').next()) == Some(name);
        if is_bulk { Lane::Bulk } else { Lane::Urgent }
    }

    fn gives_back(&self, lane: Lane) -> bool {
        self.gives_back && self.queue(lane).is_none()
    }
}

/// SQS delays in whole seconds, at most 900. Rounded up: a doorbell that comes early would find nothing to do.
fn delay_seconds(delay: Duration) -> i32 {
    const LONGEST: u64 = 900;
    let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
    i32::try_from(seconds.min(LONGEST)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::delay_seconds;

    #[test]
    fn delays_are_whole_seconds_rounded_up_and_capped() {
        let millis = [(0, 0), (1, 1), (1000, 1), (1001, 2), (900_000, 900), (10_000_000, 900)];
        for (delay, expected) in millis {
            assert_eq!(delay_seconds(Duration::from_millis(delay)), expected);
        }
    }
}
