//! Another number of partitions: nothing lost, nothing repeated.

use super::{
    Handler, Handling,
    lease::Hold,
    page::{Attempts, Until},
};
use crate::{EventLog, Progress, Result, checkpoints::Checkpoint};

impl<H: Handler> Handling<H> {
    /// One step from the stored partitions to as many as we have: first all are brought to one position, as the
    /// partitions they are; then the new ones start there. Partition 0 does it for all, once nobody else has any.
    pub(super) async fn repartition(
        &self,
        store: &dyn EventLog,
        partition: u32,
        stored: &[Checkpoint],
        head: u64,
        attempts: &mut Attempts,
    ) -> Result<Progress> {
        let lowest = stored.iter().map(|checkpoint| checkpoint.position).min().unwrap_or_default();
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
        // Not those that were read: until they were claimed, someone may have moved them and given them back.
        let last = held.iter().map(|one| one.at.position).max().unwrap_or_default();
        if let Some(behind) = held.iter().find(|one| one.at.position < last).cloned() {
            let of = u32::try_from(stored.len()).unwrap_or(u32::MAX);
            let progress = self.page(store, behind, Until { head, last, of }, attempts).await?;
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        CheckpointStore, Commit, EventStore, Expected, MemoryStore, NewEvent, RecordedEvent, StreamKey,
        handling::{Failure, Setup},
        store::BoxFuture,
    };

    struct Nothing;

    impl Handler for Nothing {
        const PAGE: usize = 200;
        const NOTES: bool = false;

        fn handle<'a>(&'a self, _: &'a RecordedEvent, _: Uuid) -> BoxFuture<'a, Result<(), Failure>> {
            Box::pin(async { Ok(()) })
        }
    }

    #[tokio::test]
    async fn a_partition_that_was_moved_after_it_was_read_is_where_it_was_moved_to() -> Result<()> {
        let store = MemoryStore::new();
        let stream = StreamKey::new(None, "test.v1.Account", "a".try_into()?);
        store.append(Commit::append(stream, Expected::Any, vec![NewEvent::raw("test.v1.Opened", b"")])).await?;
        let of = async |partitions| {
            let mut setup = Setup::new("noting".into());
            setup.partitions = partitions;
            setup.finish(Nothing, ["test.v1.Opened"], &store, store.clone()).await
        };
        let (former, new) = (of(2).await?, of(1).await?);
        let read = store.checkpoints("noting").await?;
        former.advance(&store, 1).await?;
        former.give_back().await;
        let attempts = &mut Attempts::default();
        assert!(!new.repartition(&store, 0, &read, 1, attempts).await?.caught_up, "one partition is behind the other");
        assert!(new.repartition(&store, 0, &read, 1, attempts).await?.caught_up);
        assert_eq!(store.checkpoints("noting").await?.len(), 1);
        Ok(())
    }
}
