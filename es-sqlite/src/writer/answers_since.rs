//! Since when the answers to all commands are there.

use std::sync::atomic::{AtomicI64, Ordering};

use es_core::{Timestamp, store::ANSWERS_ARE_KEPT};
use rusqlite::Connection;

/// What the writer has learned from the file, for everyone to look at. It only moves on.
#[derive(Debug)]
pub(crate) struct AnswersSince(AtomicI64);

impl Default for AnswersSince {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl AnswersSince {
    pub(crate) fn get(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Acquire))
    }

    /// Learns it from the file.
    pub(super) fn learn(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.moved_to(cutoff(forget_clock(connection)?));
        Ok(())
    }

    /// What was recorded before may be forgotten now.
    pub(super) fn moved_to(&self, cutoff: Timestamp) {
        self.0.fetch_max(cutoff.as_micros(), Ordering::AcqRel);
    }
}

/// The clock by which answers grow old, as the file has it.
pub(super) fn forget_clock(connection: &Connection) -> rusqlite::Result<Timestamp> {
    let micros = connection.query_row("SELECT forget_clock FROM es_meta", (), |row| row.get(0))?;
    Ok(Timestamp::from_micros(micros))
}

/// What was recorded before is old enough to be forgotten, by this clock.
pub(super) fn cutoff(forget_clock: Timestamp) -> Timestamp {
    let kept = i64::try_from(ANSWERS_ARE_KEPT.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(forget_clock.as_micros().saturating_sub(kept))
}
