//! The reading connections: as many as there are cores, each lent to one reader at a time.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
};

use es_core::Error;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::{
    blocking,
    connection::{self, Role},
    errors::Place,
    names::Names,
};

/// A reading connection and what it has met.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) connection: Connection,
    pub(crate) names: Names,
    pub(crate) place: Arc<Place>,
}

impl Reader {
    /// What reading the log takes.
    pub(crate) fn parts(&mut self) -> (&Connection, &mut Names, &Place) {
        (&self.connection, &mut self.names, &self.place)
    }
}

/// The reading connections of one file, opened when they are first needed.
pub(crate) struct Readers {
    place: Arc<Place>,
    idle: Mutex<Vec<Reader>>,
    free: Semaphore,
    count: u32,
}

impl Readers {
    pub(crate) fn new(place: Arc<Place>, count: u32) -> Self {
        let count = count.max(1);
        Self { place, idle: Mutex::default(), free: Semaphore::new(count as usize), count }
    }

    /// Looks something up on a free connection. So short a read that telling the runtime of it would cost more.
    pub(crate) async fn look_up<T>(&self, read: impl FnOnce(&mut Reader) -> Result<T, Error>) -> Result<T, Error> {
        let _turn = self.free.acquire().await.map_err(|_| Error::ShuttingDown)?;
        read(&mut *self.lend()?)
    }

    /// Reads on a free connection, on the caller's own thread.
    pub(crate) async fn read<T>(&self, read: impl FnOnce(&mut Reader) -> Result<T, Error>) -> Result<T, Error> {
        let _turn = self.free.acquire().await.map_err(|_| Error::ShuttingDown)?;
        blocking::here(|| {
            let mut loan = self.lend()?;
            read(&mut loan)
        })
    }

    fn lend(&self) -> Result<Loan<'_>, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match idle {
            Some(reader) => reader,
            None => Reader {
                connection: connection::open(&self.place, Role::Reader)?,
                names: Names::default(),
                place: Arc::clone(&self.place),
            },
        };
        Ok(Loan { readers: self, reader: Some(reader) })
    }

    /// Lets readers under way finish, refuses new ones, closes the connections.
    pub(crate) async fn close(&self) {
        if let Ok(all) = self.free.acquire_many(self.count).await {
            self.free.close();
            drop(all);
        }
        self.close_idle();
    }

    /// Closes the connections that nobody reads on.
    pub(crate) fn close_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("place", &self.place).field("count", &self.count).finish_non_exhaustive()
    }
}

/// A lent reader; it goes back also when its borrower panics.
struct Loan<'r> {
    readers: &'r Readers,
    reader: Option<Reader>,
}

impl Deref for Loan<'_> {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        self.reader.as_ref().expect("a loan holds its reader until it is dropped")
    }
}

impl DerefMut for Loan<'_> {
    fn deref_mut(&mut self) -> &mut Reader {
        self.reader.as_mut().expect("a loan holds its reader until it is dropped")
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        // A connection inside a transaction would keep the log from being checkpointed: rather open a new one.
        if let Some(reader) = self.reader.take()
            && reader.connection.is_autocommit()
        {
            self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        }
    }
}
