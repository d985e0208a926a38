//! How many requests a server takes in.

use std::sync::Arc;

use es_core::{Error, Result};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Lets so many in, and so many of those work at once.
#[derive(Debug)]
pub(super) struct Gate {
    places: Semaphore,
    turns: Semaphore,
    all: u32,
}

impl Gate {
    /// # Errors
    /// [`InvalidRequest`](Error::InvalidRequest) for more than there can be.
    pub(super) fn new(working: usize, waiting: usize) -> Result<Arc<Self>> {
        let all = working.checked_add(waiting).and_then(|all| u32::try_from(all).ok());
        let all = all.filter(|&all| all as usize <= Semaphore::MAX_PERMITS).ok_or_else(|| Error::InvalidRequest {
            why: format!("{working} requests at once and {waiting} waiting are more than a server can take"),
        })?;
        Ok(Arc::new(Self { places: Semaphore::new(all as usize), turns: Semaphore::new(working), all }))
    }

    /// A place; none when all are taken.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        self.places.try_acquire().ok()?.forget();
        Some(Place(Arc::clone(self)))
    }

    /// A turn to work, when nobody has to wait for one.
    pub(super) fn try_turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.try_acquire().ok()
    }

    /// Waits for a turn to work.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        self.turns.acquire().await.map_err(|_| Error::ShuttingDown)
    }

    /// Waits until no one is inside any more. No one may enter meanwhile.
    pub(super) async fn empty(&self) {
        // Only a closed semaphore fails, and this one is never closed.
        let _ = self.places.acquire_many(self.all).await;
    }
}

/// A place inside, held until it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Gate>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.places.add_permits(1);
    }
}
