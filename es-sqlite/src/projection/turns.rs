//! What all clones of a projection share beside the projection itself: whose turn it is, and the end of them all.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
};

use tokio::sync::{Mutex, MutexGuard};

use super::Inner;

/// One page of each partition at a time, also when several clones are run.
pub(super) struct Turns {
    inner: Arc<Inner>,
    partitions: Vec<Mutex<()>>,
}

impl Turns {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        let partitions = (0..inner.partitions).map(|_| Mutex::default()).collect();
        Self { inner, partitions }
    }

    /// Waits until no page of a partition is under way, and keeps it so.
    pub(super) async fn take(&self, partition: u32) -> Option<MutexGuard<'_, ()>> {
        match self.partitions.get(partition as usize) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }

    /// Waits until no page is under way, and keeps it so.
    pub(super) async fn take_all(&self) -> Vec<MutexGuard<'_, ()>> {
        let mut all = Vec::with_capacity(self.partitions.len());
        for turn in &self.partitions {
            all.push(turn.lock().await);
        }
        all
    }
}

impl Drop for Turns {
    /// The last clone is gone: others need not wait for its lease. Work is handed over at the first poll, and nobody
    /// waits for its end.
    fn drop(&mut self) {
        let given_back = pin!(self.inner.give_back());
        let _ = given_back.poll(&mut Context::from_waker(Waker::noop()));
    }
}
