//! The new read model takes the old one's place, in one transaction.

use std::ops::ControlFlow;

use es_core::{Error, Page};
use rusqlite::Connection;

use super::{
    copy,
    fill::Making,
    last::{Last, present_checkpoint},
    neighbours,
};
use crate::{
    log,
    names::Names,
    projection::{Guard, Inner, migrations::Migrations, page::Care, target::Target},
};

impl Making {
    /// Drops the old tables, makes the new ones with their rows, handles what was recorded meanwhile, and moves the
    /// checkpoint, never back. Breaks with the checkpoint. Inside the transaction, so that readers see the old read model
    /// until it is committed; may be called again on another one.
    ///
    /// Continues, and has done nothing, when the present read model has gone beyond the pages that were read before.
    pub(super) fn put_in_place(&mut self, connection: &Connection, guard: &Guard) -> Result<ControlFlow<u64>, Error> {
        let Self { inner, scratch, position, last, .. } = self;
        let Inner { name, migrations, target, filter, .. } = &**inner;
        let place = target.place();
        let at = |error| place.error("putting a rebuilt read model in place", error);
        same_migrations(inner, &scratch.connection, connection)?;
        let present = present_checkpoint(inner, connection)?;
        if let Target::Store(store) = target {
            let (place, mut names) = (store.place(), Names::default());
            let head = log::head(connection).map_err(|error| place.error("reading the head", error))?;
            let page = |after, limit| log::read((connection, &mut names, place), after, limit, filter);
            *last = Last::read(*position, head, present, page)?;
        }
        if !last.covers(present) {
            return Ok(ControlFlow::Continue(()));
        }

        inner.spare_neighbours(connection)?;
        let others = neighbours::on_tables_of(name, connection).map_err(at)?;
        Migrations { projection: name, known: migrations, place }.revert(connection)?;
        copy::copy(&scratch.connection, connection).map_err(at)?;
        others.iter().try_for_each(|sql| connection.execute_batch(sql)).map_err(at)?;
        let notes = inner.notes(connection);
        notes.clear().and_then(|()| notes.take_over(&inner.notes(&scratch.connection))).map_err(at)?;

        let care = inner.gives_up().then(|| Care::last(0));
        let mut reached = *position;
        for Page { events, scanned_to } in &last.pages {
            inner.run_events(connection, guard, events, care.as_ref())?;
            reached = *scanned_to;
        }
        // Whoever works from the former checkpoints can't move them any more.
        inner.registration().put(connection, reached).map_err(at)?;
        Ok(ControlFlow::Break(reached))
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
