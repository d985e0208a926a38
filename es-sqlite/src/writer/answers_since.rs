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

/// Commits a change that means nothing: it moves the clock by a microsecond, or sets it when nothing was ever forgotten.
/// After an error the connection is of no more use.
pub(super) fn nudge(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let change = "UPDATE es_meta SET forget_clock = CASE forget_clock WHEN 0 THEN ?1 ELSE forget_clock + 1 END";
    connection.execute("BEGIN IMMEDIATE", ())?;
    connection.execute(change, [now.as_micros()])?;
    connection.execute("COMMIT", ()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_never_forgot_anything_does_not_get_a_clock_of_1970() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE es_meta (forget_clock INTEGER); INSERT INTO es_meta VALUES (0)")
            .unwrap();
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        for micros in 0..3 {
            nudge(&connection, now).unwrap();
            assert_eq!(forget_clock(&connection).unwrap().as_micros(), now.as_micros() + micros);
        }
    }
}
