//! Where a projection stands.

use es_core::Error;

use super::{Inner, SqliteProjection, parked::Kind};

/// Where a [`SqliteProjection`] stands, as its file says: also when another process runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectionStatus {
    /// The position up to which all partitions have handled the log.
    pub checkpoint: u64,
    /// How many events are [parked](SqliteProjection::parked).
    pub parked: u64,
    /// How many events were [passed over](SqliteProjection::skipped).
    pub skipped: u64,
}

impl SqliteProjection {
    /// Where the projection stands.
    ///
    /// # Errors
    /// What the storage reports.
    pub async fn status(&self) -> Result<ProjectionStatus, Error> {
        let checkpoint = self.inner.checkpoint(self.inner.store_id()).await?.position;
        let counts = self.inner.target.readers().read(|reader| {
            let notes = self.inner.notes(&reader.connection);
            let count = |kind| notes.count(kind).map_err(|error| reader.place.error("counting parked events", error));
            Ok((count(Kind::Parked)?, count(Kind::Skipped)?))
        });
        let (parked, skipped) = counts.await?;
        Ok(ProjectionStatus { checkpoint, parked, skipped })
    }
}

impl Inner {
    /// The position of a partition; while there is another number of them than was asked for, that of all.
    pub(super) async fn position(&self, partition: u32) -> Result<u64, Error> {
        let checkpoints = self.checkpoints(self.store_id()).await?;
        let own = checkpoints.iter().filter(|checkpoint| checkpoint.partition == partition);
        let all = checkpoints.iter().map(|checkpoint| checkpoint.position).min();
        let as_asked_for = checkpoints.len() == self.partitions as usize;
        let position = own.map(|checkpoint| checkpoint.position).next().filter(|_| as_asked_for).or(all);
        position.ok_or_else(|| self.no_checkpoint())
    }
}
