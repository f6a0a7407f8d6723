//! A request that is late does not leave.
//!
//! Whoever calls has seen that the lease outlasts the call's time-out. But a process may be frozen after it looked and
//! before the request is written, and wake when the email is another attempt's. So the clock is read once more at the last
//! moment the SDK offers: after it, only an established or new connection stands between the request and SES.

use std::time::Instant;

use aws_sdk_sesv2::{
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextRef},
    error::BoxError,
};

/// Lets the request pass until `leave_by`.
#[derive(Debug)]
pub(super) struct Punctual {
    pub(super) leave_by: Instant,
}

/// The time of the call was over before its request left: it certainly was not sent.
#[derive(Debug, thiserror::Error)]
#[error("the time of the call was over before the request left")]
pub(super) struct TooLate;

impl Intercept for Punctual {
    fn name(&self) -> &'static str {
        "Punctual"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if Instant::now() < self.leave_by { Ok(()) } else { Err(TooLate.into()) }
    }
}
