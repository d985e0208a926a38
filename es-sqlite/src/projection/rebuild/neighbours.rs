//! What others have put on the tables of a read model, which are dropped to make room for new ones.

use rusqlite::{Connection, OptionalExtension, Result};

/// The SQL of indexes and triggers that are not the projection's and hang on its tables: they are dropped with them.
pub(super) fn on_tables_of(projection: &str, connection: &Connection) -> Result<Vec<String>> {
    connection
        .prepare(
            "SELECT s.sql FROM sqlite_schema s
             WHERE s.type IN ('index', 'trigger') AND s.sql IS NOT NULL
               AND s.tbl_name COLLATE NOCASE IN
                   (SELECT name FROM es_objects WHERE projection = ?1 AND kind IN ('table', 'view'))
               AND NOT EXISTS
                   (SELECT 1 FROM es_objects o WHERE o.projection = ?1 AND o.kind = s.type AND o.name = s.name)
             ORDER BY s.type, s.rowid",
        )?
        .query_map([projection], |row| row.get(0))?
        .collect()
}

/// A table that is not the projection's and loses something when a row of the projection's is deleted: its name, and
/// by which action.
pub(super) fn endangered_by(projection: &str, connection: &Connection) -> Result<Option<(String, String)>> {
    connection
        .prepare(
            "SELECT s.name, f.on_delete FROM sqlite_schema s JOIN pragma_foreign_key_list(s.name) f
             WHERE s.type = 'table' AND f.on_delete IN ('CASCADE', 'SET NULL', 'SET DEFAULT')
               AND f.\"table\" COLLATE NOCASE IN (SELECT name FROM es_objects WHERE projection = ?1 AND kind = 'table')
               AND NOT EXISTS
                   (SELECT 1 FROM es_objects o WHERE o.projection = ?1 AND o.kind = 'table' AND o.name = s.name)",
        )?
        .query_row([projection], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}
