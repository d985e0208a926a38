//! The log a read model is made from.

use std::{
    fmt,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use es_core::{Error, EventLog, Filter, Page, Retry, subscriber::pause_before_retry};

use crate::{
    SqliteStore, blocking,
    connection::{self, Role},
    log,
    long::Stop,
    reader::Reader,
};

/// How long a pause goes on, at most, when nobody waits for its end any more.
const BETWEEN_STOPS: Duration = Duration::from_millis(50);

/// A store's log, or a copy of one that was recorded elsewhere.
#[derive(Clone)]
pub(super) enum Source {
    Store(SqliteStore),
    Copy(Arc<dyn EventLog>),
}

impl Source {
    pub(super) fn log(&self) -> &dyn EventLog {
        match self {
            Self::Store(store) => store,
            Self::Copy(log) => &**log,
        }
    }

    /// How long to wait for another process that writes the read model's file.
    pub(super) fn busy_timeout(&self) -> Duration {
        match self {
            Self::Store(store) => store.place().busy_timeout,
            Self::Copy(_) => crate::builder::BUSY_TIMEOUT,
        }
    }

    /// The head, for a thread that may wait. A store says here when it is closed.
    pub(super) fn head(&self, stop: Stop<'_>) -> Result<u64, Error> {
        match self {
            Self::Store(store) => blocking::wait(store.head()),
            Self::Copy(log) => patiently(stop, || blocking::wait(log.head())),
        }
    }

    /// Opens it for a thread that reads on its own.
    pub(super) fn feed(&self) -> Result<Feed, Error> {
        match self {
            Self::Store(store) => {
                let place = Arc::new(store.place().clone());
                let connection = connection::open(&place, Role::Reader)?;
                Ok(Feed::Reader(Box::new(Reader { connection, names: Default::default(), place })))
            }
            Self::Copy(log) => Ok(Feed::Copy(log.clone())),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.log().fmt(f)
    }
}

/// Reads a log in the thread that asks: of a store through a connection of its own, so that no others wait for theirs
/// meanwhile.
pub(super) enum Feed {
    Reader(Box<Reader>),
    Copy(Arc<dyn EventLog>),
}

impl Feed {
    pub(super) fn page(&mut self, after: u64, limit: usize, filter: &Filter, stop: Stop<'_>) -> Result<Page, Error> {
        match self {
            Self::Reader(reader) => log::read(reader.parts(), after, limit, filter),
            Self::Copy(log) => patiently(stop, || blocking::wait(log.read_all(after, limit, filter))),
        }
    }
}

/// Asks a log elsewhere until it answers: it may be out of reach for a while. One that is closed won't come back.
fn patiently<T>(stop: Stop<'_>, ask: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    let mut failures = 0_u32;
    loop {
        match ask() {
            Err(error) if error.retry() == Retry::Safe && !matches!(error, Error::ShuttingDown) => {
                failures = failures.saturating_add(1);
                let pause = pause_before_retry(failures);
                tracing::warn!(%error, failures, ?pause, "the log could not be read; will try again");
                let until = Instant::now() + pause;
                while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                    stop()?;
                    thread::sleep(left.min(BETWEEN_STOPS));
                }
            }
            answer => return answer,
        }
    }
}
