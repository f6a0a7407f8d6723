//! A PUT to an address that was handed in, such as CloudFormation's: the address itself is the permission.
//!
//! So it is a secret, and in no log line and no error. No SDK has a call for it; the HTTP client underneath does.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::{http::HttpConnector as _, orchestrator::HttpRequest};

use crate::aws::{self, CaBundleError};

/// Bound of one request.
const REQUEST: Duration = Duration::from_secs(5);
/// Between one request and the next.
const PAUSE: Duration = Duration::from_millis(500);

/// The HTTP client for such addresses.
#[derive(Debug)]
pub struct Presigned {
    connector: Connector,
}

/// What was put did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPut {
    /// The address is not one.
    #[error("the address to answer to cannot be read")]
    Address,
    /// Whoever answers there refused it.
    #[error("the answer was refused with HTTP status {0}")]
    Refused(u16),
    /// Nobody took it.
    #[error("nobody took the answer: is there a way to S3 from here?")]
    Unreachable,
}

impl Presigned {
    /// A client that trusts the certificates of `ca_bundle`, or the embedded ones. Speaks `http://` as well as `https://`.
    ///
    /// # Errors
    ///
    /// [`CaBundleError`].
    pub fn new(ca_bundle: Option<&Path>) -> Result<Self, CaBundleError> {
        Ok(Self { connector: aws::connector(ca_bundle)? })
    }

    /// Puts `body` there, and again until somebody has taken it or `deadline` is near.
    ///
    /// # Errors
    ///
    /// [`NotPut`].
    pub async fn put(&self, address: &str, body: &str, deadline: Instant) -> Result<(), NotPut> {
        loop {
            let failure = match tokio::time::timeout(REQUEST, self.try_put(address, body)).await {
                Ok(Err(failure)) => failure,
                Ok(Ok(())) => return Ok(()),
                Err(_) => NotPut::Unreachable,
            };
            // A status below 500 will not change: an address has expired, say.
            let is_final = matches!(failure, NotPut::Address | NotPut::Refused(..=499));
            if is_final || Instant::now() + PAUSE >= deadline {
                return Err(failure);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_put(&self, address: &str, body: &str) -> Result<(), NotPut> {
        let mut request = HttpRequest::new(body.into());
        request.set_method("PUT").map_err(|_| NotPut::Address)?;
        request.set_uri(address).map_err(|_| NotPut::Address)?;
        // No content type: it would be part of what was signed.
        let response = self.connector.call(request).await.map_err(|_| NotPut::Unreachable)?;
        let status = response.status();
        if status.is_success() { Ok(()) } else { Err(NotPut::Refused(status.as_u16())) }
    }
}
