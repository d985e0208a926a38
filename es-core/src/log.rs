//! The log as it is read: by whoever follows it, wherever it is.

use std::{fmt, sync::Arc};

use tokio::sync::watch;

use crate::{Epoch, Error, Filter, Page, Result, Timestamp, store::BoxFuture};

/// Which store this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreIdentity {
    /// Unique to the store, kept for its life.
    pub id: uuid::Uuid,
    /// Raised each time the store is restored from a backup; 0 before that. What follows its log notices by it whether
    /// it has seen events that are gone.
    pub epoch: u64,
}

/// Events in the order in which they were recorded: a store's log, or a copy of it elsewhere.
///
/// Projections and reactors follow a log, and a [`Runner`](crate::Runner) runs over one. Positions are dense from 1, a
/// position never changes what it stands for, and all events up to the head can be read.
pub trait EventLog: fmt::Debug + Send + Sync + 'static {
    /// Reads the log after a position, about `limit` events of it (a commit is never cut), and hands over those that
    /// pass the filter. How much is looked at is bounded, so a page may be empty and still have moved on; only with a
    /// limit of 0, or at the head, it has not.
    ///
    /// # Errors
    /// [`Corrupt`](crate::Error::Corrupt) for an event that is not what was written, once the page would begin with its
    /// commit (the page before ends in front of it), or what the storage reports.
    fn read_all<'a>(&'a self, after: u64, limit: usize, filter: &'a Filter) -> BoxFuture<'a, Result<Page>>;

    /// The position of the last event; 0 when there is none.
    ///
    /// # Errors
    /// What the storage reports.
    fn head(&self) -> BoxFuture<'_, Result<u64>>;

    /// Tells of new events, whoever appends them: the head, each time it moves. Where it stays, because a commit of this
    /// process has only changed the schedule, it is told once more.
    fn watch(&self) -> watch::Receiver<u64>;

    /// Which store this is.
    fn identity(&self) -> StoreIdentity;

    /// The epochs that restores of the store have begun, oldest first: the last one is the present one. None where it
    /// was never restored.
    fn epochs(&self) -> Vec<Epoch> {
        Vec::new()
    }

    /// The time by the store's clock.
    fn now(&self) -> Timestamp;

    /// What it means that a checkpoint of this epoch lies beyond the head: for a store, that an older copy of its file was
    /// put in its place.
    fn ends_before(&self, name: &str, checkpoint: u64, head: u64) -> Error {
        Error::CheckpointAhead { name: name.to_owned(), checkpoint, head }
    }
}

impl<L: EventLog + ?Sized> EventLog for Arc<L> {
    fn read_all<'a>(&'a self, after: u64, limit: usize, filter: &'a Filter) -> BoxFuture<'a, Result<Page>> {
        (**self).read_all(after, limit, filter)
    }

    fn head(&self) -> BoxFuture<'_, Result<u64>> {
        (**self).head()
    }

    fn watch(&self) -> watch::Receiver<u64> {
        (**self).watch()
    }

    fn identity(&self) -> StoreIdentity {
        (**self).identity()
    }

    fn epochs(&self) -> Vec<Epoch> {
        (**self).epochs()
    }

    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn ends_before(&self, name: &str, checkpoint: u64, head: u64) -> Error {
        (**self).ends_before(name, checkpoint, head)
    }
}
