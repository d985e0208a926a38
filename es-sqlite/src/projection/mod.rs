//! Read models in SQL: events become rows, in the transaction of their checkpoint.

mod advance;
mod authorizer;
mod builder;
mod checkpoint;
mod dangling;
mod failure;
mod hooked;
mod inline;
mod migration;
mod migrations;
mod objects;
mod owner;
mod page;
mod parked;
mod rebuild;
mod redelivery;
mod release;
mod repartition;
mod source;
mod status;
mod target;
mod turns;
mod tx;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use es_core::{Error, EventLog, Filter, Progress, Subscriber, guard_call, store::BoxFuture};

pub(crate) use self::{authorizer::Guard, objects::quoted};
use self::{
    builder::AnyHook, failure::Policy, hooked::Hooked, inline::InlineState, migrations::Migrations, owner::Owner,
    rebuild::UnderWay, source::Source, target::Target, turns::Turns,
};
pub use self::{
    builder::SqliteProjectionBuilder, failure::OnFailure, migration::Migration, parked::ParkedEvent,
    status::ProjectionStatus, tx::Tx,
};
use crate::{blocking, checkpoint_rows};

/// How often a projection looks whether the owner of a partition has moved on.
const LOOK_AGAIN: Duration = Duration::from_millis(15);

/// A read model in SQLite tables: hooks turn events into rows.
///
/// Rows and checkpoint (the position of the last event handled) are written in one transaction, so each event counts
/// exactly once, also after a crash. A runner keeps the read model up to date:
/// `Runner::new(store).run(balances.clone()).start()`; [`catch_up`](Self::catch_up) does so once. Cloning is cheap, and
/// all clones are the same projection.
///
/// # When an event fails
/// An event whose hook fails or panics is tried again a few times, then it stops the projection right before that event's
/// commit, with [`ProjectionFaulted`](Error::ProjectionFaulted). The runner logs that through `tracing` and shows it in
/// [`Running::status`](es_core::Running::status); other projections and the store go on. Fix the hook and restart the
/// program: the projection goes on with that event. Or pass over it with [`skip`](Self::skip), and have the runner
/// [`resume`](es_core::Running::resume).
///
/// [`OnFailure`] has other ways: to park the aggregate until it is [released](Self::release), or to pass over what fails.
/// An event of a type that the program does not know, recorded by an aggregate with generated hooks here, fails, too,
/// unless the builder was told to [`ignore`](SqliteProjectionBuilder::ignore) it.
///
/// # When its hooks change
/// The types of the events it has hooks for are stored with the checkpoint. When a hook for another event is added, or
/// one is removed, the read model is no longer what the hooks would make of the log: [`catch_up`](Self::catch_up) and
/// the runner stop with [`ProjectionChanged`](Error::ProjectionChanged) until [`rebuild`](Self::rebuild) was called. A
/// read model that has handled nothing yet takes over the new hooks. What a hook does with an event is not compared:
/// after changing that, call [`rebuild`](Self::rebuild) where earlier events matter.
///
/// # When the store is restored
/// The checkpoint is of an [epoch](es_core::StoreIdentity::epoch) of the store, which a
/// [restore](crate::SqliteStore::restore) raises. A read model in a file of its own may have seen events that are gone
/// since: then [`catch_up`](Self::catch_up) and the runner stop with [`StoreRestored`](Error::StoreRestored) until
/// [`rebuild`](Self::rebuild) was called. Otherwise it goes on.
///
/// # Several processes
/// Several processes may run one projection on one file, with hooks for the same events. One of them owns it (each
/// [partition](SqliteProjectionBuilder::partitions) of it has an owner) and handles its events; the others stand by. An
/// owner that was not heard of for a [lease](SqliteProjectionBuilder::lease) is replaced as soon as there is something
/// to handle, and can't move the checkpoint any more. [`release_lease`](Self::release_lease) gives everything back at once.
#[derive(Clone)]
pub struct SqliteProjection {
    inner: Arc<Inner>,
    turns: Arc<Turns>,
    rebuilding: Arc<UnderWay>,
}

