//! The tables of a projection: made by numbered migrations, each applied once; taken back by an older program, dropped
//! by a reset.

use es_core::Error;
use rusqlite::{Connection, Row};

use super::{
    Guard, Migration,
    authorizer::is_ours,
    objects::{Object, objects, quoted},
};
use crate::{checksum::Checksum, errors::Place};

/// A projection's migrations, and where they go.
pub(super) struct Migrations<'m> {
    pub(super) projection: &'m str,
    pub(super) known: &'m [Migration],
    pub(super) place: &'m Place,
}

/// A migration as the file remembers it.
struct Applied {
    hash: i64,
    down: Option<String>,
}

impl Migrations<'_> {
    /// Applies those that were not applied yet, or takes those back that this program does not know; inside the
    /// caller's transaction.
    pub(super) fn apply(&self, connection: &Connection, guard: &Guard) -> Result<(), Error> {
        let applied = self.applied(connection)?;
        for (number, (migration, applied)) in (1..).zip(self.known.iter().zip(&applied)) {
            self.recognise(connection, number, migration, applied)?;
        }
        if applied.len() > self.known.len() {
            return self.take_back(connection, guard, &applied);
        }
        for (number, migration) in (1..).zip(self.known).skip(applied.len()) {
            self.apply_one(connection, guard, number, migration)?;
        }
        Ok(())
    }

    /// Whether the file has just these, and nothing is to be done.
    pub(super) fn are_applied(&self, connection: &Connection) -> Result<bool, Error> {
        let is = |(known, applied): (&Migration, &Applied)| {
            applied.hash == hash(&known.up) && applied.down.as_deref() == known.down.as_deref()
        };
        let applied = self.applied(connection)?;
        Ok(applied.len() == self.known.len() && self.known.iter().zip(&applied).all(is))
    }

    fn applied(&self, connection: &Connection) -> Result<Vec<Applied>, Error> {
        let read = |row: &Row<'_>| Ok(Applied { hash: row.get(0)?, down: row.get(1)? });
        connection
            .prepare_cached("SELECT hash, down FROM es_migrations WHERE projection = ?1 ORDER BY number")
            .and_then(|mut select| select.query_map([self.projection], read)?.collect())
            .map_err(|error| self.place.error("reading migrations", error))
    }

    /// Refuses one that was changed. Its `down` may change: what the last program says is how it is taken back.
    fn recognise(
        &self,
        connection: &Connection,
        number: usize,
        migration: &Migration,
        applied: &Applied,
    ) -> Result<(), Error> {
        if applied.hash != hash(&migration.up) {
            let why = format!(
                "migration {number} of `{}` was changed after it was applied; change it back and add another one",
                self.projection
            );
            return Err(Error::InvalidRequest { why });
        }
        if applied.down.as_deref() != migration.down.as_deref() {
            connection
                .execute(
                    "UPDATE es_migrations SET down = ?3 WHERE projection = ?1 AND number = ?2",
                    (self.projection, number, &migration.down),
                )
                .map_err(|error| self.place.error("storing how a migration is taken back", error))?;
        }
        Ok(())
    }

    fn apply_one(
        &self,
        connection: &Connection,
        guard: &Guard,
        number: usize,
        migration: &Migration,
    ) -> Result<(), Error> {
        let Migration { up, down } = migration;
        let what = format!("migration {number} of `{}`", self.projection);
        self.run(connection, guard, &what, up)?;
        connection
            .execute(
                "INSERT INTO es_migrations (projection, number, hash, down) VALUES (?1, ?2, ?3, ?4)",
                (self.projection, number, hash(up), down),
            )
            .map_err(|error| self.place.error(&what, error))?;
        Ok(())
    }

    /// Takes back, last first, what a newer version of the program has applied.
    fn take_back(&self, connection: &Connection, guard: &Guard, applied: &[Applied]) -> Result<(), Error> {
        let (name, known, found) = (self.projection, self.known.len(), applied.len());
        let newer = || applied.iter().enumerate().skip(known).map(|(at, applied)| (at + 1, applied)).rev();
        if let Some((number, _)) = newer().find(|(_, applied)| applied.down.is_none()) {
            let why = format!(
                "`{name}` has {found} migrations applied and this program knows {known}; put the missing ones back \
                 (migration {number} was applied without a `down`, which would take it back)"
            );
            return Err(Error::InvalidRequest { why });
        }
        for (number, applied) in newer() {
            let what = format!("taking back migration {number} of `{name}`");
            self.run(connection, guard, &what, applied.down.as_deref().unwrap_or_default())?;
            connection
                .execute("DELETE FROM es_migrations WHERE projection = ?1 AND number = ?2", (name, number))
                .map_err(|error| self.place.error(&what, error))?;
            tracing::info!(projection = name, number, "took back a migration that this program does not know");
        }
        Ok(())
    }

    /// Runs the SQL of a migration and notes what it made and dropped.
    fn run(&self, connection: &Connection, guard: &Guard, what: &str, sql: &str) -> Result<(), Error> {
        let at = |error| self.place.error(what, error);
        let before = objects(connection).map_err(at)?;
        guard.watch(|| connection.execute_batch(sql)).map_err(|error| at(guard.explain(error)))?;
        let after = objects(connection).map_err(at)?;
        // ALTER TABLE .. RENAME shows the authorizer the old name only.
        if let Some((kind, name)) = after.difference(&before).find(|(_, name)| is_ours(name)) {
            let why = format!("{what} makes the {kind} {name}: names that begin with es_ are reserved for the store");
            return Err(Error::InvalidRequest { why });
        }
        for (kind, name) in before.difference(&after) {
            connection.execute("DELETE FROM es_objects WHERE kind = ?1 AND name = ?2", (kind, name)).map_err(at)?;
        }
        for (kind, name) in after.difference(&before) {
            connection
                .execute(
                    "INSERT INTO es_objects (kind, name, projection) VALUES (?1, ?2, ?3)",
                    (kind, name, self.projection),
                )
                .map_err(at)?;
        }
        Ok(())
    }

    /// Drops what the migrations made and forgets that they were applied.
    pub(super) fn revert(&self, connection: &Connection) -> Result<(), Error> {
        let what = format!("dropping the tables of `{}`", self.projection);
        let at = |error| self.place.error(&what, error);
        // Rows of one table may refer to another that is dropped first.
        connection.pragma_update(None, "defer_foreign_keys", true).map_err(at)?;
        for (kind, name) in self.own_objects(connection).map_err(at)? {
            connection.execute_batch(&format!("DROP {kind} IF EXISTS {}", quoted(&name))).map_err(at)?;
        }
        connection.execute("DELETE FROM es_objects WHERE projection = ?1", [self.projection]).map_err(at)?;
        connection.execute("DELETE FROM es_migrations WHERE projection = ?1", [self.projection]).map_err(at)?;
        Ok(())
    }

    /// What to drop, in an order that works: what hangs on tables first, virtual tables before the shadow tables that
    /// go with them. Indexes go with their tables, unless they were put on another's.
    fn own_objects(&self, connection: &Connection) -> rusqlite::Result<Vec<Object>> {
        connection
            .prepare(
                "SELECT o.kind, o.name FROM es_objects o
                 JOIN sqlite_schema s ON s.type = o.kind AND s.name = o.name
                 WHERE o.projection = ?1 AND (o.kind <> 'index' OR s.sql IS NOT NULL)
                 ORDER BY CASE o.kind WHEN 'view' THEN 1 WHEN 'trigger' THEN 2 WHEN 'index' THEN 3 ELSE 4 END,
                          s.sql NOT LIKE 'CREATE VIRTUAL%', o.name",
            )?
            .query_map([self.projection], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    }
}

fn hash(sql: &str) -> i64 {
    Checksum::start(4).text(sql).column()
}
