//! Copying a store while it is used.

use std::{path::PathBuf, thread, time::Duration};

use es_core::{Error, Result};
use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};

use crate::{
    Finding, Report, SqliteStore,
    builder::Durability,
    connection::{self, Role},
    errors::Place,
    log,
    long::{self, Stop},
    partial::{Partial, Purpose},
    verify,
};

/// Pages copied at once (2 MB), and the pause after them in which the disk is others'.
const PAGES: i32 = 512;
const PAUSE: Duration = Duration::from_millis(1);

impl SqliteStore {
    /// Copies the store into a new file while it is used, and [checks](crate::verify) the copy.
    ///
    /// The copy holds everything that was acknowledged before the call, read models in the store's file included, and
    /// stands at one moment of the log: the report's [`head`](Report::head). It is a file that only its owner can read,
    /// complete without any file beside it, and synced to disk. Writers are not held up. What they write meanwhile is
    /// kept in the `-wal` file until the copy is made.
    ///
    /// The copy has the identity of this store. Use it in its place, not beside it: [`restore`](Self::restore) puts it
    /// there.
    ///
    /// The file gets its name when it is whole and checked; until then it is called `.partial`. Dropping the future ends
    /// the backup. Then, and after any error, nothing is left of it; a crash may leave the `.partial` file.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> es_core::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let store = es_sqlite::SqliteStore::open(folder.path().join("bank.db")).await?;
    /// # let new_file = folder.path().join("bank-2026-11-20.db");
    /// let report = store.backup(&new_file).await?;
    /// println!("a sound copy of all events up to position {}", report.head);
    /// # store.shutdown().await
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`InvalidRequest`](Error::InvalidRequest) when there is a file already (it is not touched), [`Io`](Error::Io)
    /// when the file can't be created or written, [`StorageFull`](Error::StorageFull),
    /// [`Corrupt`](Error::Corrupt) when the check finds anything: then the store itself is damaged most probably, and
    /// [`verify`](crate::verify) says where.
    pub async fn backup(&self, to: impl Into<PathBuf>) -> Result<Report> {
        // After a shutdown there is nothing to read.
        self.readers().read(|_| Ok(())).await?;
        let from = self.place().clone();
        let target = to.into();
        long::run(format!("copying {} to {}", from.path.display(), target.display()), move |stop| {
            let partial = Partial::make(&target, Purpose::Backup)?;
            let to = partial.place(from.busy_timeout);
            let source = connection::open(&from, Role::Reader)?;
            let head = copy((&source, &from), &to, stop)?;
            let report = check(&to, head, stop, || format!("the copy that was to become {}", target.display()))?;
            partial.keep()?;
            Ok(report)
        })
        .await
    }
}

/// Copies the file as it is at one moment, and says at which head.
///
/// The moment is held by a reading transaction: SQLite then never finds the source changed between two steps, which
/// would make it start over. In a write-ahead log no writer waits for a reader.
pub(crate) fn copy((source, from): (&Connection, &Place), to: &Place, stop: Stop<'_>) -> Result<u64> {
    let reading = |error| from.error("reading the store", error);
    let writing = |error| to.error("writing the copy", error);
    let moment = source.unchecked_transaction().map_err(reading)?;
    let head = log::head(&moment).map_err(reading)?;
    let mut target = connection::open_bare(to, Role::Writer(Durability::Full))?;
    let backup = Backup::new(source, &mut target).map_err(writing)?;
    let mut waited = Duration::ZERO;
    loop {
        match backup.step(PAGES).map_err(writing)? {
            StepResult::Done => break,
            StepResult::More => waited = Duration::ZERO,
            _ if waited >= to.busy_timeout => return Err(Error::Busy { waited }),
            _ => waited += PAUSE,
        }
        stop()?;
        thread::sleep(PAUSE);
    }
    drop(backup);
    close(target).map_err(writing)?;
    Ok(head)
}

pub(crate) fn close(connection: Connection) -> rusqlite::Result<()> {
    connection.close().map_err(|(_, error)| error)
}

/// Checks a copy, which is to have a log up to this head. One with any damage is none.
pub(crate) fn check(copy: &Place, head: u64, stop: Stop<'_>, what: impl Fn() -> String) -> Result<Report> {
    let report = verify::check(&connection::open_immutable(copy)?, copy, stop)?;
    let mut damage = report.findings.iter().filter(|finding| !finding.is_note()).map(Finding::to_string);
    let short = || format!("it ends at position {}, and {head} was to be copied", report.head);
    let Some(first) = damage.next().or_else(|| (report.head != head).then(short)) else { return Ok(report) };
    let why = match damage.count() {
        0 => first,
        more => format!("{first} (and {more} more)"),
    };
    Err(Error::Corrupt { what: what(), why })
}
