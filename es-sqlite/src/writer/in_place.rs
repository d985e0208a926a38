//! Committing in place: a caller that finds nobody else there writes its commit itself, without a hop to the writer's
//! thread and back, which costs a lone caller more than the commit.
//!
//! With several callers about, the queue is better: it collects what comes in during one sync into the next
//! transaction. A crowd is noticed by two that meet, and counts as gone after a while of lone commits.

use std::sync::{
    Mutex, MutexGuard, PoisonError, TryLockError,
    atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
};

use super::{Writer, queue::Queued};
use crate::blocking;

/// Transactions of one commit each, after which a crowd counts as gone.
const GONE_AFTER: u32 = 64;

/// The writer, shared by its thread and the callers that commit in place.
#[derive(Default)]
pub(super) struct Shared {
    /// None before it has opened the file and after it has closed it.
    writer: Mutex<Option<Writer>>,
    waiting: AtomicUsize,
    crowd: AtomicU32,
    looking_around: AtomicBool,
    /// Work that nobody waits for. It goes along with the next transaction, so that it costs no sync of its own.
    along: Mutex<Vec<Queued>>,
}

/// Pieces of work and bytes that may wait to go along; more are not taken.
const ALONG: usize = 256;
const ALONG_BYTES: usize = 16 << 20;

impl Shared {
    /// The writer, as soon as nobody else has it.
    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes work that nobody waits for, if there is room. Says whether it is the first.
    pub(super) fn take_along(&self, bytes: usize, queued: impl FnOnce() -> Queued) -> bool {
        let mut along = self.along.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting: usize = along.iter().map(|queued| queued.bytes).sum();
        if along.len() >= ALONG || waiting + bytes > ALONG_BYTES {
            return false;
        }
        along.push(queued());
        along.len() == 1
    }

    /// The work that goes along with the next transaction.
    pub(super) fn along(&self) -> Vec<Queued> {
        std::mem::take(&mut *self.along.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that work is about to be queued.
    pub(super) fn queued(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
    }

    /// Notes that so much queued work goes into one transaction.
    pub(super) fn gathered(&self, works: usize) {
        self.waiting.fetch_sub(works, Ordering::SeqCst);
        if works > 1 {
            self.crowded();
        } else {
            let _ = self.crowd.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |crowd| crowd.checked_sub(1));
        }
    }

    /// Lets the writer look around. Who finds it locked meanwhile has not met another caller.
    pub(super) fn look_around(&self, look: impl FnOnce(&mut Writer)) {
        self.looking_around.store(true, Ordering::SeqCst);
        if let Some(writer) = &mut *self.lock() {
            look(writer);
        }
        self.looking_around.store(false, Ordering::SeqCst);
    }

    /// Commits on the caller's own thread if nobody else is there; hands the work back otherwise.
    pub(super) fn commit(&self, queued: Queued) -> Result<(), Queued> {
        if self.crowd.load(Ordering::Relaxed) > 0 || self.waiting.load(Ordering::SeqCst) > 0 {
            return Err(queued);
        }
        let mut guard = match self.writer.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                if !self.looking_around.load(Ordering::SeqCst) {
                    self.crowded();
                }
                return Err(queued);
            }
        };
        match &mut *guard {
            Some(writer) => {
                let mut batch = vec![queued];
                batch.append(&mut self.along());
                blocking::here(|| writer.commit(batch));
            }
            None => return Err(queued),
        }
        Ok(())
    }

    fn crowded(&self) {
        self.crowd.store(GONE_AFTER, Ordering::Relaxed);
    }
}
