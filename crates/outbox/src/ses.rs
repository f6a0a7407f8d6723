//! The adapter to Amazon SES v2: builds one `SendEmail`, makes the call once, says what is known afterwards.
//!
//! SES has no idempotency token: a request repeated is an email repeated. So the SDK's retries are off, and
//! every answer is classified exactly once, in `classify`: accepted, certainly not sent, or unknown. When in doubt it is
//! unknown, because SES's own Send event, which carries the tags `email_id` and `attempt_id`, can still resolve it.

mod classify;
mod punctual;
mod request;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    time::{Duration, Instant},
};

use aws_sdk_sesv2::{
    Client,
    config::{
        BehaviorVersion, IdentityCache, Region, StalledStreamProtectionConfig, retry::RetryConfig,
        timeout::TimeoutConfig,
    },
    operation::send_email::builders::SendEmailFluentBuilder,
};
use doorbell::aws::AwsAccess;

pub use self::classify::{
    ACCESS_REST, ACCOUNT_REST, NO_CONNECTION_REST, NOT_FOUND_REST, QUOTA_REST, THROTTLED_REST,
};
use self::punctual::Punctual;
use crate::{
    email::Email,
    mailer::{Mailer, Refusal, SendOutcome},
    state::AttemptId,
};

/// How to reach SES, and how every email is sent.
#[derive(Debug, Clone)]
pub struct SesConfig {
    /// Where SES answers when it is not the region's own endpoint: `AWS_ENDPOINT_URL_SESV2`, else `AWS_ENDPOINT_URL`.
    pub endpoint_url: Option<String>,
    /// The configuration set of every send: `CONFIGURATION_SET`.
    pub configuration_set: Option<String>,
    /// Bound of TCP connect and TLS handshake together. Failing there is certain (not sent), later is not, so it should
    /// be well below the bound of the call.
    pub connect_timeout: Duration,
}

/// Sends through SES. Built once an environment; holds no connection until the first call.
#[derive(Clone)]
pub struct SesMailer {
    client: Client,
    configuration_set: Option<String>,
}

impl SesMailer {
    /// A mailer with the credentials, the region and the HTTP client of `access`.
    #[must_use]
    pub fn new(access: &AwsAccess, config: SesConfig) -> Self {
        let mut builder = aws_sdk_sesv2::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(access.region.clone()))
            .credentials_provider(access.credentials.clone())
            // They stand in memory already.
            .identity_cache(IdentityCache::no_cache())
            .http_client(access.http_client.clone())
            .retry_config(RetryConfig::disabled())
            // A stream that stalls is a time-out like any other: `call` bounds the whole exchange.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(config.connect_timeout).build());
        builder.set_endpoint_url(config.endpoint_url);
        Self { client: Client::from_conf(builder.build()), configuration_set: config.configuration_set }
    }
}

impl fmt::Debug for SesMailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SesMailer")
            .field("configuration_set", &self.configuration_set)
            .finish_non_exhaustive()
    }
}

/// A request that is ready to leave.
pub struct PreparedEmail(SendEmailFluentBuilder);

impl fmt::Debug for PreparedEmail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The builder shows addresses and bodies.
        f.write_str("PreparedEmail(…)")
    }
}

impl Mailer for SesMailer {
    type Prepared = PreparedEmail;

    fn prepare(&self, email: &Email, attempt: &AttemptId) -> Result<PreparedEmail, Refusal> {
        let request = request::build(self.client.send_email(), email, attempt)?;
        Ok(PreparedEmail(request.set_configuration_set_name(self.configuration_set.clone())))
    }

    async fn call(&self, request: PreparedEmail, timeout: Duration) -> SendOutcome {
        // A bound around the whole call, not the SDK's own: a time-out that differs from call to call would have to be
        // merged into its configuration each time. Whoever gives up here cannot know whether the request had left.
        let punctual = Punctual { leave_by: Instant::now() + timeout };
        match tokio::time::timeout(timeout, request.0.customize().interceptor(punctual).send()).await {
            Ok(result) => classify::classify(result),
            Err(_elapsed) => classify::timed_out(timeout),
        }
    }
}
