//! Being told to stop: SIGTERM and SIGINT.

use std::{io, process};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Whether somebody said stop. Each part has one of its own.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Said by the first signal. The second one ends the process at once.
    ///
    /// # Errors
    ///
    /// When the system lets nobody listen to signals.
    pub fn on_signals() -> io::Result<Self> {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (said, stop) = watch::channel(false);
        tokio::spawn(async move {
            for times in 0.. {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if times > 0 {
                    tracing::warn!("stopped at once; what was under way comes again");
                    process::exit(130);
                }
                tracing::info!("stopping");
                // Nobody may be left to hear it.
                let _ = said.send(true);
            }
        });
        Ok(Self(stop))
    }

    /// Waits until it is said.
    pub async fn said(&self) {
        // Who could say it lives as long as the process.
        let _ = self.0.clone().wait_for(|said| *said).await;
    }

    /// Whether it was said.
    #[must_use]
    pub fn was_said(&self) -> bool {
        *self.0.borrow()
    }
}
