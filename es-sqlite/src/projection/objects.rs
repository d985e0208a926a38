//! Tables, views, indexes and triggers by their names, and whose they are.

use std::collections::BTreeSet;

use rusqlite::Connection;

/// A table, view, index or trigger: kind and name.
pub(super) type Object = (String, String);

/// All that SQL has made in a file, the store's own included.
pub(super) fn objects(connection: &Connection) -> rusqlite::Result<BTreeSet<Object>> {
    connection
        .prepare_cached("SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")?
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// A name as SQL takes it. It can't be bound; it comes from the database's own list.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
