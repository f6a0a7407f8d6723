//! Waiting before the next try, longer each time, up to 15 s; and not once more when told to stop.

use std::time::Duration;

use fastrand::Rng;

use crate::stop::Stop;

const FIRST: Duration = Duration::from_millis(500);
/// A broker that is back has work for us: nobody should wait a minute for that.
const LONGEST: Duration = Duration::from_secs(15);

/// What lasted for this long was worth it. Not what only began: a session that is opened and lost at once, again and again,
/// must be opened less and less often.
const WELL_AFTER: Duration = Duration::from_secs(30);

/// How long to wait.
#[derive(Debug)]
pub(crate) struct Patience {
    next: Duration,
    dice: Rng,
}

/// Told to stop meanwhile.
#[derive(Debug)]
pub(crate) struct Stopped;

impl Patience {
    pub(crate) fn new(dice: Rng) -> Self {
        Self { next: FIRST, dice }
    }

    /// It was there for so long. If that was worth it, the next wait is short again.
    pub(crate) fn lasted(&mut self, time: Duration) {
        if time > WELL_AFTER {
            self.next = FIRST;
        }
    }

    /// Waits: half of it surely, the rest by chance.
    pub(crate) async fn wait(&mut self, stop: &Stop) -> Result<(), Stopped> {
        let wait = self.next.mul_f64(0.5 + self.dice.f64() / 2.0);
        self.next = (self.next * 2).min(LONGEST);
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = stop.said() => Err(Stopped),
        }
    }
}
