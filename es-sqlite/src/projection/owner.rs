//! Who runs a projection: an owner has a partition to itself until its lease is over.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use es_core::Timestamp;
use uuid::Uuid;

use super::checkpoint::Checkpoint;

/// How long an owner that was not heard of keeps its partitions, unless the builder says otherwise.
pub(super) const LEASE: Duration = Duration::from_secs(10);

/// One built projection with all its clones.
#[derive(Debug)]
pub(super) struct Owner {
    id: Uuid,
    lease: Duration,
    /// Somebody goes on running it: what was claimed is not given back when the head is reached.
    stays: AtomicBool,
    /// It may have partitions to give back.
    has_claimed: AtomicBool,
}

/// What a move of the checkpoint does to its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) owner: Uuid,
    /// Until when the owner keeps the partition; `None` gives it back at once.
    pub(super) until: Option<Timestamp>,
}

impl Owner {
    pub(super) fn new(lease: Duration) -> Self {
        Self { id: Uuid::new_v4(), lease, stays: AtomicBool::new(false), has_claimed: AtomicBool::new(false) }
    }

    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    pub(super) fn stay(&self) {
        self.stays.store(true, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.stays.store(false, Ordering::Relaxed);
        self.has_claimed.store(false, Ordering::Relaxed);
    }

    pub(super) fn has_claimed(&self) -> bool {
        self.has_claimed.load(Ordering::Relaxed)
    }

    pub(super) fn stays(&self) -> bool {
        self.stays.load(Ordering::Relaxed)
    }

    /// Whether somebody else has the partition to themselves now.
    pub(super) fn must_wait(&self, checkpoint: &Checkpoint, now: Timestamp) -> bool {
        let theirs = checkpoint.owner.is_some_and(|owner| owner != self.id);
        theirs && es_core::checkpoints::Checkpoint::holds(checkpoint.leased_until, now)
    }

    /// A claim from now on.
    pub(super) fn claim(&self, now: Timestamp) -> Claim {
        self.has_claimed.store(true, Ordering::Relaxed);
        Claim { owner: self.id, until: Some(now.saturating_add(self.lease)) }
    }

    /// Moves the checkpoint and keeps nothing.
    pub(super) fn pass(&self) -> Claim {
        Claim { owner: self.id, until: None }
    }
}
