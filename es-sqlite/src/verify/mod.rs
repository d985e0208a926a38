//! Checking a store's file: every event, and everything that refers to one.

mod claims;
mod events;
mod finding;
mod references;
#[cfg(test)]
mod tests;

use std::{fmt, path::PathBuf, time::Duration};

use es_core::{Error, Result};
use rusqlite::Connection;

pub use self::finding::Finding;
use self::{events::Log, finding::Findings, references::References};
use crate::{
    errors::Place,
    long::{self, Stop},
    migrate, schema,
};

/// How long another process may keep the file to itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// How many events were read.
    pub events: u64,
    /// How many streams there are.
    pub streams: u64,
    /// The position of the last event; 0 when there is none.
    pub head: u64,
    /// What is not as it should be, in the order it was found.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether the store is as it was written. [Notes](Finding::is_note) don't count.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(Finding::is_note)
    }
}

/// A summary, and each finding on a line of its own.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, streams, head, findings } = self;
        let verdict = if self.is_sound() { "sound" } else { "DAMAGED" };
        write!(f, "{verdict}: {events} events in {streams} streams, the last at position {head}")?;
        findings.iter().try_for_each(|finding| write!(f, "\n{finding}"))
    }
}

/// Checks the file of a store, and says what is not as it was written.
///
/// Checked are the structure of the file (SQLite's `quick_check`), every event (its checksum, names and metadata, its
/// place in the log, in its stream, in its commit and in time), what refers to events (the index of each stream, unique
/// keys, answers to commands, snapshots, and the checkpoints and parked events of projections in this file), and
/// scheduled commands. A finding names the place. What merely follows from another finding is left out: where an event is damaged or missing,
/// the unique keys it may have changed are not compared, for example.
///
/// The file is opened for reading only, and may be in use, also by other processes: they go on writing, and what they
/// write meanwhile is checked as far as it is met. Like every reader, this may leave an empty `-wal` and a `-shm` beside
/// a file that nobody else has open; the next store that opens it takes them away. The work is done on a thread of its
/// own, in memory for the number of streams and of unique keys held.
///
/// A log that ends early, at the end of a commit, looks like that of an earlier day. It is found only by what refers to
/// the events that are gone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> es_core::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("bank.db");
/// # es_sqlite::SqliteStore::open(&path).await?.shutdown().await?;
/// let report = es_sqlite::verify(&path).await?;
/// println!("{report}"); // a summary, then each finding in a line
/// assert!(report.is_sound());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Io`](Error::Io) when the file can't be opened, [`NotAStore`](Error::NotAStore) when it is not an event store or its
/// tables are not ours, [`SchemaTooNew`](Error::SchemaTooNew) when a newer version of this library wrote it,
/// [`Corrupt`](Error::Corrupt) when it is damaged so badly that it can't be opened.
pub async fn verify(path: impl Into<PathBuf>) -> Result<Report> {
    let place = Place { path: path.into(), busy_timeout: PATIENCE };
    let what = format!("verifying {}", place.path.display());
    long::run(what, move |stop| check(&migrate::open_to_read(&place, &schema::STORE)?, &place, stop)).await
}

/// Checks a store on a connection that reads it.
pub(crate) fn check(connection: &Connection, place: &Place, stop: Stop<'_>) -> Result<Report> {
    let mut findings = Findings::default();
    structure(connection, place, &mut findings)?;
    let mut log = Log::new(connection, place);
    // Nobody's log grows for long while it is read in short transactions.
    while log.page(&mut findings)? {
        stop()?;
    }
    // What refers to events is held against exactly these events, so the rest is read in one.
    let _transaction = connection.unchecked_transaction().map_err(|error| place.error("reading the log", error))?;
    while log.page(&mut findings)? {
        stop()?;
    }
    log.end(&mut findings)?;
    let mut references = References { connection, place, log: &log, findings: &mut findings, stop };
    let streams = references.check()?;
    Ok(Report { events: log.events(), streams, head: log.head(), findings: findings.into_vec() })
}

/// SQLite's own check: pages, cells, types and the order of rows. It knows nothing of flipped bits inside a value.
fn structure(connection: &Connection, place: &Place, findings: &mut Findings) -> Result<()> {
    let read = || -> rusqlite::Result<Vec<String>> {
        connection.prepare("PRAGMA quick_check")?.query_map((), |row| row.get(0))?.collect()
    };
    let said = match read().map_err(|error| place.error("checking the file", error)) {
        Err(Error::Corrupt { why, .. }) => vec![why],
        said => said?,
    };
    let lines = said.iter().flat_map(|text| text.lines()).filter(|line| *line != "ok" && !line.starts_with("***"));
    lines.for_each(|line| findings.push(Finding::File { why: line.to_owned() }));
    Ok(())
}

/// A result whose damage is something to be found, and not the end of the check.
fn damage<T>(result: Result<T>) -> Result<Result<T, String>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Error::Corrupt { what, why }) => Ok(Err(format!("{what}: {why}"))),
        Err(error) => Err(error),
    }
}
