//! Ringing through SQS: the only module that names `aws_sdk_sqs`.

use std::time::Duration;

use aws_sdk_sqs::{
    Client,
    config::{BehaviorVersion, Config, Region, timeout::TimeoutConfig},
    types::MessageAttributeValue,
};

use crate::{Bell, Lane, Ring, RingError, Rung, aws::AwsAccess, body, sqs};

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
        Self { client: Client::from_conf(config.build()), queues }
    }
}

impl Bell for SqsBell {
    async fn ring(&self, ring: Ring) -> Result<Rung, RingError> {
        let queue = match ring.lane {
            Lane::Urgent => &self.queues.urgent,
            Lane::Bulk => &self.queues.bulk,
        };
        let Some(queue) = queue else {
            return Ok(Rung::NoQueue);
        };
        let mut message = self
            .client
            .send_message()
            .queue_url(queue)
            .message_body(body::write(ring.email_id))
            .delay_seconds(delay_seconds(ring.delay));
        if ring.tries > 0 {
            let count =
                MessageAttributeValue::builder().data_type("Number").string_value(ring.tries.to_string());
            message = message.message_attributes(
                sqs::TRIES,
                // Fails only without a data type.
                count.build().map_err(|error| RingError { lane: ring.lane, source: error.into() })?,
            );
        }
        match message.send().await {
            Ok(_) => Ok(Rung::Yes),
            Err(error) => Err(RingError { lane: ring.lane, source: error.into() }),
        }
    }

    fn lane_of_queue(&self, name: &str) -> Lane {
        let is_bulk = self.queues.bulk.as_deref().and_then(|url| url.rsplit('/').next()) == Some(name);
        if is_bulk { Lane::Bulk } else { Lane::Urgent }
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
