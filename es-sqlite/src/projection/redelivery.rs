//! Pages that come again, for tests: what a crash leaves behind, and an owner that was replaced.

use std::sync::Arc;

use es_core::Error;
use rusqlite::Connection;
use uuid::Uuid;

use super::{
    Guard, Inner, SqliteProjection,
    checkpoint::Checkpoint,
    owner::{self, Claim},
    page::{Batch, Care},
};

/// Events read at once.
const PAGE: usize = 1_000;

impl SqliteProjection {
    /// The tables its migrations have made, without those that SQLite keeps behind a virtual one.
    pub(crate) async fn own_tables(&self) -> Result<Vec<String>, Error> {
        let name = &self.inner.name;
        let sql = "SELECT name FROM es_objects WHERE projection = ?1 AND kind = 'table'
                       AND name NOT IN (SELECT name FROM pragma_table_list WHERE type = 'shadow') ORDER BY name";
        self.query(|tx| tx.query(sql, [name], |row| row.get(0))).await
    }

    /// Where each partition is.
    pub(crate) async fn positions(&self) -> Result<Vec<u64>, Error> {
        let checkpoints = self.inner.checkpoints(self.inner.store_id()).await?;
        Ok(checkpoints.iter().map(|checkpoint| checkpoint.position).collect())
    }

    /// Hands in, for each partition, all events it has handled, as if they were not. Whether all of it was refused.
    pub(crate) async fn hand_in_again(&self) -> Result<bool, Error> {
        let _turns = self.turns.take_all().await;
        for checkpoint in self.moved_on().await? {
            let page = self.inner.handled(&checkpoint, 0).await?;
            if !self.inner.refuses(&page).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Hands in, for each partition, all events it has handled, after somebody else has taken it over where it is.
    /// Whether all of it was refused.
    pub(crate) async fn hand_in_as_a_former_owner(&self) -> Result<bool, Error> {
        let _turns = self.turns.take_all().await;
        for checkpoint in self.moved_on().await? {
            let other = Uuid::new_v4();
            let page = self.inner.handled(&checkpoint, checkpoint.position).await?;
            self.inner.take_over(checkpoint, other).await?;
            let refused = self.inner.refuses(&page).await;
            self.inner.give_back_of(other).await?;
            if !refused? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Handles, for each partition, all events there are, up to right before the commit.
    pub(crate) async fn break_off_a_page(&self) -> Result<(), Error> {
        let _turns = self.turns.take_all().await;
        let head = self.inner.source.log().head().await?;
        for checkpoint in self.inner.checkpoints(self.inner.store_id()).await? {
            let from = checkpoint.position;
            let page = self.inner.handled(&checkpoint.with_position(head), from).await?;
            let (inner, care) = (Arc::clone(&self.inner), self.inner.gives_up().then(|| Care::last(0)));
            let run = move |connection: &Connection, guard: &Guard| {
                inner.run(connection, guard, &page, care.as_ref())?;
                // An error, so that nothing is kept.
                Err::<(), _>(Error::ShuttingDown)
            };
            if let Err(error) = self.inner.target.write(run).await
                && !matches!(error, Error::ShuttingDown)
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// The checkpoints that are not at the beginning of the log.
    async fn moved_on(&self) -> Result<Vec<Checkpoint>, Error> {
        let mut checkpoints = self.inner.checkpoints(self.inner.store_id()).await?;
        checkpoints.retain(|checkpoint| checkpoint.position > 0);
        Ok(checkpoints)
    }
}

impl Inner {
    /// One page with all events of a partition up to its checkpoint, for a checkpoint that is said to be elsewhere.
    async fn handled(&self, checkpoint: &Checkpoint, position: u64) -> Result<Batch, Error> {
        let (to, partition) = (checkpoint.position, checkpoint.partition);
        let filter = self.filter.clone().partition(partition, self.partitions);
        let (mut events, mut after) = (Vec::new(), 0);
        while after < to {
            let page = self.source.log().read_all(after, PAGE, &filter).await?;
            events.extend(page.events);
            after = page.scanned_to;
        }
        events.truncate(events.partition_point(|event| event.meta.position <= to));
        let checkpoint = checkpoint.clone().with_position(position);
        Ok(Batch { checkpoint, restored_to: None, count: events.len(), events: events.into(), to, pass: true })
    }

    /// Hands in a page. Whether it was refused, because the checkpoint is not where the page was read.
    async fn refuses(self: &Arc<Self>, page: &Batch) -> Result<bool, Error> {
        match self.keep(page, None).await {
            Err(Error::CheckpointMoved { .. }) => Ok(true),
            kept => kept.map(|()| false),
        }
    }

    /// Gives a partition another owner, where it stands.
    async fn take_over(self: &Arc<Self>, checkpoint: Checkpoint, other: Uuid) -> Result<(), Error> {
        let inner = Arc::clone(self);
        let take = move |connection: &Connection, _: &Guard| {
            let claim = Claim { owner: other, until: Some(inner.source.log().now().saturating_add(owner::LEASE)) };
            let moved = checkpoint.move_to(connection, &inner.name, checkpoint.position, claim);
            moved.map_err(|moving| inner.not_moved(checkpoint.position, moving))
        };
        self.target.write(take).await
    }
}
