//! Where a read model lives: in the store's own file, or in a file of its own.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use es_core::Error;
use rusqlite::{Connection, TransactionBehavior};

use super::{Guard, source::Source};
use crate::{
    SqliteStore, blocking,
    builder::Durability,
    connection::{self, Role},
    errors::Place,
    migrate,
    reader::Readers,
    schema,
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
    pub(super) fn open(path: &Path, source: &Source) -> Result<Self, Error> {
        if let Source::Store(store) = source
            && is_same_file(path, store.path())
        {
            let why = format!("{} is the store's own file; use `build` to put the read model there", path.display());
            return Err(Error::InvalidRequest { why });
        }
        let place = Arc::new(Place { path: path.to_owned(), busy_timeout: source.busy_timeout() });
        // After a power cut the file may be a moment behind; its checkpoint then is, too, and it catches up.
        let role = Role::Writer(Durability::MayLoseRecentOnPowerLoss);
        let mut connection = blocking::here(|| migrate::open(&place, &schema::READ_MODEL, role, true))
            .map_err(|error| not_a_read_model(path, error))?;
        let guard = Guard::default();
        guard.install(&mut connection).map_err(|error| place.error("opening the database", error))?;
        let readers = Readers::new(Arc::clone(&place), 2);
        Ok(Self::File(Arc::new(OwnFile { place, guard, connection: Mutex::new(Some(connection)), readers })))
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

    /// Closes a file of its own; waits for readers under way.
    pub(super) async fn close(&self) {
        if let Self::File(file) = self {
            file.readers.close().await;
            blocking::here(|| file.close_writer());
        }
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// [`Error::NotAStore`] in words for a file that was not to be a store.
fn not_a_read_model(path: &Path, error: Error) -> Error {
    match error {
        Error::NotAStore { why, .. } => {
            let why = format!("{} can't be used for a read model: {why}", path.display());
            Error::InvalidRequest { why }
        }
        error => error,
    }
}

/// A file of its own, with its writing connection: none after it was closed.
pub(super) struct OwnFile {
    place: Arc<Place>,
    guard: Guard,
    connection: Mutex<Option<Connection>>,
    readers: Readers,
}

impl OwnFile {
    fn write<T>(&self, mut run: impl FnMut(&Connection, &Guard) -> Result<T, Error>) -> Result<T, Error> {
        let at = |error| self.place.error("writing a read model", error);
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = connection.as_mut().ok_or(Error::ShuttingDown)?;
        // Rolls back when it is dropped.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(at)?;
        let answer = run(&transaction, &self.guard)?;
        transaction.commit().map_err(at)?;
        Ok(answer)
    }

    fn close_writer(&self) {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(connection) = connection {
            connection::close(connection, Duration::ZERO);
        }
    }
}

impl Drop for OwnFile {
    /// The writer goes last: closed after it, a reading connection would leave the log behind, which it can't delete.
    fn drop(&mut self) {
        self.readers.close_idle();
        self.close_writer();
    }
}

impl fmt::Debug for OwnFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnFile").field("place", &self.place).finish_non_exhaustive()
    }
}
