//! Another number of partitions: nothing lost, nothing repeated.

use super::{
    Handler, Handling,
    lease::Hold,
    page::{Attempts, Until},
};
use crate::{EventStore, Progress, RecordedEvent, Result, checkpoints::Checkpoint, partition_of};

impl<H: Handler> Handling<H> {
    /// One step from the stored partitions to as many as we have: first all are brought to one position, as the
    /// partitions they are; then the new ones start there. Partition 0 does it for all, once nobody else has any.
    pub(super) async fn repartition(
        &self,
        store: &dyn EventStore,
        partition: u32,
        stored: &[Checkpoint],
        head: u64,
        attempts: &mut Attempts,
    ) -> Result<Progress> {
        let positions = || stored.iter().map(|checkpoint| checkpoint.position);
        let (lowest, last) = (positions().min().unwrap_or_default(), positions().max().unwrap_or_default());
        if partition != 0 {
            return Ok(Progress::at(lowest).standby());
        }
        let theirs = |checkpoint: &Checkpoint| checkpoint.leased && checkpoint.owner.is_some_and(|it| it != self.owner);
        if stored.iter().any(theirs) {
            return Ok(Progress::at(lowest).standby());
        }
        let mut held = Vec::with_capacity(stored.len());
        for checkpoint in stored {
            match self.claim(checkpoint.partition).await? {
                Hold::Held(one) => held.push(one),
                // With only some of them in our hands, nobody could do anything.
                Hold::Idle(_) => {
                    self.checkpoints.release(&self.name, self.owner).await?;
                    return Ok(Progress::at(lowest).standby());
                }
            }
        }
        if let Some(behind) = held.iter().find(|one| one.at.position < last).cloned() {
            let (of, number) = (u32::try_from(stored.len()).unwrap_or(u32::MAX), behind.at.partition);
            let mine = |event: &RecordedEvent| partition_of(event.meta.stream.id.as_str(), of) == number;
            let progress = self.page(store, behind, Until { head, last }, mine, attempts).await?;
            return Ok(Progress { checkpoint: lowest, caught_up: false, ..progress });
        }
        self.checkpoints.repartition(&held, self.partitions()).await?;
        tracing::info!(
            name = &*self.name,
            from = stored.len(),
            to = self.partitions(),
            position = last,
            "repartitioned"
        );
        Ok(Progress::at(last).caught_up(last >= head))
    }
}
