//! The transaction as hooks and queries see it.

use std::fmt;

use es_core::HookResult;
use rusqlite::{CachedStatement, Connection, Params, Result, Row};

use super::Guard;

/// The transaction that a hook of a [`SqliteProjection`](crate::SqliteProjection) writes in, and a query reads in.
///
/// `execute`, `query_row` and `query` work as rusqlite's, and cache their prepared statements. The transaction is begun
/// and ended by the projection: a hook's SQL can't COMMIT, ATTACH, set a PRAGMA or write to the store's own tables.
pub struct Tx<'c> {
    connection: &'c Connection,
    guard: Option<&'c Guard>,
}

impl<'c> Tx<'c> {
    pub(super) fn new(connection: &'c Connection, guard: Option<&'c Guard>) -> Self {
        Self { connection, guard }
    }

    /// Runs a statement and returns the number of rows it changed.
    ///
    /// # Errors
    /// SQLite's error.
    pub fn execute<P: Params>(&self, sql: &str, params: P) -> Result<usize> {
        self.prepare(sql)?.execute(params)
    }

    /// Runs a statement, as the last expression of a hook.
    ///
    /// ```
    /// # #![allow(dead_code)]
    /// # use es_sqlite::{HookResult, Tx};
    /// # fn hook(tx: &Tx<'_>, id: &str, cents: i64) -> HookResult {
    /// tx.run("UPDATE balance SET cents = cents + ?2 WHERE account_id = ?1", (id, cents))
    /// # }
    /// ```
    ///
    /// # Errors
    /// SQLite's error.
    pub fn run<P: Params>(&self, sql: &str, params: P) -> HookResult {
        self.execute(sql, params)?;
        Ok(())
    }

    /// Runs a query for one row; `QueryReturnedNoRows` when there is none (see
    /// [`OptionalExtension`](rusqlite::OptionalExtension)).
    ///
    /// # Errors
    /// SQLite's error, or the closure's.
    pub fn query_row<T, P: Params>(&self, sql: &str, params: P, read: impl FnOnce(&Row<'_>) -> Result<T>) -> Result<T> {
        self.prepare(sql)?.query_row(params, read)
    }

    /// Runs a query and collects what the closure returns for each row.
    ///
    /// # Errors
    /// SQLite's error, or the closure's.
    pub fn query<T, P: Params>(&self, sql: &str, params: P, read: impl FnMut(&Row<'_>) -> Result<T>) -> Result<Vec<T>> {
        self.prepare(sql)?.query_map(params, read)?.collect()
    }

    /// Prepares a statement, or takes it from the cache; for what the other methods can't do.
    ///
    /// # Errors
    /// SQLite's error; statements that a hook must not run are refused here.
    pub fn prepare(&self, sql: &str) -> Result<CachedStatement<'c>> {
        self.connection.prepare_cached(sql).map_err(|error| self.explain(error))
    }

    /// Runs several statements that are separated by semicolons.
    ///
    /// # Errors
    /// SQLite's error.
    pub fn execute_batch(&self, sql: &str) -> Result<()> {
        self.connection.execute_batch(sql).map_err(|error| self.explain(error))
    }

    /// The row id of the last row inserted.
    pub fn last_insert_rowid(&self) -> i64 {
        self.connection.last_insert_rowid()
    }

    /// The underlying connection, for the rest of rusqlite. The same statements are refused on it.
    pub fn connection(&self) -> &'c Connection {
        self.connection
    }

    fn explain(&self, error: rusqlite::Error) -> rusqlite::Error {
        match self.guard {
            Some(guard) => guard.explain(error),
            None => error,
        }
    }
}

impl fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}
