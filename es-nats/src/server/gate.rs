//! How many requests a server takes in.

use std::sync::Arc;

use es_core::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Lets so many in, and so many of those work at once.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    all: u32,
}

impl Gate {
    /// # Errors
    /// [`InvalidRequest`](Error::InvalidRequest) for more than there can be.
    pub(super) fn new(working: usize, waiting: usize) -> Result<Self> {
        let all = working.checked_add(waiting).and_then(|all| u32::try_from(all).ok());
        let all = all.filter(|&all| all as usize <= Semaphore::MAX_PERMITS).ok_or_else(|| Error::InvalidRequest {
            why: format!("{working} requests at once and {waiting} waiting are more than a server can take"),
        })?;
        Ok(Self { places: Arc::new(Semaphore::new(all as usize)), turns: Arc::new(Semaphore::new(working)), all })
    }

    /// A place, held until it is dropped; none when all are taken.
    pub(super) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Waits for a turn to work.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit> {
        self.turns.clone().acquire_owned().await.map_err(|_| Error::ShuttingDown)
    }

    /// Waits until no one is inside any more. No one may enter meanwhile.
    pub(super) async fn empty(&self) {
        // Only a closed semaphore fails, and this one is never closed.
        let _ = self.places.acquire_many(self.all).await;
    }
}
