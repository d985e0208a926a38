//! The tables of a projection: made by numbered migrations, each applied once, dropped by a reset.

use std::collections::BTreeSet;

use es_core::Error;
use rusqlite::Connection;

use super::{Guard, authorizer::is_ours};
use crate::{checksum::Checksum, errors::Place};

/// A projection's migrations, and where they go.
pub(super) struct Migrations<'m> {
    pub(super) projection: &'m str,
    pub(super) sql: &'m [String],
    pub(super) place: &'m Place,
}

/// A table, view, index or trigger: kind and name.
type Object = (String, String);

impl Migrations<'_> {
    /// Applies those that were not applied yet, inside the caller's transaction.
    pub(super) fn apply(&self, connection: &Connection, guard: &Guard) -> Result<(), Error> {
        let at = |error| self.place.error("reading migrations", error);
        let applied: Vec<i64> = connection
            .prepare_cached("SELECT hash FROM es_migrations WHERE projection = ?1 ORDER BY number")
            .and_then(|mut select| select.query_map([self.projection], |row| row.get(0))?.collect())
            .map_err(at)?;
        for (at, sql) in self.sql.iter().enumerate() {
            let (number, hash) = (at + 1, hash(sql));
            match applied.get(at) {
                Some(known) if *known == hash => {}
                Some(_) => {
                    let why = format!(
                        "migration {number} of `{}` was changed after it was applied; change it back and add another one",
                        self.projection
                    );
                    return Err(Error::InvalidRequest { why });
                }
                None => self.apply_one(connection, guard, number, sql)?,
            }
        }
        if applied.len() > self.sql.len() {
            let (name, known, found) = (self.projection, self.sql.len(), applied.len());
            let why = format!(
                "`{name}` has {found} migrations applied and this program knows {known}; put the missing ones back"
            );
            return Err(Error::InvalidRequest { why });
        }
        Ok(())
    }

    fn apply_one(&self, connection: &Connection, guard: &Guard, number: usize, sql: &str) -> Result<(), Error> {
        let what = format!("migration {number} of `{}`", self.projection);
        let at = |error| self.place.error(&what, error);
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
        connection
            .execute(
                "INSERT INTO es_migrations (projection, number, hash) VALUES (?1, ?2, ?3)",
                (self.projection, number, hash(sql)),
            )
            .map_err(at)?;
        Ok(())
    }

    /// Drops what the migrations made and forgets that they were applied.
    pub(super) fn revert(&self, connection: &Connection) -> Result<(), Error> {
        let what = format!("dropping the tables of `{}`", self.projection);
        let at = |error| self.place.error(&what, error);
        // Rows of one table may refer to another that is dropped first.
        connection.pragma_update(None, "defer_foreign_keys", true).map_err(at)?;
        for (kind, name) in self.own_objects(connection).map_err(at)? {
            // A name can't be bound. It comes from the database's own list and is quoted.
            let quoted = name.replace('"', "\"\"");
            connection.execute_batch(&format!("DROP {kind} IF EXISTS \"{quoted}\"")).map_err(at)?;
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

fn objects(connection: &Connection) -> rusqlite::Result<BTreeSet<Object>> {
    connection
        .prepare_cached("SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")?
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn hash(sql: &str) -> i64 {
    Checksum::start(4).text(sql).column()
}
