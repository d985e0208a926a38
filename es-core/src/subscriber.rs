//! What a runner keeps up to date with the log.

use std::fmt;

use crate::{EventStore, Result, store::BoxFuture};

/// Something that follows the log: a projection.
///
/// It keeps its own checkpoint, together with what it makes of the events.
pub trait Subscriber: fmt::Debug + Send + Sync + 'static {
    /// Its name, unique among those that follow one store.
    fn name(&self) -> &str;

    /// The position up to which it has handled the log.
    ///
    /// # Errors
    /// Where its checkpoint can't be read, or is of another store.
    fn checkpoint(&self) -> BoxFuture<'_, Result<u64>>;

    /// Handles one page of events after its checkpoint and moves the checkpoint in the same transaction.
    ///
    /// # Errors
    /// [`ProjectionFaulted`](crate::Error::ProjectionFaulted) for an event a hook refuses, or what the storage reports.
    /// Whole commits before that event may be kept; of its own commit nothing is.
    fn advance<'a>(&'a self, store: &'a dyn EventStore) -> BoxFuture<'a, Result<Progress>>;
}

/// How far a subscriber is after handling a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its checkpoint.
    pub checkpoint: u64,
    /// Whether it had looked at everything up to the head when the page was read.
    pub caught_up: bool,
}
