//! SQLite's result codes as [`es_core::Error`]s: the one place where they are told apart.

use std::{path::PathBuf, time::Duration};

use es_core::Error;
use rusqlite::ErrorCode;

/// The file an error is about, and how long we wait for it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) busy_timeout: Duration,
}

impl Place {
    /// What a failed statement of ours means. `what` says what was being done: "reading events".
    pub(crate) fn error(&self, what: &str, error: rusqlite::Error) -> Error {
        if is_conversion(&error) {
            return Error::Corrupt { what: self.at(what), why: error.to_string() };
        }
        self.application_error(what, error)
    }

    /// What a failed statement of the application means: a column that is not of the type it asked for is its mistake,
    /// not damage.
    pub(crate) fn application_error(&self, what: &str, error: rusqlite::Error) -> Error {
        let what = || self.at(what);
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
                Error::Busy { waited: self.busy_timeout }
            }
            Some(ErrorCode::DiskFull) => Error::StorageFull { path: self.path.clone(), source: error.into() },
            Some(ErrorCode::ReadOnly) => Error::ReadOnly { path: self.path.clone(), source: Some(error.into()) },
            Some(ErrorCode::DatabaseCorrupt) => Error::Corrupt { what: what(), why: error.to_string() },
            Some(ErrorCode::NotADatabase) => {
                Error::NotAStore { path: self.path.clone(), why: "it is not an SQLite file".into() }
            }
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::OutOfMemory
                | ErrorCode::NoLargeFileSupport,
            ) => Error::Io { what: what(), source: error.into() },
            _ => Error::Database { what: what(), source: error.into() },
        }
    }

    fn at(&self, what: &str) -> String {
        format!("{what} ({})", self.path.display())
    }
}

/// Whether a column held something else than its type says: only damage does that to our tables, which are STRICT.
fn is_conversion(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    matches!(error, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..))
}

/// Whether a COMMIT that failed like this has certainly written nothing, neither now nor after a crash.
///
/// A full disk leaves no whole commit frame behind; a busy or read-only database was never touched. After anything
/// else, a failed sync above all, the commit may be there when the file is opened again.
pub(crate) fn wrote_nothing(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DiskFull | ErrorCode::ReadOnly))
}

/// Whether the data breaks a rule of its tables.
pub(crate) fn is_constraint(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

/// Whether a foreign key refers to nothing.
pub(crate) fn is_foreign_key(error: &rusqlite::Error) -> bool {
    error.sqlite_extended_error_code() == Some(rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY)
}

/// Whether the storage failed and not the request: the next request would fail the same way.
pub(crate) fn is_of_the_storage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt)
    )
}

/// The same error once more, for the next of those it concerns.
pub(crate) fn again(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => rusqlite::Error::SqliteFailure(*code, message.clone()),
        other => rusqlite::Error::ToSqlConversionFailure(other.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use es_core::Retry;
    use rusqlite::ffi;

    #[test]
    fn each_class_of_result_code_has_an_error_of_its_own() {
        let place = Place { path: "bank.db".into(), busy_timeout: Duration::from_secs(5) };
        let mapped = |code| {
            let error = place.error("appending", rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
            let retry = error.retry();
            (error, retry)
        };
        assert!(matches!(mapped(ffi::SQLITE_BUSY_SNAPSHOT), (Error::Busy { .. }, Retry::Safe)));
        assert!(matches!(mapped(ffi::SQLITE_FULL), (Error::StorageFull { .. }, Retry::Safe)));
        assert!(matches!(mapped(ffi::SQLITE_READONLY), (Error::ReadOnly { .. }, Retry::Never)));
        assert!(matches!(mapped(ffi::SQLITE_IOERR_FSYNC), (Error::Io { .. }, Retry::Never)));
        assert!(matches!(mapped(ffi::SQLITE_CORRUPT), (Error::Corrupt { .. }, Retry::Never)));
        assert!(matches!(mapped(ffi::SQLITE_NOTADB), (Error::NotAStore { .. }, Retry::Never)));
        assert!(matches!(mapped(ffi::SQLITE_CONSTRAINT), (Error::Database { .. }, Retry::Never)));
    }

    #[test]
    fn a_column_of_another_type_is_damage_in_our_tables_and_a_mistake_in_the_applications() {
        let place = Place { path: "bank.db".into(), busy_timeout: Duration::from_secs(5) };
        let error = || rusqlite::Error::InvalidColumnType(0, "cents".into(), rusqlite::types::Type::Null);
        assert!(matches!(place.error("reading", error()), Error::Corrupt { .. }));
        assert!(matches!(place.application_error("reading", error()), Error::Database { .. }));
    }

    #[test]
    fn a_failed_sync_leaves_the_outcome_open_and_a_full_disk_does_not() {
        let error = |code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        assert!(!wrote_nothing(&error(ffi::SQLITE_IOERR_FSYNC)));
        assert!(!wrote_nothing(&error(ffi::SQLITE_IOERR_WRITE)));
        assert!(wrote_nothing(&error(ffi::SQLITE_FULL)));
    }
}
