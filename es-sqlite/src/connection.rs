//! The one way to a connection: opened, configured, and the configuration read back.

use std::{fmt::Debug, time::Duration};

use es_core::Error;
use rusqlite::{Connection, OpenFlags, config::DbConfig, types::FromSql};

use crate::{builder::Durability, errors::Place, file};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Reads and writes.
    Writer(Durability),
    /// Reads only.
    Reader,
}

/// Statements a connection keeps prepared: ours, and those of the hooks and queries that run on it.
pub(crate) const CACHED_STATEMENTS: usize = 256;
/// Pages in the log at which a commit copies them into the database: 32 MB.
const CHECKPOINT_PAGES: i64 = 8_000;

/// Opens a connection that is ready for use.
pub(crate) fn open(place: &Place, role: Role) -> Result<Connection, Error> {
    let connection = open_bare(place, role)?;
    configure(&connection, place, role)?;
    Ok(connection)
}

/// Closes a writing connection and leaves as little beside the file as other processes allow, waiting for them so long.
pub(crate) fn close(connection: Connection, patience: Duration) {
    let patient = connection.busy_timeout(patience);
    if !connection.is_readonly("main").unwrap_or(true)
        && let Err(error) =
            patient.and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())))
    {
        tracing::warn!(%error, "the last checkpoint failed; the next one to open the file makes up for it");
    }
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "the database was not closed properly");
    }
}

/// Opens a connection that leaves no trace: it takes no locks, puts no files beside the database, and sees the main
/// file only.
pub(crate) fn open_immutable(place: &Place) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    Connection::open_with_flags(file::immutable_uri(&place.path), flags)
        .map_err(|error| place.error("opening the database", error))
}

/// Opens a connection before the file is known to be ours; only the waiting time and the defences are set.
pub(crate) fn open_bare(place: &Place, role: Role) -> Result<Connection, Error> {
    let access = match role {
        Role::Writer(_) => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Role::Reader => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    // No SQLITE_OPEN_URI: a path is a path, whatever it looks like.
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let at = |error| place.error("opening the database", error);
    let connection = Connection::open_with_flags(&place.path, flags).map_err(at)?;
    connection.busy_timeout(place.busy_timeout).map_err(at)?;
    for (setting, value) in [
        // Without it SQLite prepares a cached statement with ORDER BY or LIMIT anew on each use.
        (DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true),
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
    ] {
        if connection.set_db_config(setting, value).map_err(at)? != value {
            return Err(refused(place, &format!("{setting:?}"), value, !value));
        }
    }
    Ok(connection)
}

/// Sets what every connection of this crate has, and asserts that it took effect.
pub(crate) fn configure(connection: &Connection, place: &Place, role: Role) -> Result<(), Error> {
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    let pragmas = Pragmas { connection, place };
    if let Role::Writer(_) = role
        && !connection.is_readonly("main").map_err(|error| place.error("opening the database", error))?
    {
        pragmas.write_ahead_log()?;
    }
    pragmas.expect("journal_mode", &"wal".to_owned())?;
    let (synchronous, cache_kib) = match role {
        Role::Writer(Durability::Full) => (2, 16 << 10),
        Role::Writer(Durability::MayLoseRecentOnPowerLoss) => (1, 16 << 10),
        Role::Reader => (2, 64 << 10),
    };
    pragmas.set("synchronous", synchronous)?;
    pragmas.set("cache_size", -cache_kib)?;
    pragmas.set("cell_size_check", 1)?;
    pragmas.set("mmap_size", 0)?;
    pragmas.set("temp_store", 2)?;
    pragmas.set("wal_autocheckpoint", CHECKPOINT_PAGES)?;
    let timeout = i64::try_from(place.busy_timeout.as_millis()).unwrap_or(i64::MAX);
    pragmas.expect("busy_timeout", &timeout)
}

struct Pragmas<'c> {
    connection: &'c Connection,
    place: &'c Place,
}

impl Pragmas<'_> {
    fn set(&self, name: &str, value: i64) -> Result<(), Error> {
        self.connection
            .pragma_update(None, name, value)
            .map_err(|error| self.place.error(&format!("setting {name}"), error))?;
        self.expect(name, &value)
    }

    fn expect<T: FromSql + Debug + PartialEq>(&self, name: &str, wanted: &T) -> Result<(), Error> {
        let found: T = self
            .connection
            .pragma_query_value(None, name, |row| row.get(0))
            .map_err(|error| self.place.error(&format!("reading {name}"), error))?;
        if found == *wanted { Ok(()) } else { Err(refused(self.place, name, wanted, found)) }
    }

    /// Two processes that switch a new file at once make each other busy without waiting, so the waiting is ours.
    fn write_ahead_log(&self) -> Result<(), Error> {
        let start = std::time::Instant::now();
        loop {
            let switched = self.connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()));
            match switched.map_err(|error| self.place.error("switching to a write-ahead log", error)) {
                Err(Error::Busy { .. }) if start.elapsed() < self.place.busy_timeout => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                switched => return switched,
            }
        }
    }
}

/// The database did not take a setting: a file system without shared memory, a build that leaves something out.
fn refused(place: &Place, name: &str, wanted: impl Debug, found: impl Debug) -> Error {
    let why = format!("{name} is {found:?} and can't be set to {wanted:?}");
    Error::Io { what: format!("configuring {}", place.path.display()), source: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_gets_every_setting() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { path: folder.path().join("a.db"), busy_timeout: Duration::from_millis(1_234) };
        std::fs::File::create(&place.path).unwrap();
        for (role, synchronous) in [
            (Role::Writer(Durability::Full), 2),
            (Role::Writer(Durability::MayLoseRecentOnPowerLoss), 1),
            (Role::Reader, 2),
        ] {
            let connection = open(&place, role).unwrap();
            let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!(pragma("synchronous"), synchronous, "{role:?}");
            assert_eq!(pragma("trusted_schema"), 0);
            assert_eq!(pragma("cell_size_check"), 1);
            assert_eq!(pragma("mmap_size"), 0);
            assert_eq!(pragma("busy_timeout"), 1_234);
            assert!(connection.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG).unwrap());
            assert!(connection.db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE).unwrap());
            let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
            assert_eq!(journal, "wal");
        }
    }
}
