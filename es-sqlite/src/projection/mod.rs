//! Read models in SQL: events become rows, in the transaction of their checkpoint.

mod advance;
mod authorizer;
mod builder;
mod checkpoint;
mod migrations;
mod target;
mod tx;

use std::{collections::HashMap, fmt, sync::Arc};

use es_core::{Error, EventStore, Filter, Progress, Subscriber, store::BoxFuture};
use tokio::sync::Mutex;

pub(crate) use self::authorizer::Guard;
use self::{builder::AnyHook, checkpoint::Checkpoint, migrations::Migrations, target::Target};
pub use self::{
    builder::{HookResult, SqliteProjectionBuilder},
    tx::Tx,
};
use crate::SqliteStore;

/// A read model in SQLite tables: hooks turn events into rows.
///
/// Rows and checkpoint are written in one transaction, so each event counts once, whatever is interrupted when. An
/// event whose hook fails or panics stops the projection right before that event's commit, with
/// [`ProjectionFaulted`](Error::ProjectionFaulted).
///
/// A runner keeps it live: `Runner::new(store).run(balances.clone()).start()`; [`catch_up`](Self::catch_up) brings it
/// to the head once. Cloning is cheap, and all clones are the same projection.
#[derive(Clone)]
pub struct SqliteProjection {
    inner: Arc<Inner>,
    /// One page at a time, also when several clones are run.
    turn: Arc<Mutex<()>>,
}

pub(crate) struct Inner {
    name: String,
    migrations: Vec<String>,
    hooks: HashMap<&'static str, Vec<AnyHook>>,
    filter: Filter,
    target: Target,
    store: SqliteStore,
}

impl SqliteProjection {
    /// Begins a projection. Its name is what its checkpoint is kept under.
    pub fn builder(name: impl Into<String>) -> SqliteProjectionBuilder {
        SqliteProjectionBuilder::new(name.into())
    }

    /// Reads from the read model, on a connection that can't write and in one consistent state of it.
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
    /// What SQLite says, or the closure.
    pub async fn query<T>(&self, read: impl FnOnce(&Tx<'_>) -> rusqlite::Result<T>) -> Result<T, Error> {
        self.inner
            .target
            .readers()
            .read(|reader| {
                let at = |error| reader.place.error(&format!("a query of `{}`", self.inner.name), error);
                // Rolls back when it is dropped, also by a panic of the closure.
                let transaction = reader.connection.unchecked_transaction().map_err(at)?;
                read(&Tx::new(&transaction, None)).map_err(at)
            })
            .await
    }

    /// Brings the read model to the head of the store it was built on, and says where that is.
    ///
    /// # Errors
    /// As [`Subscriber::advance`].
    pub async fn catch_up(&self) -> Result<u64, Error> {
        loop {
            let progress = self.advance(&self.inner.store).await?;
            if progress.caught_up {
                return Ok(progress.checkpoint);
            }
        }
    }

    /// Drops the tables its migrations made, makes them anew, and starts from the beginning of the store it was built
    /// on; all in one transaction.
    ///
    /// # Errors
    /// What the storage reports; then everything is as it was.
    pub async fn reset(&self) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let inner = Arc::clone(&self.inner);
        self.inner
            .target
            .write(move |connection, guard| {
                let Inner { name, migrations, target, store, .. } = &*inner;
                let place = target.place();
                let migrations = Migrations { projection: name, sql: migrations, place };
                migrations.revert(connection)?;
                migrations.apply(connection, guard)?;
                Checkpoint::reset(connection, name, store.identity().id)
                    .map_err(|error| place.error("resetting a checkpoint", error))
            })
            .await
    }

    /// [Resets](Self::reset) the read model and brings it to the head again. Readers see it fill up meanwhile.
    ///
    /// # Errors
    /// As [`reset`](Self::reset) and [`catch_up`](Self::catch_up).
    pub async fn rebuild(&self) -> Result<u64, Error> {
        self.reset().await?;
        self.catch_up().await
    }
}

impl Subscriber for SqliteProjection {
    fn name(&self) -> &str {
        &self.inner.name
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async { Ok(self.inner.checkpoint(self.inner.store.identity().id).await?.position) })
    }

    /// Handles one page. Of a page with an event that fails, the commits before that event are kept.
    fn advance<'a>(&'a self, store: &'a dyn EventStore) -> BoxFuture<'a, Result<Progress, Error>> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            self.inner.advance(store).await
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
