//! The scratch file: where the new read model is made, beside the file it goes to.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use es_core::Error;
use rusqlite::{Connection, TransactionBehavior, types::Value};

use crate::{
    builder::Durability,
    checksum::Checksum,
    connection::{self, Role},
    errors::Place,
    file::{self, Found},
    projection::Guard,
    schema,
};

/// How long to wait for a rebuild that was given up a moment ago and is about to let go of its file.
const PATIENCE: Duration = Duration::from_millis(500);
/// Files that may be cleared away, or vanish, before ours stands.
const ATTEMPTS: usize = 10;
/// Pages kept in memory: 64 MB.
const CACHE_KIB: i64 = 64 << 10;

/// One file is opened at a time: closing a file just made drops all locks this process has on it.
static OPENING: Mutex<()> = Mutex::new(());

/// The scratch file of one rebuild. SQLite's exclusive lock on it is held as long as this lives, so there is no second
/// one; then the file goes.
pub(super) struct Scratch {
    // Fields are dropped in order. The name goes before the lock, so that it can't be another's file that is removed;
    // where an open file can't be removed, nobody can have taken its place either.
    #[cfg(unix)]
    _file: Removed,
    pub(super) connection: Connection,
    #[cfg(not(unix))]
    _file: Removed,
    pub(super) guard: Guard,
    pub(super) place: Place,
}

impl Scratch {
    /// Makes the file; clears away what a killed rebuild has left.
    pub(super) fn make(projection: &str, target: &Path) -> Result<Self, Error> {
        let place = Place { path: path(projection, target), busy_timeout: PATIENCE };
        let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ATTEMPTS {
            let made = file::make(&place.path)? == Found::Empty;
            let stood = identity(&place.path);
            match lock(&place) {
                Err(Error::Busy { .. }) => break,
                // Its name was taken from it before it was locked.
                Ok(_) if stood != identity(&place.path) => {}
                Ok(connection) if made => return Self::over(connection, place).with_tables(),
                Ok(connection) => drop(Self::over(connection, place.clone())),
                Err(error) => {
                    drop(Removed(place.path.clone()));
                    if made {
                        return Err(error);
                    }
                }
            }
        }
        Err(Error::RebuildUnderWay { name: projection.to_owned() })
    }

    /// Removes what a killed rebuild has left; leaves the file of one that is under way.
    pub(super) fn clear(projection: &str, target: &Path) {
        let place = Place { path: path(projection, target), busy_timeout: Duration::ZERO };
        if place.path.symlink_metadata().is_err() {
            return;
        }
        let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        match lock(&place) {
            Err(Error::Busy { .. }) => {}
            Ok(connection) => drop(Self::over(connection, place)),
            Err(_) => drop(Removed(place.path)),
        }
    }

    fn over(connection: Connection, place: Place) -> Self {
        Self { _file: Removed(place.path.clone()), connection, guard: Guard::default(), place }
    }

    fn with_tables(mut self) -> Result<Self, Error> {
        let made = self.guard.install(&mut self.connection).and_then(|()| {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
            schema::READ_MODEL.create(&transaction)?;
            transaction.commit()
        });
        made.map_err(|error| self.place.error("creating the tables", error))?;
        Ok(self)
    }

    /// Runs a closure in a transaction of the scratch file.
    pub(super) fn write<T>(&mut self, run: impl FnOnce(&Connection, &Guard) -> Result<T, Error>) -> Result<T, Error> {
        let at = |error| self.place.error("writing a read model", error);
        // Rolls back when it is dropped.
        let transaction = self.connection.transaction().map_err(at)?;
        let answer = run(&transaction, &self.guard)?;
        transaction.commit().map_err(at)?;
        Ok(answer)
    }
}

/// Beside the target, under a name that differs for each read model in it.
fn path(projection: &str, target: &Path) -> PathBuf {
    let target = target.canonicalize().unwrap_or_else(|_| target.to_owned());
    let name = Checksum::start(5).text(projection).column();
    file::beside(&target, &format!(".{name:016x}.rebuild"))
}

/// Opens the file and locks it for good. It needs no journal on disk and no sync: cut off, it is thrown away.
fn lock(place: &Place) -> Result<Connection, Error> {
    let at = |error| place.error("opening the scratch file", error);
    let connection = connection::open_bare(place, Role::Writer(Durability::MayLoseRecentOnPowerLoss))?;
    connection.set_prepared_statement_cache_capacity(connection::CACHED_STATEMENTS);
    let settings: [(&str, Value); 5] = [
        ("locking_mode", "exclusive".to_owned().into()),
        ("journal_mode", "memory".to_owned().into()),
        ("synchronous", 0.into()),
        ("temp_store", 2.into()),
        ("cache_size", (-CACHE_KIB).into()),
    ];
    for (name, value) in settings {
        connection.pragma_update(None, name, value).map_err(at)?;
    }
    connection.execute_batch("BEGIN EXCLUSIVE; COMMIT").map_err(at)?;
    Ok(connection)
}

/// Tells a file from another one that was given its name.
#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    path.symlink_metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Elsewhere a file that is open keeps its name.
#[cfg(not(unix))]
fn identity(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// A file that goes when this is dropped.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.0.display(), "a rebuild left this file behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_needs_no_journal_and_no_sync_and_is_locked_until_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("bank.db");
        let files = || folder.path().read_dir().unwrap().count();
        let scratch = Scratch::make("balances", &target).unwrap();
        let pragma = |name| scratch.connection.pragma_query_value(None, name, |row| row.get::<_, Value>(0)).unwrap();
        assert_eq!(pragma("locking_mode"), Value::Text("exclusive".into()));
        assert_eq!(pragma("journal_mode"), Value::Text("memory".into()));
        assert_eq!(pragma("synchronous"), Value::Integer(0));
        assert_eq!(pragma("cache_size"), Value::Integer(-CACHE_KIB));

        assert!(matches!(Scratch::make("balances", &target), Err(Error::RebuildUnderWay { .. })));
        Scratch::clear("balances", &target);
        assert_eq!(files(), 1);
        let other = Scratch::make("statements", &target).unwrap();
        assert_eq!(files(), 2);
        drop((scratch, other));
        assert_eq!(files(), 0);
        Scratch::make("balances", &target).unwrap();
    }
}