pub(crate) struct Inner {
    name: String,
    migrations: Vec<Migration>,
    hooks: HashMap<&'static str, Vec<AnyHook>>,
    hooked: Hooked,
    filter: Filter,
    policy: Policy,
    partitions: u32,
    owner: Owner,
    target: Target,
    source: Source,
    inline: InlineState,
}

impl Inner {
    fn store_id(&self) -> uuid::Uuid {
        self.source.log().identity().id
    }
}

impl SqliteProjection {
    /// Starts building a projection. Its checkpoint is stored under its name, so the name must stay the same and be
    /// unique in the file.
    pub fn builder(name: impl Into<String>) -> SqliteProjectionBuilder {
        SqliteProjectionBuilder::new(name.into())
    }

    /// Runs queries on the read model: all queries of one closure see the same state of it. The connection can't write.
    ///
    /// ```
    /// # #![allow(dead_code)]
    /// # use es_sqlite::{SqliteProjection, rusqlite::OptionalExtension};
    /// # async fn balance(balances: &SqliteProjection, id: &str) -> es_core::Result<Option<i64>> {
    /// balances
    ///     .query(|tx| {
    ///         tx.query_row("SELECT cents FROM balance WHERE account_id = ?1", [id], |row| row.get(0)).optional()
    ///     })
    ///     .await
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Database`](Error::Database) with the error that the closure returns (no rows, a column of another type, a wrong
    /// statement), [`HandlerPanicked`](Error::HandlerPanicked) when it panics, [`ReadOnly`](Error::ReadOnly) when it
    /// writes, or what the storage reports.
    pub async fn query<T>(&self, read: impl FnOnce(&Tx<'_>) -> rusqlite::Result<T>) -> Result<T, Error> {
        self.inner
            .target
            .readers()
            .read(|reader| {
                let what = || format!("a query of `{}`", self.inner.name);
                let at = |error| reader.place.application_error(&what(), error);
                // Rolls back when it is dropped.
                let transaction = reader.connection.unchecked_transaction().map_err(at)?;
                guard_call(what, || read(&Tx::new(&transaction, None)))?.map_err(at)
            })
            .await
    }

    /// Handles all events that are in the store now, and returns the position of the last one. What another process owns
    /// is handled by that one: `catch_up` waits for it, and takes over when its lease is over.
    ///
    /// # Errors
    /// [`ProjectionFaulted`](Error::ProjectionFaulted) for an event that a hook refuses,
    /// [`ProjectionChanged`](Error::ProjectionChanged) when the projection has hooks for other events than its read
    /// model was made from, or what the storage reports.
    pub async fn catch_up(&self) -> Result<u64, Error> {
        let caught_up = self.catch_up_all().await;
        // Whoever comes next need not wait for a lease that nobody uses.
        if !self.inner.owner.stays() {
            let _ = self.release_lease().await;
        }
        caught_up
    }

    async fn catch_up_all(&self) -> Result<u64, Error> {
        let head = self.inner.source.log().head().await?;
        let mut lowest = u64::MAX;
        for partition in 0..self.inner.partitions {
            let reached = loop {
                match self.next_page(self.inner.source.log(), partition).await {
                    Ok(Progress { checkpoint, caught_up: true, .. }) => break checkpoint,
                    // What is appended meanwhile is not waited for.
                    Ok(Progress { checkpoint, .. }) if checkpoint >= head => break checkpoint,
                    Ok(Progress { standby: true, .. }) if self.rebuilding.get() => self.rebuilding.over().await,
                    Ok(Progress { standby: true, .. }) => blocking::pause(LOOK_AGAIN).await,
                    // Another process was first with this page.
                    Ok(_) | Err(Error::CheckpointMoved { .. }) => {}
                    Err(error) => return Err(error),
                }
            };
            lowest = lowest.min(reached);
        }
        Ok(lowest)
    }

    async fn next_page(&self, store: &dyn EventLog, partition: u32) -> Result<Progress, Error> {
        let _turn = self.turns.take(partition).await;
        let rebuilding = self.rebuilding.get();
        match self.inner.advance(store, partition).await {
            // The new read model is made by the new hooks.
            Err(Error::ProjectionChanged { .. }) if rebuilding => {
                Ok(Progress::at(self.inner.position(partition).await?).standby())
            }
            advanced => advanced,
        }
    }

    /// Gives back the partitions this projection owns, so that another process need not wait until its lease is over.
    /// The next page that is handled here claims them again, unless somebody else was first.
    ///
    /// # Errors
    /// What the storage reports.
    pub async fn release_lease(&self) -> Result<(), Error> {
        let _turns = self.turns.take_all().await;
        self.inner.give_back().await
    }

    /// Empties the read model in place: drops what its migrations created, applies them again, moves the checkpoint to the beginning
    /// of the log, and forgets what was parked or skipped; all in one transaction. Indexes and triggers that others have
    /// put on its tables go with them.
    ///
    /// # Errors
    /// What the storage reports; then nothing was changed.
    pub async fn reset(&self) -> Result<(), Error> {
        let _turns = self.turns.take_all().await;
        let inner = Arc::clone(&self.inner);
        self.inner
            .target
            .write(move |connection, guard| {
                let Inner { name, migrations, target, .. } = &*inner;
                let place = target.place();
                let migrations = Migrations { projection: name, known: migrations, place };
                migrations.revert(connection)?;
                migrations.apply(connection, guard)?;
                inner
                    .notes(connection)
                    .clear()
                    .and_then(|()| inner.registration().put(connection, 0))
                    .map_err(|error| place.error("resetting a checkpoint", error))
            })
            .await
    }

    /// Closes the file of a read model that has [one of its own](SqliteProjectionBuilder::build_in): waits for the page
    /// and the queries under way, and removes the files that SQLite keeps beside it unless someone else uses them.
    /// Everything that comes later, from any clone, gets [`ShuttingDown`](Error::ShuttingDown), so shut down its runner
    /// first. Dropping the last clone closes the file, too.
    ///
    /// A read model in the store's file is closed by [`SqliteStore::shutdown`](crate::SqliteStore::shutdown); here nothing is done for it.
    pub async fn close(&self) {
        if matches!(self.inner.target, Target::File(_)) {
            // Closed before, there is nothing left to give back.
            let _ = self.release_lease().await;
        }
        let _turns = self.turns.take_all().await;
        self.inner.target.close().await;
    }
}

impl Inner {
    /// Gives back what this owner has, if it ever had something.
    async fn give_back(&self) -> Result<(), Error> {
        if !self.owner.has_claimed() {
            return Ok(());
        }
        self.owner.leave();
        self.give_back_of(self.owner.id()).await
    }

    /// Gives back what an owner has.
    async fn give_back_of(&self, owner: uuid::Uuid) -> Result<(), Error> {
        let (name, path) = (self.name.clone(), self.target.place().clone());
        let release = move |connection: &rusqlite::Connection, _: &Guard| {
            checkpoint_rows::release(connection, &name, owner).map_err(|error| path.error("giving back a lease", error))
        };
        self.target.write(release).await
    }
}

impl Subscriber for SqliteProjection {
    fn name(&self) -> &str {
        &self.inner.name
    }

    fn partitions(&self) -> u32 {
        self.inner.partitions
    }

    fn checkpoint(&self, partition: u32) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move { self.inner.position(partition).await })
    }

    fn give_back(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Err(error) = self.release_lease().await {
                tracing::warn!(projection = self.inner.name, %error, "its lease was not given back");
            }
        })
    }

    /// Handles one page. Of a page with an event that stops the projection, the commits before that event are kept.
    fn advance<'a>(&'a self, store: &'a dyn EventLog, partition: u32) -> BoxFuture<'a, Result<Progress, Error>> {
        Box::pin(async move {
            self.inner.owner.stay();
            self.next_page(store, partition).await
        })
    }
}

impl fmt::Debug for SqliteProjection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteProjection")
            .field("name", &self.inner.name)
            .field("target", &self.inner.target)
            .finish_non_exhaustive()
    }
}
