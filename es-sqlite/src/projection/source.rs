//! The log a read model is made from.

use std::{fmt, sync::Arc, time::Duration};

use es_core::{Error, EventLog, Filter, Page};

use crate::{
    SqliteStore, blocking,
    connection::{self, Role},
    log,
    reader::Reader,
};

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
    pub(super) fn page(&mut self, after: u64, limit: usize, filter: &Filter) -> Result<Page, Error> {
        match self {
            Self::Reader(reader) => log::read(reader.parts(), after, limit, filter),
            Self::Copy(log) => blocking::wait(log.read_all(after, limit, filter)),
        }
    }
}
