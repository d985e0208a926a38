//! Where a projection stands.

use std::{sync::Arc, time::Duration};

use crate::{Error, Rebuilding};

/// Where a projection or reactor stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// The position up to which it has handled the log; that of its partition that is farthest behind.
    pub checkpoint: u64,
    /// The position of the log's last event.
    pub head: u64,
    /// How many events of the log it has not looked at.
    pub lag_events: u64,
    /// How long ago the last event it has handled was recorded, by the store's clock: nothing when it has looked at
    /// everything, `None` as long as it has handled no event.
    pub lag: Option<Duration>,
    /// Events handled in a second, over the last ten seconds.
    pub rate: f64,
}

/// What a projection or reactor is doing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum State {
    /// It has not handled a page yet.
    Starting,
    /// It handles what was recorded before.
    CatchingUp,
    /// It has looked at everything there was.
    Live,
    /// Someone else runs it, and would be followed by this one.
    Standby,
    /// It was told to [pause](crate::Running::pause).
    Paused,
    /// It is made again from all events, beside the present one.
    Rebuilding(Rebuilding),
    /// It stopped at this error; the others go on. [`Running::resume`](crate::Running::resume) tries again.
    Faulted(Arc<Error>),
}
