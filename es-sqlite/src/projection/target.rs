//! Where a read model lives: in the store's own file, or in a file of its own.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use es_core::Error;
use rusqlite::{Connection, TransactionBehavior};

use super::Guard;
use crate::{
    SqliteStore, blocking, builder::Durability, connection::Role, errors::Place, migrate, reader::Readers, schema,
    writer::Task,
};

/// A file with read models, and the way to write it.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// The store's file, through the store's writer.
    Store(SqliteStore),
    /// A file of its own.
    File(Arc<OwnFile>),
}

impl Target {
    pub(super) fn open(path: &Path, store: &SqliteStore) -> Result<Self, Error> {
        let place = Arc::new(Place { path: path.to_owned(), busy_timeout: store.place().busy_timeout });
        // After a power cut the file may be a moment behind; its checkpoint then is, too, and it catches up.
        let role = Role::Writer(Durability::MayLoseRecentOnPowerLoss);
        let mut connection = blocking::here(|| migrate::open(&place, &schema::READ_MODEL, role, true))?;
        let guard = Guard::default();
        guard.install(&mut connection).map_err(|error| place.error("opening the database", error))?;
        let readers = Readers::new(Arc::clone(&place), 2);
        Ok(Self::File(Arc::new(OwnFile { place, guard, connection: Mutex::new(connection), readers })))
    }

    pub(super) fn place(&self) -> &Place {
        match self {
            Self::Store(store) => store.place(),
            Self::File(file) => &file.place,
        }
    }

    pub(super) fn readers(&self) -> &Readers {
        match self {
            Self::Store(store) => store.readers(),
            Self::File(file) => &file.readers,
        }
    }

    /// Runs a closure in a writing transaction: all it does is kept, or nothing. It may be called a second time, on a
    /// fresh transaction.
    pub(super) async fn write<T, F>(&self, run: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&Connection, &Guard) -> Result<T, Error> + Send + 'static,
    {
        match self {
            Self::Store(store) => store.queue().submit_now(|reply| Box::new(Task::new(run, reply))).await,
            Self::File(file) => blocking::here(|| file.write(run)),
        }
    }
}

/// A file of its own, with its writing connection.
pub(super) struct OwnFile {
    place: Arc<Place>,
    guard: Guard,
    connection: Mutex<Connection>,
    readers: Readers,
}

impl OwnFile {
    fn write<T>(&self, mut run: impl FnMut(&Connection, &Guard) -> Result<T, Error>) -> Result<T, Error> {
        let at = |error| self.place.error("writing a read model", error);
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // Rolls back when it is dropped.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(at)?;
        let answer = run(&transaction, &self.guard)?;
        transaction.commit().map_err(at)?;
        Ok(answer)
    }
}

impl fmt::Debug for OwnFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnFile").field("place", &self.place).finish_non_exhaustive()
    }
}
