//! A bell that is not rung again once its queue could not be reached.

use std::sync::atomic::{AtomicBool, Ordering};

use doorbell::{Bell, Lane, Ring, RingError, Rung};

/// Rings as long as a lane is not muted. Emails that are sent because their queue cannot be rung would each wait for that
/// queue once more, to be rung again when they cannot be sent either.
#[derive(Debug)]
pub(super) struct MutedBell<B> {
    bell: B,
    urgent: AtomicBool,
    bulk: AtomicBool,
}

impl<B> MutedBell<B> {
    pub(super) fn of(bell: B) -> Self {
        Self { bell, urgent: AtomicBool::new(false), bulk: AtomicBool::new(false) }
    }

    pub(super) fn inner(&self) -> &B {
        &self.bell
    }

    pub(super) fn mute(&self, lane: Lane) {
        self.of_lane(lane).store(true, Ordering::Relaxed);
    }

    pub(super) fn unmute(&self) {
        self.urgent.store(false, Ordering::Relaxed);
        self.bulk.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_muted(&self, lane: Lane) -> bool {
        self.of_lane(lane).load(Ordering::Relaxed)
    }

    /// The names of the lanes that are.
    pub(super) fn muted(&self) -> Vec<&'static str> {
        let lanes = [Lane::Urgent, Lane::Bulk].into_iter().filter(|lane| self.is_muted(*lane));
        lanes.map(Lane::as_str).collect()
    }

    fn of_lane(&self, lane: Lane) -> &AtomicBool {
        match lane {
            Lane::Urgent => &self.urgent,
            Lane::Bulk => &self.bulk,
        }
    }
}

impl<B: Bell + Sync> Bell for MutedBell<B> {
    async fn ring(&self, ring: Ring) -> Result<Rung, RingError> {
        if self.is_muted(ring.lane) { Ok(Rung::NoQueue) } else { self.bell.ring(ring).await }
    }

    async fn ring_all(&self, rings: &[Ring]) -> Vec<Result<Rung, RingError>> {
        self.bell.ring_all(rings).await
    }

    fn lane_of_queue(&self, name: &str) -> Lane {
        self.bell.lane_of_queue(name)
    }
}
