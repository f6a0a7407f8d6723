//! Faults that a test scripts.

use std::collections::VecDeque;

use crate::gate::Gate;
use crate::proxy::How;

/// What happens to a request for a function that is there.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status with the error that Lambda sends with it: 429, 500 and 503 above all. The function does not run.
    Status(u16),
    /// The connection is cut when the request has been read. The function does not run.
    CutBefore(How),
    /// The function runs; then the connection is cut without an answer.
    CutAfter(How),
    /// The request is held until the gate is released, and then served.
    Hold(Gate),
    /// The function runs; its answer is held until the gate is released.
    HoldAnswer(Gate),
    /// The answer of a function that failed. It does not run.
    FunctionError {
        /// The error's type.
        kind: String,
        /// What it says.
        message: String,
    },
}

/// The scripts not used up yet.
#[derive(Debug, Default)]
pub(super) struct Scripts(VecDeque<(usize, Fault)>);

impl Scripts {
    pub(super) fn add(&mut self, times: usize, fault: Fault) {
        if times > 0 {
            self.0.push_back((times, fault));
        }
    }

    pub(super) fn take(&mut self) -> Option<Fault> {
        let (times, fault) = self.0.front_mut()?;
        *times -= 1;
        if *times > 0 {
            return Some(fault.clone());
        }
        self.0.pop_front().map(|(_, fault)| fault)
    }

    pub(super) fn unused(&self) -> usize {
        self.0.len()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
