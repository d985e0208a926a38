//! Opening a store: what can be chosen, and what is chosen when nothing is said.

use std::{path::PathBuf, sync::Arc, time::Duration};

use es_core::{Clock, Error, Limits, SystemClock};
use tokio::sync::watch;

use crate::{
    SqliteStore,
    errors::Place,
    reader::Readers,
    writer::{self, Setup},
};

/// What a commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Everything that was acknowledged, also a power cut: each transaction is synced before it is answered.
    #[default]
    Full,
    /// A crash of the program, but not a power cut: then the last transactions before it may be gone, as a whole and
    /// from the end. What is left is consistent.
    MayLoseRecentOnPowerLoss,
}

/// Opens a [`SqliteStore`]; made by [`SqliteStore::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `open`"]
pub struct SqliteStoreBuilder {
    path: PathBuf,
    limits: Limits,
    busy_timeout: Duration,
    readers: u32,
    durability: Durability,
    clock: Arc<dyn Clock>,
    create: bool,
}

impl SqliteStoreBuilder {
    pub(crate) fn new(path: PathBuf) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            path,
            limits: Limits::default(),
            busy_timeout: Duration::from_secs(5),
            readers: u32::try_from(cores).unwrap_or(2),
            durability: Durability::Full,
            clock: Arc::new(SystemClock),
            create: true,
        }
    }

    /// What the store accepts at most.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long to wait for another process that writes, before [`Busy`](Error::Busy). Default: 5 seconds.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        // SQLite counts milliseconds in 31 bits.
        self.busy_timeout = timeout.min(Duration::from_millis(i32::MAX.unsigned_abs().into()));
        self
    }

    /// How many connections read at once, at least 1. Default: as many as there are cores; more are slower.
    pub fn readers(mut self, readers: u32) -> Self {
        self.readers = readers;
        self
    }

    /// What a commit survives. Default: [`Durability::Full`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Where the time comes from. Default: the machine's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Whether a file that does not exist is made. Default: it is.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Opens the store.
    ///
    /// # Errors
    /// [`Io`](Error::Io) where the file can't be reached, [`NotAStore`](Error::NotAStore) where it is another
    /// program's, [`SchemaTooNew`](Error::SchemaTooNew) where it is a newer program's. Such a file is left untouched.
    pub async fn open(self) -> Result<SqliteStore, Error> {
        let Self { path, limits, busy_timeout, readers, durability, clock, create } = self;
        let place = Arc::new(Place { path, busy_timeout });
        let head = watch::Sender::new(0);
        let setup =
            Setup { place: Arc::clone(&place), durability, create, clock: Arc::clone(&clock), head: head.clone() };
        let (queue, identity) = writer::start(setup).await?;
        let readers = Readers::new(Arc::clone(&place), readers);
        Ok(SqliteStore::new(crate::store::Inner { place, limits, clock, identity, readers, queue, head }))
    }
}
