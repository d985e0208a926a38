//! Aggregates kept in memory between commands, and the turns that commands on one aggregate take.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::OwnedMutexGuard;

use crate::StreamKey;

/// How long a command waits for those before it on the same aggregate. After that it goes on beside them, and the
/// expected version decides: a handler that sends a command to its own aggregate must not wait for itself indefinitely.
const PATIENCE: Duration = Duration::from_secs(2);

/// A state that was folded or committed lately. It may be behind the store: another process may have written.
#[derive(Debug)]
pub(crate) struct Hot<A> {
    pub(crate) state: A,
    pub(crate) version: u64,
}

type Slot<A> = tokio::sync::Mutex<Option<Hot<A>>>;

/// The aggregates used last, at most so many.
pub(crate) struct HotRoots<A> {
    capacity: usize,
    slots: Mutex<Halves<A>>,
}

/// When the young half is full it becomes the old half, and what is still in the old half is forgotten.
struct Halves<A> {
    young: HashMap<StreamKey, Arc<Slot<A>>>,
    old: HashMap<StreamKey, Arc<Slot<A>>>,
}

impl<A> HotRoots<A> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, slots: Mutex::new(Halves { young: HashMap::new(), old: HashMap::new() }) }
    }

    /// Waits until no other command works on the aggregate.
    pub(crate) async fn turn(&self, stream: &StreamKey) -> Turn<A> {
        let slot = self.slot(stream);
        let slot = match Arc::clone(&slot).try_lock_owned() {
            Ok(slot) => Some(slot),
            Err(_) => tokio::time::timeout(PATIENCE, slot.lock_owned()).await.ok(),
        };
        Turn { slot, keeps: self.capacity > 0 }
    }

    fn slot(&self, stream: &StreamKey) -> Arc<Slot<A>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.young.get(stream) {
            return Arc::clone(slot);
        }
        let slot = slots.old.remove(stream).unwrap_or_default();
        if slots.young.len() >= self.capacity.div_ceil(2) {
            slots.old = std::mem::take(&mut slots.young);
        }
        slots.young.insert(stream.clone(), Arc::clone(&slot));
        slot
    }
}

impl<A> fmt::Debug for HotRoots<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HotRoots").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

/// A command's turn on its aggregate; the next one's comes when it is dropped.
pub(crate) struct Turn<A> {
    slot: Option<OwnedMutexGuard<Option<Hot<A>>>>,
    keeps: bool,
}

impl<A> Turn<A> {
    /// The state as the last turn left it. It is gone from memory until one is kept again.
    pub(crate) fn take(&mut self) -> Option<Hot<A>> {
        self.slot.as_mut()?.take()
    }

    /// Keeps a committed state for the next turn.
    pub(crate) fn keep(&mut self, state: A, version: u64) {
        if let (Some(slot), true) = (&mut self.slot, self.keeps) {
            **slot = Some(Hot { state, version });
        }
    }
}

impl<A> fmt::Debug for Turn<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("alone", &self.slot.is_some()).finish_non_exhaustive()
    }
}
