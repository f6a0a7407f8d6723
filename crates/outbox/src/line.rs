//! The one connection of an invocation: opened when it is first needed, replaced when it breaks, always closed. What the
//! invocation measures goes along with it.

use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::{
    measure::{Measured, Metric},
    retry::up_to,
    state::State,
    store::{Database, Record, Session, StoreError, Verdict},
};

/// Kept back for COM_QUIT and the server's good-bye.
const GOOD_BYE: Duration = Duration::from_secs(1);

/// Holds at most one connection.
#[derive(Debug)]
pub(crate) struct Line<'d> {
    database: &'d Database,
    session: Option<Session>,
    began: Instant,
    deadline: Instant,
    /// Connecting failed: nobody is helped by trying again for every doorbell of a batch.
    given_up: bool,
    pub(crate) measured: Measured,
}

impl<'d> Line<'d> {
    pub(crate) fn new(database: &'d Database, deadline: Instant) -> Self {
        let began = Instant::now();
        let left = deadline.saturating_duration_since(began);
        let deadline = began + left.saturating_sub(GOOD_BYE.min(left / 4));
        Self { database, session: None, began, deadline, given_up: false, measured: Measured::default() }
    }

    /// When the invocation's work ends: early enough to say good-bye before the process is stopped.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The time that the invocation had in all.
    pub(crate) fn budget(&self) -> Duration {
        self.deadline.saturating_duration_since(self.began)
    }

    /// Whether an earlier doorbell found that there is no database to reach.
    pub(crate) fn given_up(&self) -> bool {
        self.given_up
    }

    /// The connection, opened if there is none.
    pub(crate) async fn session(&mut self) -> Result<&mut Session, StoreError> {
        if self.session.is_none() {
            let began = Instant::now();
            match self.database.connect(self.deadline).await {
                Ok(session) => {
                    self.measured.took(Metric::ConnectMs, began.elapsed());
                    self.session = Some(session);
                    self.given_up = false;
                }
                Err(error) => {
                    self.given_up = true;
                    return Err(error);
                }
            }
        }
        Ok(self.session.as_mut().expect("was just opened"))
    }

    /// Closes the connection if `error` made it unusable, so that the next use opens another one.
    pub(crate) async fn heal(&mut self, error: &StoreError) {
        if error.ends_session() {
            self.close_session().await;
        }
    }

    /// Writes a record whatever it takes before the deadline: contention is waited out, and a connection that broke
    /// meanwhile is replaced: once, or as often as there is time for it when what would be lost is an acceptance.
    pub(crate) async fn record(
        &mut self,
        record: Record<'_>,
        dice: &mut Rng,
    ) -> Result<Option<State>, StoreError> {
        let (began, deadline) = (Instant::now(), self.deadline);
        let most = if matches!(record.verdict, Verdict::Accepted { .. }) { u32::MAX } else { 1 };
        let mut replaced = 0;
        loop {
            let (error, is_connected) = match self.session().await {
                Ok(session) => match session.record(record, deadline).await {
                    Ok(state) => {
                        self.measured.took(Metric::RecordMs, began.elapsed());
                        return Ok(state);
                    }
                    Err(error) => (error, true),
                },
                // Whatever the server said while it was being logged in at: it may say something else in a moment.
                Err(error) => (error, false),
            };
            self.heal(&error).await;
            let patience = if error.is_contended() {
                Duration::from_millis(50)
            } else if (error.ends_session() || !is_connected) && replaced < most {
                replaced += 1;
                // The first time at once; a server that restarts refuses within microseconds.
                Duration::from_millis(200) * (replaced - 1).min(5)
            } else {
                return Err(error);
            };
            if Instant::now() + patience >= deadline {
                return Err(error);
            }
            tokio::time::sleep(up_to(patience, dice)).await;
        }
    }

    /// Closes the connection, in whatever state a panic left it.
    pub(crate) async fn close_session(&mut self) {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }

    /// Ends the invocation's connection with COM_QUIT; what was measured meanwhile.
    pub(crate) async fn close(mut self) -> Measured {
        self.close_session().await;
        self.measured
    }
}
