//! The last events of a rebuild: handled in the transaction that puts the new read model in place.

use es_core::{Error, Page};
use rusqlite::Connection;

use super::fill::Making;
use crate::{
    blocking,
    long::Stop,
    projection::{Inner, target::Target},
};

/// Events handled inside the transaction, at most, unless the present read model has more.
const MOST: u64 = 1_000;

/// The last pages of the log.
#[derive(Default)]
pub(super) struct Last {
    pub(super) pages: Vec<Page>,
    /// A present read model up to here may be replaced: its checkpoint does not go back.
    covered: u64,
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
            if next.scanned_to == reached {
                break;
            }
            reached = next.scanned_to;
            pages.push(next);
        }
        // Where the log ends before the present read model, the store was restored to an older state. A log that only
        // did not hand over all up to its head is read again.
        let is_restored = head < present && reached >= head;
        Ok(Self { pages, covered: if is_restored { present.max(reached) } else { reached } })
    }

    /// Whether these pages suffice in place of a read model that has come so far.
    pub(super) fn covers(&self, present: u64) -> bool {
        present <= self.covered
    }
}

impl Making {
    /// Reads the last pages before the transaction, for a read model in a file of its own. Who answers may be a task of
    /// the runtime whose only thread waits to write that file.
    ///
    /// For one in the store's own file they are read inside the transaction: it may hold commits that are not visible
    /// outside yet, and that the present read model has followed.
    pub(super) fn read_last(&mut self, stop: Stop<'_>) -> Result<(), Error> {
        let Self { inner, feed, position, last, .. } = self;
        let Inner { target, filter, source, .. } = &**inner;
        if let Target::Store(_) = target {
            return Ok(());
        }
        let present = blocking::wait(target.readers().read(|reader| present_checkpoint(inner, &reader.connection)))?;
        let head = source.head(stop)?;
        *last = Last::read(*position, head, present, |after, limit| feed.page(after, limit, filter, stop))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads of a log with commits of two events, which hands over those up to a position.
    fn read(position: u64, head: u64, present: u64, there: u64) -> (u64, u64) {
        let page = |after: u64, limit: usize| {
            let scanned_to = (after + limit as u64).next_multiple_of(2).min(there).max(after);
            Ok(Page { events: Vec::new(), scanned_to })
        };
        let last = Last::read(position, head, present, page).unwrap();
        (last.pages.last().map_or(position, |page| page.scanned_to), last.covered)
    }

    #[test]
    fn it_is_read_to_the_head_and_to_where_the_present_read_model_is() {
        assert_eq!(read(90, 100, 0, 100), (100, 100));
        assert_eq!(read(100, 100, 100, 100), (100, 100), "nothing is left");
        assert_eq!(read(90, 100, 0, 104), (100, 100));
        assert_eq!(read(90, 5_000, 0, 5_000), (90 + MOST, 90 + MOST), "the head is far");
        assert_eq!(read(90, 5_000, 3_000, 5_000), (3_000, 3_000), "but the present read model is there");
        assert_eq!(read(90, 99, 0, 100), (100, 100), "to the end of a commit");
    }

    #[test]
    fn only_a_log_that_ends_before_the_present_read_model_takes_it_back() {
        assert_eq!(read(90, 100, 120, 100), (100, 120));
        assert_eq!(read(90, 120, 120, 100), (100, 100), "the rest is on its way");
        assert_eq!(read(90, 110, 120, 100), (100, 100), "the rest is on its way");
    }
}
