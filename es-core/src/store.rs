//! The one trait every event store implements.

use std::{future::Future, ops::ControlFlow, pin::Pin, sync::Arc, time::Duration};

use crate::{
    Appended, CommandId, Commit, EventLog, Limits, Outcome, RecordedRef, Result, ScheduledCommand, Snapshot, StreamKey,
    Tenant, Timestamp,
};

/// For how long a store keeps the answers to commands. A command sent again later than that is refused as
/// [expired](crate::Error::CommandExpired) if its id says when it was made, and carried out again if not.
pub const ANSWERS_ARE_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A future on the heap, as object-safe traits return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a fold calls for each event, in order. `Break` ends the fold; an error ends it and is passed on.
pub type Visitor<'a> = dyn FnMut(RecordedRef<'_>) -> Result<ControlFlow<()>> + Send + 'a;

/// Where events are recorded: an [`EventLog`] that can be appended to, and read by stream.
///
/// What every store guarantees, and the [conformance suite](crate::testing::conformance) shows: a commit is stored
/// whole or not at all; versions are dense from 1 within a stream; positions are dense from 1 over the store, in commit
/// order, and visible in that order; a command id is answered once, and with the same answer from then on.
pub trait EventStore: EventLog {
    /// Stores a commit.
    ///
    /// The command, if any, is looked up first: answered before, it comes back as [`Appended::Replayed`] whatever the
    /// expected versions say. Dropping the future does not take back what has been handed over.
    ///
    /// # Errors
    /// [`Conflict`](crate::Error::Conflict), [`UniqueTaken`](crate::Error::UniqueTaken),
    /// [`CommandIdReused`](crate::Error::CommandIdReused), [`TooLarge`](crate::Error::TooLarge), or what the storage
    /// reports. Nothing was stored, except after [`OutcomeUnknown`](crate::Error::OutcomeUnknown).
    fn append(&self, commit: Commit) -> BoxFuture<'_, Result<Appended>>;

    /// Visits the events of a stream after a version, in order, straight from the store's buffers. Returns the version
    /// of the last event visited, or `after` when there was none.
    ///
    /// # Errors
    /// [`Corrupt`](crate::Error::Corrupt) for an event that is not what was written, the visitor's own error, or what
    /// the storage reports.
    fn fold<'a>(&'a self, stream: &'a StreamKey, after: u64, visit: &'a mut Visitor<'a>) -> BoxFuture<'a, Result<u64>>;

    /// The version a stream stands at; 0 when it does not exist.
    ///
    /// # Errors
    /// What the storage reports.
    fn version<'a>(&'a self, stream: &'a StreamKey) -> BoxFuture<'a, Result<u64>>;

