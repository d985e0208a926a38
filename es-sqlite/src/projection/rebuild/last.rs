//! The last events of a rebuild: handled in the transaction that puts the new read model in place.

use es_core::{Error, Page};
use rusqlite::Connection;

use super::fill::Making;
use crate::{
    blocking,
    projection::{Inner, target::Target},
};

/// Events handled inside the transaction, at most, unless the present read model has more.
const MOST: u64 = 1_000;

/// The last pages of the log.
#[derive(Default)]
pub(super) struct Last {
    pub(super) pages: Vec<Page>,
    /// How far they were asked for. They end earlier where the log does.
    pub(super) goal: u64,
}

impl Last {
    /// Reads on from a position: up to the head, unless that is far, but all that the present read model has handled.
    pub(super) fn read(
        position: u64,
        head: u64,
        present: u64,
        mut page: impl FnMut(u64, usize) -> Result<Page, Error>,
    ) -> Result<Self, Error> {
        let goal = head.min(position + MOST).max(present);
        let (mut pages, mut reached) = (Vec::new(), position);
        while reached < goal {
            let next = page(reached, usize::try_from(goal - reached).unwrap_or(usize::MAX))?;
            // The store was restored to an older state: the log ends before the present read model.
            if next.scanned_to == reached {
                break;
            }
            reached = next.scanned_to;
            pages.push(next);
        }
        Ok(Self { pages, goal })
    }

    /// Whether a read model in place of one that is here would not be behind it, unless the log ends before.
    pub(super) fn covers(&self, present: u64) -> bool {
        let read_to = self.pages.last().map_or(0, |page| page.scanned_to);
        present <= self.goal.max(read_to)
    }
}

impl Making {
    /// Reads the last pages before the transaction, for a read model in a file of its own. Who answers may be a task of
    /// the runtime whose only thread waits to write that file.
    ///
    /// For one in the store's own file they are read inside the transaction: it may hold commits that are not visible
    /// outside yet, and that the present read model has followed.
    pub(super) fn read_last(&mut self) -> Result<(), Error> {
        let Self { inner, feed, position, last, .. } = self;
        let Inner { target, filter, source, .. } = &**inner;
        if let Target::Store(_) = target {
            return Ok(());
        }
        let present = blocking::wait(target.readers().read(|reader| present_checkpoint(inner, &reader.connection)))?;
        let head = blocking::wait(source.log().head())?;
        *last = Last::read(*position, head, present, |after, limit| feed.page(after, limit, filter))?;
        Ok(())
    }
}

/// How far the present read model is in the log of this store, by its foremost partition.
pub(super) fn present_checkpoint(inner: &Inner, connection: &Connection) -> Result<u64, Error> {
    connection
        .prepare_cached("SELECT coalesce(max(position), 0) FROM es_checkpoints WHERE name = ?1 AND store_id = ?2")
        .and_then(|mut select| select.query_row((&inner.name, inner.store_id().as_bytes()), |row| row.get(0)))
        .map_err(|error| inner.target.place().error("reading a checkpoint", error))
}
