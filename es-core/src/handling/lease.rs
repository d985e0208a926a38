//! Who works on a partition.

use std::{future::Future, pin::pin, time::Duration};

use tokio::time::sleep;

use super::{Handler, Handling};
use crate::{
    Error, EventLog, Progress, Result,
    checkpoints::{Checkpoint, Claimed, Held},
    guard::guard,
};

/// Whether a partition can be worked on now.
pub(super) enum Hold {
    /// It is ours.
    Held(Held),
    /// There is nothing to do, or someone else does it.
    Idle(Progress),
}

impl<H: Handler> Handling<H> {
    /// Takes a partition where there is something to handle, unless someone else has it. A lease of our own that is
    /// over is renewed first: another owner may be about to take it, and only one of us is to handle the events.
    pub(super) async fn hold(&self, checkpoint: &Checkpoint, head: u64) -> Result<Hold> {
        let mine = checkpoint.owner == Some(self.owner);
        if checkpoint.leased && checkpoint.owner.is_some() && !mine {
            return Ok(Hold::Idle(Progress::at(checkpoint.position).standby()));
        }
        if head <= checkpoint.position {
            return Ok(Hold::Idle(Progress::at(checkpoint.position).caught_up(true)));
        }
        if checkpoint.leased && mine {
            return Ok(Hold::Held(self.held(checkpoint)));
        }
        self.claim(checkpoint.partition).await
    }

    pub(super) async fn claim(&self, partition: u32) -> Result<Hold> {
        Ok(match self.checkpoints.claim(&self.name, partition, self.owner, self.lease).await? {
            Claimed::Held(held) => Hold::Held(held),
            Claimed::Taken(theirs) => Hold::Idle(Progress::at(theirs.position).standby()),
        })
    }

    pub(super) fn held(&self, at: &Checkpoint) -> Held {
        Held { name: self.name.clone(), owner: self.owner, lease: self.lease, at: at.clone() }
    }

    /// Between the events of a page: renews a lease of which more than half is over, or that a clock set back has made
    /// longer than it was taken for.
    pub(super) async fn keep(&self, held: &mut Held, store: &dyn EventLog) -> Result<()> {
        match (self.lease / 2..=self.lease).contains(&held.at.leased_until.since(store.now())) {
            true => Ok(()),
            false => self.renew(held).await,
        }
    }

    /// Awaits what is done for an event, however long that takes, and keeps the lease meanwhile. What has begun is not
    /// broken off when the lease is lost.
    pub(super) async fn keep_during<T>(&self, held: &mut Held, work: impl Future<Output = T>) -> Result<T> {
        let (mut work, mut kept) = (pin!(work), Ok(()));
        // A lease too short to be divided would have us do nothing but renew it.
        let part = (self.lease / 3).max(Duration::from_millis(1));
        loop {
            tokio::select! {
                biased;
                done = &mut work => return kept.map(|()| done),
                // Without tokio's timers nothing is renewed; the guard keeps their panic from the caller.
                Ok(()) = guard(async { sleep(part).await }), if kept.is_ok() => {
                    kept = match self.renew(held).await {
                        Err(error) if !matches!(error, Error::CheckpointMoved { .. }) => {
                            tracing::warn!(name = &*self.name, %error, "a lease was not renewed; will try again");
                            Ok(())
                        }
                        renewed => renewed,
                    };
                }
            }
        }
    }

    async fn renew(&self, held: &mut Held) -> Result<()> {
        let before = (held.at.position, held.at.generation);
        match self.claim(held.at.partition).await? {
            Hold::Held(renewed) if (renewed.at.position, renewed.at.generation) == before => {
                // What is being handled is of the epoch in which it was read, which is written down with it.
                held.at = Checkpoint { store: held.at.store, ..renewed.at };
                Ok(())
            }
            _ => Err(Error::CheckpointMoved { name: self.name.to_string(), expected: held.at.position }),
        }
    }
}
