//! Snapshots: a cache of folded state. Any doubt discards one.

use es_core::Snapshot;
use rusqlite::{Connection, OptionalExtension};

use crate::checksum::Checksum;

/// Snapshots kept of one stream: those of the programs that wrote lately.
const KEPT: u32 = 4;

/// The snapshot of a stream with this fingerprint, unless it is damaged or ahead of its stream.
pub(crate) fn read(connection: &Connection, stream: i64, fingerprint: u64) -> rusqlite::Result<Option<(u64, Vec<u8>)>> {
    let row = connection
        .prepare_cached(
            "SELECT version, checksum, state, (SELECT max(version) FROM es_events WHERE stream = ?1)
             FROM es_snapshots WHERE stream = ?1 AND fingerprint = ?2",
        )?
        .query_row((stream, fingerprint.cast_signed()), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?, row.get::<_, Option<i64>>(3)?))
        })
        .optional();
    let (version, checksum, state, head) = match row {
        Ok(Some(row)) => row,
        Ok(None) => return Ok(None),
        Err(error) if error.sqlite_error_code().is_some() => return Err(error),
        // A column that is not what it should be.
        Err(_) => return Ok(None),
    };
    let usable = sum(stream, fingerprint, version, &state) == checksum && head.is_some_and(|head| version <= head);
    Ok(usable.then_some((version.cast_unsigned(), state)))
}

/// Keeps a snapshot of committed state, unless a newer one is there. `head` is the stream's version.
pub(crate) fn write(connection: &Connection, stream: i64, head: u64, snapshot: &Snapshot) -> rusqlite::Result<()> {
    let (version, fingerprint) = (snapshot.version.cast_signed(), snapshot.fingerprint.cast_signed());
    if snapshot.version == 0 || snapshot.version > head {
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO es_snapshots (stream, fingerprint, version, checksum, state) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET version = excluded.version, checksum = excluded.checksum, state = excluded.state
             WHERE excluded.version >= version OR version > ?6",
        )?
        .execute((
            stream,
            fingerprint,
            version,
            sum(stream, snapshot.fingerprint, version, &snapshot.state),
            &snapshot.state,
            head,
        ))?;
    connection
        .prepare_cached(
            "DELETE FROM es_snapshots WHERE stream = ?1 AND fingerprint NOT IN
             (SELECT fingerprint FROM es_snapshots WHERE stream = ?1 ORDER BY version DESC LIMIT ?2)",
        )?
        .execute((stream, KEPT))?;
    Ok(())
}

/// The checksum over all that a row says.
pub(crate) fn sum(stream: i64, fingerprint: u64, version: i64, state: &[u8]) -> i64 {
    Checksum::start(3).numbers([stream, fingerprint.cast_signed(), version]).bytes(state).column()
}
