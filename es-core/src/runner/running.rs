//! What runs: how it is doing, and what it is told.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use tokio::{sync::watch, task::JoinSet};

use super::{Status, board::Board};
use crate::{Delivering, Error, EventLog, Result, Subscriber};

/// Running projections and reactors. Dropping it stops them after the page they are at, and breaks off the delivery of
/// commands, which are sent again by the next.
pub struct Running {
    log: Arc<dyn EventLog>,
    head: watch::Receiver<u64>,
    runs: BTreeMap<String, Runs>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    delivering: Option<Delivering>,
    pub(super) wait: Duration,
}

/// One that runs, and where its tasks are told from.
#[derive(Debug)]
pub(super) struct Runs {
    pub(super) subscriber: Arc<dyn Subscriber>,
    pub(super) board: Arc<Board>,
}

impl Running {
    pub(super) fn new(
        log: Arc<dyn EventLog>,
        runs: BTreeMap<String, Runs>,
        tasks: JoinSet<()>,
        stop: watch::Sender<bool>,
        delivering: Option<Delivering>,
        wait: Duration,
    ) -> Self {
        Self { head: log.watch(), log, runs, tasks, stop, delivering, wait }
    }

    /// Where a projection stands. The head, and how far it is behind, are those of this moment, also while it is paused
    /// or has stopped.
    ///
    /// # Errors
    /// [`UnknownProjection`](Error::UnknownProjection).
    pub fn status(&self, name: &str) -> Result<Status> {
        Ok(self.status_of(self.runs(name)?))
    }

    /// Where each projection stands, by name.
    pub fn statuses(&self) -> BTreeMap<String, Status> {
        self.runs.iter().map(|(name, runs)| (name.clone(), self.status_of(runs))).collect()
    }

    /// Where a projection stands: now, and then each time something changes, until the runner stops. Of changes that
    /// come faster than they are taken, the last one is given.
    ///
    /// ```
    /// # use es_core::{Result, Running};
    /// # async fn example(running: Running) -> Result<()> {
    /// use futures_util::StreamExt;
    ///
    /// let mut changes = running.changes("balances")?;
    /// while let Some(status) = changes.next().await {
    ///     println!("{} of {}", status.checkpoint, status.head);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`UnknownProjection`](Error::UnknownProjection).
    pub fn changes(&self, name: &str) -> Result<impl Stream<Item = Status> + Send + Unpin + use<>> {
        let mut notes = self.runs(name)?.board.notes();
        notes.mark_changed();
        let from = (notes, self.head.clone(), self.log.clone());
        Ok(Box::pin(stream::unfold(from, async |(mut notes, head, log)| {
            notes.changed().await.ok()?;
            let status = notes.borrow_and_update().status(*head.borrow(), &*log);
            Some((status, (notes, head, log)))
        })))
    }

    /// Has a projection stop after the page it is at, and waits for that. What is recorded meanwhile it handles when it
    /// is [resumed](Self::resume).
    ///
    /// # Errors
    /// [`UnknownProjection`](Error::UnknownProjection).
    pub async fn pause(&self, name: &str) -> Result<()> {
        let board = &self.runs(name)?.board;
        board.pause();
        board.notes().wait_for(|notes| notes.at_rest()).await.map(drop).map_err(|_| Error::ShuttingDown)
    }

    /// Has a paused projection go on, and one that has stopped at an error, or waits before it tries again, try at once.
    ///
    /// # Errors
    /// [`UnknownProjection`](Error::UnknownProjection).
    pub fn resume(&self, name: &str) -> Result<()> {
        self.runs(name)?.board.resume(true);
        Ok(())
    }

    /// Lets each projection finish the page it is at, waits for the answers to delivered commands, and stops.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        // Told before anything is waited for, so that all stop at once.
        if let Some(delivering) = self.delivering.take() {
            delivering.shutdown().await;
        }
        while self.tasks.join_next().await.is_some() {}
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.runs.keys().map(String::as_str)
    }

    pub(super) fn runs(&self, name: &str) -> Result<&Runs> {
        self.runs.get(name).ok_or_else(|| Error::UnknownProjection {
            name: name.to_owned(),
            running: self.runs.keys().cloned().collect(),
        })
    }

    fn status_of(&self, runs: &Runs) -> Status {
        runs.board.notes().borrow().status(*self.head.borrow(), &*self.log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.tasks.detach_all();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Running").field(&self.statuses()).finish()
    }
}
