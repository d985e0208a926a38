//! The new read model takes the old one's place, in one transaction.

use es_core::{Error, Page};
use rusqlite::Connection;

use super::{copy, fill::Making, neighbours};
use crate::{
    log,
    names::Names,
    projection::{Guard, Inner, migrations::Migrations, page::Care, target::Target},
};

/// Events handled inside the transaction, at most, unless the present read model has more.
const PAGE: u64 = 1_000;

/// Reads pages of the log.
type Pages<'r> = Box<dyn FnMut(u64, usize) -> Result<Page, Error> + 'r>;

impl Making {
    /// Drops the old tables, makes the new ones with their rows, handles what was recorded meanwhile, and moves the
    /// checkpoint, never back. Returns the checkpoint. Inside the transaction, so that readers see the old read model
    /// until it is committed; may be called again on another one.
    pub(super) fn put_in_place(&mut self, connection: &Connection, guard: &Guard) -> Result<u64, Error> {
        let Self { inner, scratch, feed, position } = self;
        let Inner { name, migrations, target, filter, .. } = &**inner;
        let place = target.place();
        let at = |error| place.error("putting a rebuilt read model in place", error);
        same_migrations(inner, &scratch.connection, connection)?;
        let present = present_checkpoint(inner, connection).map_err(at)?;

        inner.spare_neighbours(connection)?;
        let others = neighbours::on_tables_of(name, connection).map_err(at)?;
        Migrations { projection: name, known: migrations, place }.revert(connection)?;
        copy::copy(&scratch.connection, connection).map_err(at)?;
        others.iter().try_for_each(|sql| connection.execute_batch(sql)).map_err(at)?;
        let notes = inner.notes(connection);
        notes.clear().and_then(|()| notes.take_over(&inner.notes(&scratch.connection))).map_err(at)?;

        // In the store's own file inside the transaction: it may hold commits that are not visible outside yet, and that
        // the present read model has followed.
        let (head, mut page): (u64, Pages<'_>) = match target {
            Target::Store(store) => {
                let (place, mut names) = (store.place(), Names::default());
                let head = log::head(connection).map_err(|error| place.error("reading the head", error))?;
                let page = move |after, limit| log::read((connection, &mut names, place), after, limit, filter);
                (head, Box::new(page))
            }
            Target::File(_) => (feed.head()?, Box::new(|after, limit| feed.page(after, limit, filter))),
        };
        let goal = head.min(*position + PAGE).max(present);
        let care = inner.gives_up().then(|| Care::last(0));
        let mut reached = *position;
        while reached < goal {
            let limit = usize::try_from(goal - reached).unwrap_or(usize::MAX);
            let Page { events, scanned_to } = page(reached, limit)?;
            // The store was restored to an older state: the log ends before the present read model.
            if scanned_to == reached {
                break;
            }
            inner.run_events(connection, guard, &events, care.as_ref())?;
            reached = scanned_to;
        }
        // Whoever works from the former checkpoints can't move them any more.
        inner.registration().put(connection, reached).map_err(at)?;
        Ok(reached)
    }
}

/// A newer program may have changed the tables meanwhile: its hooks would not find them any more.
fn same_migrations(inner: &Inner, scratch: &Connection, connection: &Connection) -> Result<(), Error> {
    let applied = |connection: &Connection| -> rusqlite::Result<Vec<i64>> {
        connection
            .prepare_cached("SELECT hash FROM es_migrations WHERE projection = ?1 ORDER BY number")?
            .query_map([&inner.name], |row| row.get(0))?
            .collect()
    };
    let at = |error| inner.target.place().error("reading migrations", error);
    if applied(scratch).map_err(at)? == applied(connection).map_err(at)? {
        return Ok(());
    }
    let why = format!(
        "another program has applied or taken back migrations of `{}` while it was rebuilt; the read model stays as it \
         is: rebuild it with that program",
        inner.name
    );
    Err(Error::InvalidRequest { why })
}

/// How far the present read model is in the log of this store, by its foremost partition.
fn present_checkpoint(inner: &Inner, connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT coalesce(max(position), 0) FROM es_checkpoints WHERE name = ?1 AND store_id = ?2")?
        .query_row((&inner.name, inner.store_id().as_bytes()), |row| row.get(0))
}
