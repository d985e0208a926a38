//! Which store this is, and how often it was restored.

use es_core::{Epoch, Error, StoreIdentity};
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use crate::errors::Place;

/// Which store a file is, and the epochs that restores of it have begun.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) store: StoreIdentity,
    pub(crate) epochs: Vec<Epoch>,
}

/// The store's id, given to it when it is first opened, and its epochs.
pub(crate) fn of(connection: &Connection, place: &Place) -> Result<Identity, Error> {
    let at = |error| place.error("reading the store's id", error);
    if read(connection).map_err(at)?.is_none() {
        // Whoever inserts first decides.
        connection
            .execute("INSERT INTO es_meta VALUES (1, ?1, 0, 0) ON CONFLICT DO NOTHING", [Uuid::new_v4().as_bytes()])
            .map_err(at)?;
    }
    let store = read(connection).map_err(at)?.ok_or_else(|| at(rusqlite::Error::QueryReturnedNoRows))?;
    Ok(Identity { store, epochs: epochs(connection).map_err(at)? })
}

fn read(connection: &Connection) -> rusqlite::Result<Option<StoreIdentity>> {
    connection
        .query_row("SELECT store_id, epoch FROM es_meta", (), |row| {
            Ok(StoreIdentity { id: Uuid::from_bytes(row.get(0)?), epoch: row.get(1)? })
        })
        .optional()
}

fn epochs(connection: &Connection) -> rusqlite::Result<Vec<Epoch>> {
    connection
        .prepare("SELECT epoch, began_after FROM es_epochs ORDER BY epoch")?
        .query_map((), |row| Ok(Epoch { number: row.get(0)?, began_after: row.get(1)? }))?
        .collect()
}

/// Begins an epoch at the head of the log, inside the caller's transaction, and says which.
///
/// Its number is that of the one before plus one, or the time in microseconds, whichever is more: two restores of one
/// backup begin two epochs, although the second one knows nothing of the first.
pub(crate) fn begin_epoch(connection: &Connection, now: es_core::Timestamp, head: u64) -> rusqlite::Result<u64> {
    let time = u64::try_from(now.as_micros()).unwrap_or_default();
    let before: u64 = connection.query_row("SELECT epoch FROM es_meta", (), |row| row.get(0))?;
    let epoch = time.max(before.saturating_add(1));
    connection.execute("UPDATE es_meta SET epoch = ?1", [epoch])?;
    connection.execute("INSERT INTO es_epochs VALUES (?1, ?2)", (epoch, head))?;
    Ok(epoch)
}
