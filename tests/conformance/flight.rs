//! An invocation under way, that several may wait for.

use std::pin::Pin;

use futures_util::{FutureExt as _, future::Shared};
use stack::runtime_api::{InFlight, Outcome};

/// What will come of an invocation. Each clone can be awaited once, also when the invocation ended long ago.
pub(crate) type Flight = Shared<Pin<Box<dyn Future<Output = Outcome> + Send>>>;

pub(crate) fn of(flight: InFlight) -> Flight {
    let outcome: Pin<Box<dyn Future<Output = Outcome> + Send>> =
        Box::pin(async move { flight.outcome().await.outcome });
    outcome.shared()
}
