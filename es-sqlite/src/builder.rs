//! Opening a store: the settings and their defaults.

use std::{path::PathBuf, sync::Arc, time::Duration};

use es_core::{Clock, Error, Limits, SystemClock};
use tokio::sync::watch;

use crate::{
    SqliteStore,
    errors::Place,
    reader::Readers,
    writer::{self, AnswersSince, Setup},
};

/// How long another process that writes the file is waited for, unless it is said.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What an acknowledged commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: each transaction is synced to disk before it is acknowledged.
    #[default]
    Full,
    /// A crash of the program, but not a power cut: that may take the most recent commits, each as a whole. The store
    /// is consistent afterwards. Faster, since commits don't wait for the disk.
    MayLoseRecentOnPowerLoss,
}

/// Builds a [`SqliteStore`]; created by [`SqliteStore::builder`].
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
            busy_timeout: BUSY_TIMEOUT,
            readers: u32::try_from(cores).unwrap_or(2),
            durability: Durability::Full,
            clock: Arc::new(SystemClock),
            create: true,
        }
    }

    /// Size limits of what the store accepts.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long to wait while another process writes, before [`Busy`](Error::Busy) is returned. Default: 5 seconds.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        // SQLite counts milliseconds in 31 bits.
        self.busy_timeout = timeout.min(Duration::from_millis(i32::MAX.unsigned_abs().into()));
        self
    }

    /// The number of connections for reading, at least 1. Default: the number of cores; more are slower.
    pub fn readers(mut self, readers: u32) -> Self {
        self.readers = readers;
        self
    }

    /// What an acknowledged commit survives. Default: [`Durability::Full`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The clock for the times of events. Default: the machine's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Whether to create the file when it does not exist. Default: `true`.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Opens the store. A file that an older version of this library wrote gets the present tables, in one transaction;
    /// programs of that version can't open it afterwards.
    ///
    /// # Errors
    /// [`Io`](Error::Io) when the file can't be opened or created, [`NotAStore`](Error::NotAStore) when it is not an
    /// event store, [`SchemaTooNew`](Error::SchemaTooNew) when a newer version of this library wrote it,
    /// [`ReadOnly`](Error::ReadOnly) when its folder can't be written. Such a file is not changed.
    pub async fn open(self) -> Result<SqliteStore, Error> {
        let Self { path, limits, busy_timeout, readers, durability, clock, create } = self;
        let place = Arc::new(Place { path, busy_timeout });
        let head = watch::Sender::new(0);
        let answers_since = Arc::<AnswersSince>::default();
        let setup = Setup {
            place: Arc::clone(&place),
            durability,
            create,
            clock: Arc::clone(&clock),
            head: head.clone(),
            answers_since: Arc::clone(&answers_since),
        };
        let (queue, identity) = writer::start(setup).await?;
        let readers = Readers::new(Arc::clone(&place), readers);
        Ok(SqliteStore::new(crate::store::Inner {
            place,
            limits,
            clock,
            identity,
            readers,
            queue,
            head,
            answers_since,
        }))
    }
}
