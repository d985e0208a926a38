//! Which operation on a file goes wrong, and how: a counter, and a plan for one of its numbers.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a file is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Bytes are read.
    Read,
    /// A file is opened that must be there.
    Open,
    /// A file is opened, and made where it is missing.
    Create,
    /// Bytes are written.
    Write,
    /// A file is cut off or made longer.
    Truncate,
    /// A file is synced.
    Sync,
    /// A file is deleted.
    Delete,
    /// The index of a write-ahead log grows.
    Grow,
}

/// How an operation goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The device fails.
    Eio,
    /// The disk is full.
    Enospc,
    /// Half of the bytes are written before the device fails.
    Short,
    /// The power goes; only [`power`](crate::power) knows what is left. Nothing works afterwards.
    PowerCut,
}

impl Operation {
    /// Whether it leaves everything as it is.
    fn only_reads(self) -> bool {
        matches!(self, Self::Read | Self::Open)
    }
}

/// Which operations are counted, and which of them fail.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Reads instead of all that changes something.
    pub reads: bool,
    /// The number of the operation that fails, from 1; 0 for none.
    pub at: u64,
    /// Whether all that follow fail as well.
    pub persistent: bool,
    /// How.
    pub fault: Fault,
}

impl Plan {
    /// Nothing fails; changes are counted.
    pub const NONE: Self = Self { reads: false, at: 0, persistent: false, fault: Fault::Eio };
}

#[derive(Debug)]
struct State {
    plan: Option<Plan>,
    counted: u64,
    hits: u64,
}

static STATE: Mutex<State> = Mutex::new(State { plan: None, counted: 0, hits: 0 });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to count, and to fail as planned.
pub fn arm(plan: Plan) {
    *state() = State { plan: Some(plan), counted: 0, hits: 0 };
}

/// Nothing fails any more. Returns how many operations were counted, and how many of them failed.
pub fn disarm() -> (u64, u64) {
    let mut state = state();
    state.plan = None;
    (state.counted, state.hits)
}

/// How many operations have failed since [`arm`].
pub fn hits() -> u64 {
    state().hits
}

/// Whether this operation fails.
pub(crate) fn of(operation: Operation) -> Option<Fault> {
    let mut state = state();
    let plan = state.plan?;
    if plan.fault != Fault::PowerCut && plan.reads != operation.only_reads() {
        return None;
    }
    // Once the power is gone nothing can be read either, but only changes are counted.
    if plan.reads == operation.only_reads() {
        state.counted += 1;
    }
    let fails = match (plan.at, plan.fault) {
        (0, _) => false,
        (at, Fault::PowerCut) => state.hits > 0 || state.counted == at,
        (at, _) => state.counted == at || (plan.persistent && state.counted > at),
    };
    if !fails {
        return None;
    }
    state.hits += 1;
    if plan.fault == Fault::PowerCut && state.hits == 1 {
        crate::power::cut();
    }
    Some(plan.fault)
}
