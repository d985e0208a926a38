//! Copying a store while it is used.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

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
    file::{self, Found},
    log,
    long::{self, Stop},
    verify,
};

const EXISTS: &str = "exists already; a backup goes into a new file";
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
    /// The copy has the identity of this store. Use it in its place, not beside it.
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
            let partial = Partial::make(&target)?;
            let to = Place { path: partial.path.clone(), busy_timeout: from.busy_timeout };
            let head = copy(&from, &to, stop)?;
            let report = verify::check(&connection::open_immutable(&to)?, &to, stop)?;
            refuse_unsound(&report, head, &target)?;
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
fn copy(from: &Place, to: &Place, stop: Stop<'_>) -> Result<u64> {
    let reading = |error| from.error("reading the store", error);
    let writing = |error| to.error("writing the copy", error);
    let source = connection::open(from, Role::Reader)?;
    let moment = source.unchecked_transaction().map_err(reading)?;
    let head = log::head(&moment).map_err(reading)?;
    let mut target = connection::open_bare(to, Role::Writer(Durability::Full))?;
    let backup = Backup::new(&source, &mut target).map_err(writing)?;
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

fn close(connection: Connection) -> rusqlite::Result<()> {
    connection.close().map_err(|(_, error)| error)
}

/// A copy with any damage is none.
fn refuse_unsound(report: &Report, head: u64, target: &Path) -> Result<()> {
    let mut damage = report.findings.iter().filter(|finding| !finding.is_note()).map(Finding::to_string);
    let short = || format!("it ends at position {}, and {head} was to be copied", report.head);
    let Some(first) = damage.next().or_else(|| (report.head != head).then(short)) else { return Ok(()) };
    let why = match damage.count() {
        0 => first,
        more => format!("{first} (and {more} more)"),
    };
    Err(Error::Corrupt { what: format!("the copy that was to become {}", target.display()), why })
}

/// The copy while it is made, under a name of its own: cut off by a crash, it must not look like a backup. It goes again
/// unless it gets the name it is for.
struct Partial {
    path: PathBuf,
    target: PathBuf,
}

impl Partial {
    fn make(target: &Path) -> Result<Self> {
        let path = file::beside(target, ".partial");
        let refuse = |path: &Path, why: &str| Err(Error::InvalidRequest { why: format!("{} {why}", path.display()) });
        if target.as_os_str().is_empty() || target == Path::new(":memory:") {
            return refuse(target, "is not the path of a file");
        }
        if target.symlink_metadata().is_ok() {
            return refuse(target, EXISTS);
        }
        if file::make(&path)? == Found::Something {
            return refuse(&path, "exists: another backup is under way, or one was cut off and left it to be removed");
        }
        let made = Self { path, target: target.to_owned() };
        // SQLite would take them for the copy's.
        if [&made.path, target].into_iter().any(file::may_be_outdated) {
            return refuse(target, "has the log of a former file beside it; move that away or choose another name");
        }
        Ok(made)
    }

    /// Gives the copy its name, unless somebody else has taken it meanwhile.
    fn keep(self) -> Result<()> {
        let Self { path, target } = &self;
        let named = std::fs::hard_link(path, target).or_else(|error| match error.kind() {
            // Some file systems have no links.
            _ if target.symlink_metadata().is_err() => std::fs::rename(path, target),
            _ => Err(error),
        });
        match named {
            Ok(()) => file::sync_folder(target),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(Error::InvalidRequest { why: format!("{} {EXISTS}", target.display()) })
            }
            Err(error) => Err(Error::Io { what: format!("naming {}", target.display()), source: error.into() }),
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        for made in [&file::beside(&self.path, "-journal"), &self.path] {
            if let Err(error) = std::fs::remove_file(made)
                && error.kind() != ErrorKind::NotFound
            {
                tracing::warn!(%error, path = %made.display(), "a backup left this file behind");
            }
        }
    }
}
