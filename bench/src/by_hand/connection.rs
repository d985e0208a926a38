//! Connections with the settings of the store's own.

use std::path::Path;

use es_sqlite::SqliteStore;
use rusqlite::{Connection, OpenFlags, config::DbConfig};

use crate::rounds::Result;

/// Makes a file with the store's schema, and nothing in it.
pub(crate) async fn create(path: &Path) -> Result<()> {
    Ok(SqliteStore::open(path).await?.shutdown().await?)
}

/// A connection that writes, synced to disk with each commit.
pub(crate) fn writer(path: &Path) -> Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, 16 << 10)
}

/// A connection that reads.
pub(crate) fn reader(path: &Path) -> Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, 64 << 10)
}

/// A connection to a read model's own file, which may lose the last commits with the power.
pub(crate) fn read_model(path: &Path) -> Result<Connection> {
    let access = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = open(path, access, 16 << 10)?;
    connection.pragma_update(None, "synchronous", 1)?;
    Ok(connection)
}

fn open(path: &Path, access: OpenFlags, cache_kib: i64) -> Result<Connection> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    if access.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
        connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    }
    let settings = [
        ("synchronous", 2),
        ("cache_size", -cache_kib),
        ("cell_size_check", 1),
        ("mmap_size", 0),
        ("temp_store", 2),
        ("wal_autocheckpoint", 8_000),
    ];
    for (name, value) in settings {
        connection.pragma_update(None, name, value)?;
    }
    Ok(connection)
}

/// Copies the log into the database, as the store does when it is closed.
pub(crate) fn checkpoint(connection: &Connection) -> Result<()> {
    Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?)
}
