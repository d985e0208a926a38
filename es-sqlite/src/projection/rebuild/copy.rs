//! Tables with their rows, indexes, views and triggers, from one file to another.
//!
//! Not by ATTACH, which a transaction that is already open does not take.

use rusqlite::{Connection, Result, Row, config::DbConfig, types::ToSqlOutput};

use crate::projection::objects::quoted;

/// Neither SQLite's own nor ours.
macro_rules! of_the_model {
    () => {
        "name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'es\\_%' ESCAPE '\\'"
    };
}

/// Copies all there is, into a file that has none of it. What was noted of migrations and objects goes along.
pub(super) fn copy(from: &Connection, to: &Connection) -> Result<()> {
    let tables = tables(from)?;
    for table in tables.iter().filter(|table| !table.is_virtual) {
        to.execute_batch(&table.sql)?;
        copy_rows(from, to, table)?;
    }
    copy_sequences(from, to)?;
    let virtual_tables = tables.iter().filter(|table| table.is_virtual);
    if virtual_tables.clone().next().is_some() {
        add_virtual(to, virtual_tables)?;
    }
    // After the rows: indexes are quicker to make at once, and triggers must not see the copy.
    for sql in dependents(from)? {
        to.execute_batch(&sql)?;
    }
    for (table, columns) in
        [("es_migrations", "projection, number, hash, down"), ("es_objects", "kind, name, projection")]
    {
        copy_columns(from, to, table, columns)?;
    }
    Ok(())
}

/// What a hook has made and no migration: the kind and the name of one.
pub(super) fn not_by_migration(scratch: &Connection) -> Result<Option<(String, String)>> {
    let sql = concat!(
        "SELECT type, name FROM sqlite_schema s WHERE ",
        of_the_model!(),
        " AND NOT EXISTS (SELECT 1 FROM es_objects o WHERE o.kind = s.type AND o.name = s.name)"
    );
    let found: Result<Vec<_>> = scratch.prepare(sql)?.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?.collect();
    Ok(found?.pop())
}

struct Table {
    name: String,
    sql: String,
    is_virtual: bool,
    without_rowid: bool,
}

/// Tables in the order in which they were made. Those in which a virtual table keeps its content are tables like others.
fn tables(connection: &Connection) -> Result<Vec<Table>> {
    let sql = concat!(
        "SELECT s.name, s.sql, l.type = 'virtual', l.wr
         FROM (SELECT rowid AS nth, name, sql FROM sqlite_schema WHERE type = 'table' AND ",
        of_the_model!(),
        ") s JOIN pragma_table_list l ON l.schema = 'main' AND l.name = s.name ORDER BY s.nth"
    );
    let read = |row: &Row<'_>| {
        Ok(Table { name: row.get(0)?, sql: row.get(1)?, is_virtual: row.get(2)?, without_rowid: row.get(3)? })
    };
    connection.prepare(sql)?.query_map((), read)?.collect()
}

/// The SQL of indexes, views and triggers, in an order that works.
fn dependents(connection: &Connection) -> Result<Vec<String>> {
    let sql = concat!(
        "SELECT sql FROM sqlite_schema WHERE type <> 'table' AND sql IS NOT NULL AND ",
        of_the_model!(),
        " ORDER BY CASE type WHEN 'index' THEN 1 WHEN 'view' THEN 2 ELSE 3 END, rowid"
    );
    connection.prepare(sql)?.query_map((), |row| row.get(0))?.collect()
}

/// All rows, each under its own rowid. Generated columns generate themselves.
fn copy_rows(from: &Connection, to: &Connection, table: &Table) -> Result<()> {
    let columns: Vec<(String, bool)> = from
        .prepare("SELECT name, hidden = 0 FROM pragma_table_xinfo(?1) ORDER BY cid")?
        .query_map([&table.name], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_>>()?;
    let is_column = |name: &&str| columns.iter().any(|(column, _)| column.eq_ignore_ascii_case(name));
    // The names of the rowid that the table leaves; it may take all three for columns, and then hides it.
    let rowid = ["rowid", "_rowid_", "oid"].into_iter().find(|name| !table.without_rowid && !is_column(name));
    let stored = columns.iter().filter(|(_, stored)| *stored).map(|(name, _)| quoted(name));
    let names: Vec<String> = rowid.map(str::to_owned).into_iter().chain(stored).collect();
    copy_columns(from, to, &table.name, &names.join(", "))
}

fn copy_columns(from: &Connection, to: &Connection, table: &str, columns: &str) -> Result<()> {
    let table = quoted(table);
    // Not in the order of an index, which would scatter the rows.
    let mut select = from.prepare(&format!("SELECT {columns} FROM {table} NOT INDEXED"))?;
    let count = select.column_count();
    let places = vec!["?"; count].join(", ");
    let mut insert = to.prepare(&format!("INSERT INTO {table} ({columns}) VALUES ({places})"))?;
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        for column in 0..count {
            insert.raw_bind_parameter(column + 1, ToSqlOutput::Borrowed(row.get_ref(column)?))?;
        }
        insert.raw_execute()?;
    }
    Ok(())
}

/// What AUTOINCREMENT has given out is not given out again, also where the rows are gone.
fn copy_sequences(from: &Connection, to: &Connection) -> Result<()> {
    let exists = "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_sequence'";
    if from.query_row(exists, (), |row| row.get::<_, i64>(0))? == 0 {
        return Ok(());
    }
    let sequences: Vec<(String, i64)> = from
        .prepare("SELECT name, seq FROM sqlite_sequence")?
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_>>()?;
    for (name, last) in sequences {
        to.execute("DELETE FROM sqlite_sequence WHERE name = ?1", [&name])?;
        to.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", (&name, last))?;
    }
    Ok(())
}

/// Adds virtual tables over tables that are there already with all their rows: as SQLite's own shell restores a dump.
/// Made anew, a virtual table would make those itself, empty, and keep in memory what it knows of them.
fn add_virtual<'t>(to: &Connection, tables: impl Iterator<Item = &'t Table>) -> Result<()> {
    let _open = SchemaOpen::of(to)?;
    for Table { name, sql, .. } in tables {
        to.execute(
            "INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES ('table', ?1, ?1, 0, ?2)",
            (name, sql),
        )?;
    }
    // Has every connection read the schema again, this one first.
    let version: i64 = to.pragma_query_value(None, "schema_version", |row| row.get(0))?;
    to.pragma_update(None, "schema_version", version + 1)
}

/// SQLite lets nobody write to its schema, nor this once this is dropped.
struct SchemaOpen<'c>(&'c Connection);

impl<'c> SchemaOpen<'c> {
    fn of(connection: &'c Connection) -> Result<Self> {
        let open = Self(connection);
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true)?;
        Ok(open)
    }
}

impl Drop for SchemaOpen<'_> {
    fn drop(&mut self) {
        let closed = self
            .0
            .set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false)
            .and_then(|_| self.0.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true));
        if let Err(error) = closed {
            tracing::error!(%error, "the defences of a connection could not be set again");
        }
    }
}
