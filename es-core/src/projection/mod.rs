//! Read models elsewhere: a search index, another database, a cache.

mod builder;

use std::{fmt, sync::Arc};

use uuid::Uuid;

pub use self::builder::{NoState, ProjectionBuilder, State};
use crate::{
    EventLog, Progress, RecordedEvent, Result, Subscriber,
    handling::{Failure, Handler, Handling, Hooks, run},
    store::BoxFuture,
};

/// A projection whose read model is not in the database of its checkpoint. Each event is handled **at least once**: a
/// hook must give the same result when it gets an event a second time.
///
/// The checkpoint moves after the hooks of a page have run. A program that dies in between handles the events of that
/// page again, up to 200 of them, when it is started again. Write what an event says, not how it changes what is there
/// (`set balance = 50`, not `add 10`), or keep `meta.position` beside what it changes and leave out what is not newer.
/// A read model in SQLite tables counts each event exactly once: `es_sqlite::SqliteProjection`.
///
/// ```
/// # use std::{collections::BTreeMap, sync::{Arc, Mutex}};
/// # use es_core::{Event, HookBuilder, MemoryStore, Projection, Runner};
/// # async fn example<AccountOpened: Event>(store: MemoryStore) -> es_core::Result<()> {
/// let index = Arc::new(Mutex::new(BTreeMap::new())); // or the client of a search engine
/// let search = Projection::builder("search")
///     .with(index)
///     // Generated code has a method for each event: `.on_account_opened(async |index, event, meta| ..)`
///     .on::<AccountOpened, _>(async |index, event, meta| {
///         index.lock().map_err(|_| "poisoned")?.insert(meta.stream.id.to_string(), format!("{event:?}"));
///         Ok(())
///     })
///     .build(&store)
///     .await?;
/// let running = Runner::new(store).run(search).start()?;
/// # running.shutdown().await;
/// # Ok(()) }
/// ```
///
/// # When a hook fails
/// It is tried again, [three times](ProjectionBuilder::retries) by default; then the projection stops right before that
/// event's commit with [`ProjectionFaulted`](crate::Error::ProjectionFaulted), and other projections go on.
/// [`Running::resume`](crate::Running::resume) makes it try again.
///
/// So it does at once at an event that the program does not know, of an aggregate whose other events it has generated
/// hooks for: a newer program recorded it. Update the program, or [`ignore`](ProjectionBuilder::ignore) the event.
///
/// # Several processes
/// Each [partition](ProjectionBuilder::partitions) is leased to one process at a time. The others stand by, and take
/// over when the lease is over and there are events to handle.
///
/// # When its hooks change
/// An event whose hook is new is handled from the checkpoint on. To have earlier ones handled, give the projection
/// another name: it then starts at the beginning.
///
/// # When the store is restored
/// Restored to an older state, the store lacks events that the projection may have seen. Where its checkpoint lies beyond
/// that state, it stops with [`StoreRestored`](crate::Error::StoreRestored): give it another name, and with it an empty
/// read model, or take out what came of those events and call [`go_on_from_restore`](Self::go_on_from_restore).
#[derive(Clone)]
pub struct Projection(Arc<Handling<Hooked>>);

/// Runs all hooks of an event, one after the other.
#[derive(Debug)]
struct Hooked(Hooks<()>);

impl Handler for Hooked {
    const PAGE: usize = 200;
    const NOTES: bool = false;

    fn handle<'a>(&'a self, event: &'a RecordedEvent, _: Uuid) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            for hook in self.0.of(event) {
                run(hook, (), event).await.map_err(Failure::Hook)?;
            }
            Ok(())
        })
    }
}

impl Projection {
    /// Starts building a projection. Its checkpoint is stored under its name, so the name must stay the same and be
    /// unique among all that follow the store.
    pub fn builder(name: impl Into<String>) -> ProjectionBuilder {
        ProjectionBuilder::new(name.into())
    }

    /// Lets it go on after [`StoreRestored`](crate::Error::StoreRestored), with the events after the state to which the
    /// store was restored. Take out first what came of the events that are gone. A runner that has stopped it has it go on
    /// when it is told to [`resume`](crate::Running::resume) it.
    ///
    /// # Errors
    /// [`StoreIdentityChanged`](crate::Error::StoreIdentityChanged) or [`EpochUnknown`](crate::Error::EpochUnknown) when it
    /// follows another log than this, [`CheckpointMoved`](crate::Error::CheckpointMoved) when another process has the projection, or what the storage
    /// reports.
    pub async fn go_on_from_restore(&self, log: &dyn EventLog) -> Result<()> {
        self.0.go_on_from_restore(log).await
    }
}

impl Subscriber for Projection {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn partitions(&self) -> u32 {
        self.0.partitions()
    }

    fn checkpoint(&self, partition: u32) -> BoxFuture<'_, Result<u64>> {
        Box::pin(self.0.checkpoint(partition))
    }

    fn advance<'a>(&'a self, store: &'a dyn EventLog, partition: u32) -> BoxFuture<'a, Result<Progress>> {
        Box::pin(self.0.advance(store, partition))
    }

    fn give_back(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.give_back())
    }
}

impl fmt::Debug for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Projection").field(&self.0).finish()
    }
}