    /// What a command was answered, if it is known here.
    ///
    /// # Errors
    /// What the storage reports.
    fn outcome<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        command: &'a CommandId,
    ) -> BoxFuture<'a, Result<Option<Outcome>>>;

    /// The time since which the store has the answers to all commands; of what was recorded before, some may be forgotten.
    ///
    /// It is asked for every command, so it does not wait for the storage. Default: as long ago as
    /// [`ANSWERS_ARE_KEPT`]. A store that forgets by another clock than its own, or not at all, says so here.
    fn answers_since(&self) -> Timestamp {
        let kept = i64::try_from(ANSWERS_ARE_KEPT.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(self.now().as_micros().saturating_sub(kept))
    }

    /// The newest usable snapshot of a stream with this fingerprint. Never one ahead of its stream; a damaged one is
    /// as good as none.
    ///
    /// # Errors
    /// What the storage reports.
    fn snapshot<'a>(&'a self, stream: &'a StreamKey, fingerprint: u64) -> BoxFuture<'a, Result<Option<Snapshot>>>;

    /// Offers a snapshot of committed state. The store keeps it when it can, and when its stream is that far; nobody
    /// waits for it.
    fn offer_snapshot(&self, snapshot: Snapshot);

    /// The stream that holds a unique key.
    ///
    /// # Errors
    /// What the storage reports.
    fn claimant<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        constraint: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<StreamKey>>>;

    /// The command scheduled under a key.
    ///
    /// # Errors
    /// [`Corrupt`](crate::Error::Corrupt) when it is not what was written, or what the storage reports.
    fn scheduled<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<ScheduledCommand>>>;

    /// Scheduled commands of all tenants that are due and not leased, at most so many: first those that never were
    /// leased, the earliest first; then the others, in the order in which their leases ended, so that what is delivered in
    /// vain again and again keeps nothing else waiting. One that can't be read is given as the error that names it, and
    /// does not count.
    ///
    /// # Errors
    /// What the storage reports.
    fn due(&self, now: Timestamp, limit: usize) -> BoxFuture<'_, Result<Vec<Result<ScheduledCommand>>>>;

    /// The earliest time after this one at which a scheduled command is due.
    ///
    /// # Errors
    /// What the storage reports.
    fn next_due(&self, after: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>>>;

    /// Takes a scheduled command for delivery, so that nobody else does before `until`, and says whether that came
    /// about. It does if the command still stands under its key, and its lease, if it has one, ends by `ended`: now to
    /// take it, the end of one's own lease to change that.
    ///
    /// A lease that ends later than [`LONGEST_LEASE`](ScheduledCommand::LONGEST_LEASE) after `ended` is none.
    ///
    /// # Errors
    /// What the storage reports.
    fn lease<'a>(
        &'a self,
        command: &'a ScheduledCommand,
        ended: Timestamp,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<bool>>;

    /// Forgets a scheduled command that was delivered, unless another one has taken its key. Says whether it was there.
    ///
    /// # Errors
    /// What the storage reports.
    fn settle<'a>(&'a self, command: &'a ScheduledCommand) -> BoxFuture<'a, Result<bool>>;

    /// What the store accepts at most.
    fn limits(&self) -> &Limits;

    /// Whether one commit can append to several streams.
    fn is_atomic_over_streams(&self) -> bool {
        true
    }
}

impl<S: EventStore + ?Sized> EventStore for Arc<S> {
    fn append(&self, commit: Commit) -> BoxFuture<'_, Result<Appended>> {
        (**self).append(commit)
    }

    fn fold<'a>(&'a self, stream: &'a StreamKey, after: u64, visit: &'a mut Visitor<'a>) -> BoxFuture<'a, Result<u64>> {
        (**self).fold(stream, after, visit)
    }

    fn version<'a>(&'a self, stream: &'a StreamKey) -> BoxFuture<'a, Result<u64>> {
        (**self).version(stream)
    }

    fn outcome<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        command: &'a CommandId,
    ) -> BoxFuture<'a, Result<Option<Outcome>>> {
        (**self).outcome(tenant, command)
    }

    fn answers_since(&self) -> Timestamp {
        (**self).answers_since()
    }

    fn snapshot<'a>(&'a self, stream: &'a StreamKey, fingerprint: u64) -> BoxFuture<'a, Result<Option<Snapshot>>> {
        (**self).snapshot(stream, fingerprint)
    }

    fn offer_snapshot(&self, snapshot: Snapshot) {
        (**self).offer_snapshot(snapshot);
    }

    fn claimant<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        constraint: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<StreamKey>>> {
        (**self).claimant(tenant, constraint, key)
    }

    fn scheduled<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<ScheduledCommand>>> {
        (**self).scheduled(tenant, key)
    }

    fn due(&self, now: Timestamp, limit: usize) -> BoxFuture<'_, Result<Vec<Result<ScheduledCommand>>>> {
        (**self).due(now, limit)
    }

    fn next_due(&self, after: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>>> {
        (**self).next_due(after)
    }

    fn lease<'a>(
        &'a self,
        command: &'a ScheduledCommand,
        ended: Timestamp,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<bool>> {
        (**self).lease(command, ended, until)
    }

    fn settle<'a>(&'a self, command: &'a ScheduledCommand) -> BoxFuture<'a, Result<bool>> {
        (**self).settle(command)
    }

    fn limits(&self) -> &Limits {
        (**self).limits()
    }

    fn is_atomic_over_streams(&self) -> bool {
        (**self).is_atomic_over_streams()
    }
}
