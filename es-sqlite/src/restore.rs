//! A store from a backup.

use std::{path::PathBuf, time::Duration};

use es_core::{Clock, Error, Result, SystemClock};

use crate::{
    Report, SqliteStore, backup,
    builder::Durability,
    connection::{self, Role},
    errors::Place,
    identity, long, migrate,
    partial::{Partial, Purpose},
    schema,
};

/// How long another process may keep the backup to itself.
const PATIENCE: Duration = Duration::from_secs(5);

impl SqliteStore {
    /// Makes a store from a [backup](Self::backup), in a new file, and [checks](crate::verify) it. The report's
    /// [`head`](Report::head) is the position up to which it is what it was; what was recorded after that is lost. The
    /// backup stays as it is.
    ///
    /// The store keeps its id and begins a new [epoch](es_core::StoreIdentity::epoch), which is what tells a restored
    /// store from the lost one. What follows the log (read models, reactors, a relay and its readers, wherever their
    /// checkpoints are) goes on in the new epoch if it had come no further than the backup. What has seen events that are
    /// lost stops with [`StoreRestored`](Error::StoreRestored), also when the store has grown past its checkpoint since:
    /// [rebuild](crate::SqliteProjection::rebuild) it.
    ///
    /// Stop whatever has the lost store open before, and move what is left of it away: an existing file is not
    /// overwritten. Restore to the path at which the store was, and use this instead of copying the file by hand, which
    /// would begin no epoch.
    ///
    /// The file gets its name when it is whole and checked; until then it is called `.partial`. Dropping the future ends
    /// the restore. Then, and after any error, nothing is left of it; a crash may leave the `.partial` file.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> es_core::Result<()> {
    /// # use es_sqlite::SqliteStore;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (path, backup) = (folder.path().join("bank.db"), folder.path().join("bank-2026-11-20.db"));
    /// # let store = SqliteStore::open(folder.path().join("lost.db")).await?;
    /// # store.backup(&backup).await?;
    /// # store.shutdown().await?;
    /// let report = SqliteStore::restore(&backup, &path).await?;
    /// println!("all events up to position {} are back", report.head);
    /// let store = SqliteStore::open(&path).await?;
    /// # store.shutdown().await
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`InvalidRequest`](Error::InvalidRequest) when there is a file already (it is not touched), or the `-wal` of a
    /// former one; [`NotAStore`](Error::NotAStore) and [`SchemaTooNew`](Error::SchemaTooNew) for a file that is no
    /// backup, or one of a newer version of this library; [`Corrupt`](Error::Corrupt) when the check finds anything: take
    /// an older backup; [`Io`](Error::Io) when the backup can't be read or the file can't be created or written;
    /// [`StorageFull`](Error::StorageFull).
    pub async fn restore(backup: impl Into<PathBuf>, to: impl Into<PathBuf>) -> Result<Report> {
        let from = Place { path: backup.into(), busy_timeout: PATIENCE };
        let target = to.into();
        long::run(format!("restoring {} to {}", from.path.display(), target.display()), move |stop| {
            let source = migrate::open_to_read(&from, &schema::STORE)?;
            let partial = Partial::make(&target, Purpose::Restore)?;
            let to = partial.place(from.busy_timeout);
            let head = backup::copy((&source, &from), &to, stop)?;
            let epoch = begin_epoch(&to, head)?;
            let report = backup::check(&to, head, stop, || format!("the backup {}", from.path.display()))?;
            partial.keep()?;
            tracing::info!(path = %target.display(), epoch, head, "restored");
            Ok(report)
        })
        .await
    }
}

/// Begins an epoch in the copy, which may be of an older schema.
fn begin_epoch(copy: &Place, head: u64) -> Result<u64, Error> {
    let at = |error| copy.error("beginning an epoch", error);
    let mut connection = connection::open_bare(copy, Role::Writer(Durability::Full))?;
    migrate::upgrade(&mut connection, copy, &schema::STORE)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(at)?;
    let epoch = identity::begin_epoch(&transaction, SystemClock.now(), head).map_err(at)?;
    transaction.commit().map_err(at)?;
    backup::close(connection).map_err(at)?;
    Ok(epoch)
}
