//! Read models in SQL: events become rows, in the transaction of their checkpoint.

mod advance;
mod authorizer;
mod builder;
mod checkpoint;
mod hooked;
mod inline;
mod migration;
mod migrations;
mod objects;
mod rebuild;
mod target;
mod tx;

use std::{collections::HashMap, fmt, sync::Arc};

use es_core::{Error, EventStore, Filter, Progress, Subscriber, guard_call, store::BoxFuture};
use tokio::sync::Mutex;

pub(crate) use self::authorizer::Guard;
use self::{
    builder::AnyHook, checkpoint::Checkpoint, hooked::Hooked, inline::InlineState, migrations::Migrations,
    rebuild::UnderWay, target::Target,
};
pub use self::{
    builder::{HookResult, SqliteProjectionBuilder},
    migration::Migration,
    tx::Tx,
};
use crate::SqliteStore;

/// A read model in SQLite tables: hooks turn events into rows.
///
/// Rows and checkpoint (the position of the last event handled) are written in one transaction, so each event counts
/// exactly once, also after a crash. A runner keeps the read model up to date:
/// `Runner::new(store).run(balances.clone()).start()`; [`catch_up`](Self::catch_up) does so once. Cloning is cheap, and
/// all clones are the same projection.
///
/// # When it stops
/// An event whose hook fails or panics stops the projection right before that event's commit, with
/// [`ProjectionFaulted`](Error::ProjectionFaulted). The runner logs that through `tracing` and shows it in
/// [`Running::status`](es_core::Running::status); other projections and the store go on. Fix the hook and restart the
/// program: the projection goes on with that event.
///
/// # When its hooks change
/// The types of the events it has hooks for are stored with the checkpoint. When a hook for another event is added, or
/// one is removed, the read model is no longer what the hooks would make of the log: [`catch_up`](Self::catch_up) and
/// the runner stop with [`ProjectionChanged`](Error::ProjectionChanged) until [`rebuild`](Self::rebuild) was called. A
/// read model that has handled nothing yet takes over the new hooks. What a hook does with an event is not compared:
/// after changing that, call [`rebuild`](Self::rebuild) where earlier events matter.
///
/// # Several processes
/// Several processes may run one projection on one file. Each page of events is handled by the process that comes
/// first; the other finds the checkpoint moved, reads it again and goes on from there. All must have hooks for the same
/// events.
#[derive(Clone)]
pub struct SqliteProjection {
    inner: Arc<Inner>,
    /// One page at a time, also when several clones are run.
    turn: Arc<Mutex<()>>,
    rebuilding: Arc<UnderWay>,
}

pub(crate) struct Inner {
    name: String,
    migrations: Vec<Migration>,
    hooks: HashMap<&'static str, Vec<AnyHook>>,
    hooked: Hooked,
    filter: Filter,
    target: Target,
    store: SqliteStore,
    inline: InlineState,
}

impl Inner {
    fn store_id(&self) -> uuid::Uuid {
        self.store.identity().id
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

    /// Handles all events that are in the store now, and returns the position of the last one.
    ///
    /// # Errors
    /// [`ProjectionFaulted`](Error::ProjectionFaulted) for an event that a hook refuses,
    /// [`ProjectionChanged`](Error::ProjectionChanged) when the projection has hooks for other events than its read
    /// model was made from, or what the storage reports.
    pub async fn catch_up(&self) -> Result<u64, Error> {
        loop {
            match self.advance(&self.inner.store, 0).await {
                Ok(Progress { checkpoint, caught_up: true, .. }) => return Ok(checkpoint),
                Ok(Progress { standby: true, .. }) => self.rebuilding.over().await,
                // Another process was first with this page.
                Ok(_) | Err(Error::CheckpointMoved { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Empties the read model: drops what its migrations created, applies them again, and moves the checkpoint to the
    /// beginning of the log; all in one transaction.
    ///
    /// # Errors
    /// What the storage reports; then nothing was changed.
    pub async fn reset(&self) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let inner = Arc::clone(&self.inner);
        self.inner
            .target
            .write(move |connection, guard| {
                let Inner { name, migrations, hooked, target, store, .. } = &*inner;
                let place = target.place();
                let migrations = Migrations { projection: name, known: migrations, place };
                migrations.revert(connection)?;
                migrations.apply(connection, guard)?;
                Checkpoint::reset(connection, name, store.identity().id, hooked)
                    .map_err(|error| place.error("resetting a checkpoint", error))
            })
            .await
    }

    /// Closes the file of a read model that has [one of its own](SqliteProjectionBuilder::build_in): waits for the page
    /// and the queries under way, and removes the files that SQLite keeps beside it unless someone else uses them.
    /// Everything that comes later, from any clone, gets [`ShuttingDown`](Error::ShuttingDown), so shut down its runner
    /// first. Dropping the last clone closes the file, too.
    ///
    /// A read model in the store's file is closed by [`SqliteStore::shutdown`]; here nothing is done for it.
    pub async fn close(&self) {
        let _turn = self.turn.lock().await;
        self.inner.target.close().await;
    }
}

impl Subscriber for SqliteProjection {
    fn name(&self) -> &str {
        &self.inner.name
    }

    fn checkpoint(&self, _partition: u32) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async { Ok(self.inner.checkpoint(self.inner.store.identity().id).await?.position) })
    }

    /// Handles one page. Of a page with an event that fails, the commits before that event are kept.
    fn advance<'a>(&'a self, store: &'a dyn EventStore, _partition: u32) -> BoxFuture<'a, Result<Progress, Error>> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            let rebuilding = self.rebuilding.get();
            match self.inner.advance(store).await {
                // The new read model is made by the new hooks.
                Err(Error::ProjectionChanged { .. }) if rebuilding => {
                    let present = self.inner.checkpoint(store.identity().id).await?;
                    Ok(Progress::at(present.position).standby())
                }
                advanced => advanced,
            }
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
