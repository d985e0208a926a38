//! The log's events to hooks whose effects are elsewhere: at least once, the checkpoint after the effects.
//!
//! What [projections](crate::Projection) and [reactors](crate::Reactor) have in common.

mod hooks;
mod lease;
mod page;
mod repartition;
mod setup;

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::Mutex;
use uuid::Uuid;

pub use self::hooks::HookResult;
pub(crate) use self::{
    hooks::{Hooks, run},
    setup::{Setup, handling_settings},
};
use self::{
    lease::Hold,
    page::{Attempts, Until},
};
use crate::{
    CheckpointStore, Error, EventLog, Filter, Progress, RecordedEvent, Result,
    checkpoints::{Checkpoint, Held},
    store::BoxFuture,
};

/// What handles one event.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Events of a page: what is repeated, at most, after a crash.
    const PAGE: usize;
    /// Whether a page is noted before its first event is handled.
    const NOTES: bool;

    fn handle<'a>(&'a self, event: &'a RecordedEvent, store: Uuid) -> BoxFuture<'a, Result<(), Failure>>;
}

/// Why an event was not handled.
pub(crate) enum Failure {
    /// The hook says so.
    Hook(crate::error::Source),
    /// The hook says so, and would say the same again.
    Settled(crate::error::Source),
    /// Nobody could be reached; later it will do.
    Passing(Error),
}

/// Hands the events of the log, partition by partition, to a handler.
pub(crate) struct Handling<H> {
    name: Arc<str>,
    handler: H,
    filter: Filter,
    retries: u32,
    lease: Duration,
    owner: Uuid,
    checkpoints: Arc<dyn CheckpointStore>,
    /// One page at a time for each partition, also when several clones are run.
    turns: Vec<Mutex<Attempts>>,
}

impl<H: Handler> Handling<H> {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn partitions(&self) -> u32 {
        u32::try_from(self.turns.len()).unwrap_or(u32::MAX)
    }

    /// Where a partition is; the lowest of the stored ones, as long as their number is another.
    pub(crate) async fn checkpoint(&self, partition: u32) -> Result<u64> {
        let stored = self.checkpoints.checkpoints(&self.name).await?;
        let lowest = stored.iter().map(|checkpoint| checkpoint.position).min().unwrap_or_default();
        let mine = stored.iter().find(|checkpoint| checkpoint.partition == partition);
        Ok(mine.filter(|_| stored.len() == self.turns.len()).map_or(lowest, |checkpoint| checkpoint.position))
    }

    pub(crate) async fn advance(&self, log: &dyn EventLog, partition: u32) -> Result<Progress> {
        let (name, partitions) = (&self.name, self.partitions());
        let no_such = || Error::invalid_request(format!("`{name}` has {partitions} partitions, none is {partition}"));
        let turn = self.turns.get(partition as usize).ok_or_else(no_such)?;
        let mut attempts = turn.lock().await;
        // Before the head, which never is behind a checkpoint that was read earlier.
        let stored = self.stored(log).await?;
        let head = log.head().await?;
        if let Some(ahead) = stored.iter().map(|checkpoint| checkpoint.position).find(|position| *position > head) {
            return Err(log.ends_before(name, ahead, head));
        }
        if stored.len() != self.turns.len() {
            return self.repartition(log, partition, &stored, head, &mut attempts).await;
        }
        let checkpoint = stored.get(partition as usize).ok_or_else(no_such)?;
        match self.hold(checkpoint, head).await? {
            Hold::Idle(progress) => Ok(progress),
            Hold::Held(held) => {
                let until = Until { head, last: head, of: partitions };
                self.page(log, held, until, &mut attempts).await
            }
        }
    }

    /// Forgets what was being sent when the checkpoints were last written.
    pub(crate) async fn forget_sending(&self) -> Result<()> {
        for checkpoint in self.checkpoints.checkpoints(&self.name).await? {
            if checkpoint.sending.is_some() {
                let held = self.claim_now(checkpoint.partition).await?;
                self.checkpoints.advance(&held, held.at.position, None).await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn give_back(&self) {
        if let Err(error) = self.checkpoints.release(&self.name, self.owner).await {
            tracing::warn!(name = &*self.name, %error, "its lease was not given back; the next owner waits for its end");
        }
    }

    /// Goes back to where the store was restored to, with all partitions that have seen events that are gone.
    pub(crate) async fn go_on_from_restore(&self, log: &dyn EventLog) -> Result<()> {
        for checkpoint in self.checkpoints.checkpoints(&self.name).await? {
            let restored_to = match checkpoint.follow(&self.name, log) {
                Ok(_) => continue,
                Err(Error::StoreRestored { restored_to, .. }) => restored_to,
                Err(error) => return Err(error),
            };
            let mut held = self.claim_now(checkpoint.partition).await?;
            held.at.store = log.identity();
            self.checkpoints.advance(&held, restored_to, None).await?;
            tracing::warn!(name = &*self.name, from = checkpoint.position, to = restored_to, "goes on from a restore");
        }
        Ok(())
    }

    /// Takes a partition, or fails where someone else has it.
    async fn claim_now(&self, partition: u32) -> Result<Held> {
        match self.claim(partition).await? {
            Hold::Held(held) => Ok(held),
            Hold::Idle(theirs) => {
                let (name, expected) = (self.name.to_string(), theirs.checkpoint);
                Err(Error::CheckpointMoved { name, expected })
            }
        }
    }

    /// The stored checkpoints of all partitions, if they are of this log.
    async fn stored(&self, log: &dyn EventLog) -> Result<Vec<Checkpoint>> {
        let stored = self.checkpoints.checkpoints(&self.name).await?;
        if stored.is_empty() {
            return Err(Error::Corrupt { what: format!("checkpoint of `{}`", self.name), why: "it is missing".into() });
        }
        stored.iter().try_for_each(|checkpoint| checkpoint.follow(&self.name, log).map(drop))?;
        Ok(stored)
    }
}

impl<H> fmt::Debug for Handling<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handling")
            .field("name", &self.name)
            .field("events", &self.filter.event_types)
            .field("partitions", &self.turns.len())
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}
