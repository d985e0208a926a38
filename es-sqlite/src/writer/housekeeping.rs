//! What the writer does when nobody wants anything: checkpoints, and old answers to commands.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use es_core::{Clock, Timestamp};
use rusqlite::Connection;

use super::answers_since::{AnswersSince, cutoff, forget_clock};
use crate::commands;

/// How long the writer must have been idle before the log is copied into the database.
const QUIET: Duration = Duration::from_millis(200);
/// How often old answers are looked for: by time, and by transactions.
const FORGET_EVERY: Duration = Duration::from_secs(60);
const FORGET_EVERY_BATCHES: u32 = 1_000;
/// Answers deleted at once.
const FORGET_AT_ONCE: u32 = 500;
/// How often the size of the write-ahead log is looked at, in transactions.
const MEASURE_EVERY: u32 = 64;
/// The size from which a write-ahead log is worth a warning, in bytes; the next one comes at twice the size. Without a
/// reader that holds it, a checkpoint starts it over at 32 MB.
const LARGE_LOG: u64 = 128 << 20;
/// How far the clock may have moved while the file was closed, as far as forgetting is concerned.
const LEAP: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug)]
pub(super) struct Housekeeping {
    clock: Arc<dyn Clock>,
    answers_since: Arc<AnswersSince>,
    last_commit: Instant,
    uncopied: bool,
    batches: u32,
    measured: u32,
    /// The size of the write-ahead log at which there is a warning.
    warn_at: u64,
    last_attempt: Option<Instant>,
    last_forgetting: Option<Instant>,
    /// The clock by which answers grow old. It follows the store's clock, but never faster than time passes here, so
    /// that a clock set to next year by mistake forgets nothing.
    now: Timestamp,
}

impl Housekeeping {
    pub(super) fn new(clock: Arc<dyn Clock>, answers_since: Arc<AnswersSince>) -> Self {
        let now = Timestamp::default();
        Self {
            clock,
            answers_since,
            last_commit: Instant::now(),
            uncopied: false,
            batches: 0,
            measured: 0,
            warn_at: LARGE_LOG,
            last_attempt: None,
            last_forgetting: None,
            now,
        }
    }

    pub(super) fn committed(&mut self) {
        self.last_commit = Instant::now();
        self.uncopied = true;
        self.batches += 1;
    }

    /// Warns of a write-ahead log that can't be started over because a reader holds it: it slows down every read, and
    /// fills the disk in the end.
    pub(super) fn measure(&mut self, database: &Path) {
        self.measured += 1;
        if self.measured < MEASURE_EVERY {
            return;
        }
        self.measured = 0;
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        // Only asked for its size: a handle of ours, when closed, would drop the locks of this process.
        let size = std::fs::metadata(log).map_or(0, |log| log.len());
        if size < LARGE_LOG {
            self.warn_at = LARGE_LOG;
        } else if size >= self.warn_at {
            let (path, megabytes) = (database.display(), size >> 20);
            tracing::warn!(%path, megabytes, "the write-ahead log can't be started over: some reader has held it for long");
            self.warn_at = size * 2;
        }
    }

    /// How long to wait for work before looking around.
    pub(super) fn patience(&self) -> Duration {
        if self.uncopied { QUIET } else { Duration::from_secs(1) }
    }

    /// Copies the log into the database when it is quiet.
    pub(super) fn checkpoint(&mut self, connection: &Connection) {
        if self.uncopied && self.last_commit.elapsed() >= QUIET {
            self.uncopied = false;
            if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(())) {
                tracing::warn!(%error, "a checkpoint failed; the log grows until one succeeds");
            }
        }
    }

    /// Deletes a few old answers when it is time to.
    pub(super) fn forget(&mut self, connection: &mut Connection) {
        let due = self.last_attempt.is_none_or(|last| last.elapsed() >= FORGET_EVERY);
        if due || self.batches >= FORGET_EVERY_BATCHES {
            (self.batches, self.last_attempt) = (0, Some(Instant::now()));
            match self.forget_some(connection) {
                // There may be more of them.
                Ok(deleted) if deleted == FORGET_AT_ONCE as usize => self.batches = FORGET_EVERY_BATCHES,
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "old answers to commands were not deleted this time"),
            }
        }
    }

    fn forget_some(&mut self, connection: &mut Connection) -> rusqlite::Result<usize> {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let stored = forget_clock(&transaction)?;
        // Another process may have forgotten some.
        self.answers_since.moved_to(cutoff(stored));
        let latest = match self.last_forgetting.replace(Instant::now()) {
            Some(last) => self.now.saturating_add(last.elapsed()),
            None if stored == Timestamp::default() => self.clock.now(),
            None => stored.saturating_add(LEAP),
        };
        self.now = self.clock.now().min(latest);
        let deleted = commands::forget(&transaction, cutoff(self.now), FORGET_AT_ONCE)?;
        if deleted == 0 && self.now.since(stored) < Duration::from_secs(60 * 60) {
            return Ok(0);
        }
        transaction.execute("UPDATE es_meta SET forget_clock = ?1", [self.now.as_micros()])?;
        // Before it is seen that they are gone; if they are not, after all, their commands are still answered.
        self.answers_since.moved_to(cutoff(self.now));
        transaction.commit()?;
        Ok(deleted)
    }
}
