//! A gate that holds something up until a test lets it go on.
//!
//! Tests step what they test: they wait until it *arrived* somewhere, do something, and release it. Nothing
//! sleeps and hopes.

use std::sync::Arc;

use tokio::sync::watch;

/// Holds whatever reaches it until [`Gate::release`]. Clones are handles to the same gate.
///
/// A gate starts closed. Once released it stays open.
#[derive(Clone, Debug)]
pub struct Gate {
    arrivals: Arc<watch::Sender<usize>>,
    open: Arc<watch::Sender<bool>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self { arrivals: Arc::new(watch::Sender::new(0)), open: Arc::new(watch::Sender::new(false)) }
    }

    /// Waits until something is, or has been, held here.
    pub async fn reached(&self) {
        self.reached_by(1).await;
    }

    /// Waits until `count` things have arrived here.
    pub async fn reached_by(&self, count: usize) {
        let mut arrivals = self.arrivals.subscribe();
        // The sender lives in `self`, so the wait cannot end by its loss.
        let _ = arrivals.wait_for(|seen| *seen >= count).await;
    }

    /// How many things have arrived here, released or not.
    #[must_use]
    pub fn arrivals(&self) -> usize {
        *self.arrivals.borrow()
    }

    /// Lets everything pass, now and from now on.
    pub fn release(&self) {
        self.open.send_replace(true);
    }

    /// What is held calls this: it counts as an arrival, and returns once the gate is open.
    pub async fn pass(&self) {
        self.arrivals.send_modify(|seen| *seen += 1);
        let mut open = self.open.subscribe();
        let _ = open.wait_for(|open| *open).await;
    }
}

#[cfg(test)]
mod tests {
    use super::Gate;

    #[tokio::test]
    async fn holds_until_released() {
        let gate = Gate::new();
        let held = tokio::spawn({
            let gate = gate.clone();
            async move { gate.pass().await }
        });
        gate.reached().await;
        tokio::task::yield_now().await;
        assert!(!held.is_finished(), "passed a closed gate");
        gate.release();
        held.await.unwrap();
        assert_eq!(gate.arrivals(), 1);
    }
}
