//! The one connection of a command: opened late, closed on every way out.

use std::{
    cell::Cell,
    pin::pin,
    time::{Duration, Instant},
};

use outbox::store::{Database, Session, StoreError};

use crate::failure::Failure;

/// Bound of a command that only looks.
pub(crate) const LOOKING: Duration = Duration::from_secs(30);
/// Bound of a command that changes many emails.
pub(crate) const CHANGING: Duration = Duration::from_mins(10);

/// Whether Ctrl-C was pressed: what is done in steps takes no further one.
#[derive(Debug, Default)]
pub(crate) struct Stop(Cell<bool>);

impl Stop {
    pub(crate) fn is_asked_for(&self) -> bool {
        self.0.get()
    }
}

/// Connects, does `work`, and says COM_QUIT, also when the work fails. After Ctrl-C the work may finish the step that is
/// under way, so that it is known what was done; a second one does not wait for that.
pub(crate) async fn with<T>(
    database: &Database,
    limit: Duration,
    work: impl AsyncFnOnce(&mut Session, Instant, &Stop) -> Result<T, StoreError>,
) -> Result<T, Failure> {
    let deadline = Instant::now() + limit;
    let mut session = tokio::select! {
        session = database.connect(deadline) => session.map_err(Failure::connecting)?,
        () = interrupt() => return Err(Failure::interrupted()),
    };
    let stop = Stop::default();
    let result = {
        let mut work = pin!(work(&mut session, deadline, &stop));
        tokio::select! {
            biased;
            () = interrupt() => {
                stop.0.set(true);
                tokio::select! {
                    result = work => result.map_err(Failure::from).and(Err(Failure::interrupted())),
                    () = interrupt() => Err(Failure::interrupted()),
                }
            }
            result = &mut work => result.map_err(Failure::from),
        }
    };
    session.close().await;
    result
}

/// Ready when Ctrl-C is pressed; where the system knows no such thing, never.
pub(crate) async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
