//! Which store this is.

use es_core::{Error, StoreIdentity};
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use crate::errors::Place;

/// The store's id, given to it when it is first opened.
pub(crate) fn of(connection: &Connection, place: &Place) -> Result<StoreIdentity, Error> {
    let at = |error| place.error("reading the store's id", error);
    if let Some(identity) = read(connection).map_err(at)? {
        return Ok(identity);
    }
    // Whoever inserts first decides.
    connection
        .execute("INSERT INTO es_meta VALUES (1, ?1, 0, 0) ON CONFLICT DO NOTHING", [Uuid::new_v4().as_bytes()])
        .map_err(at)?;
    read(connection).map_err(at)?.ok_or_else(|| at(rusqlite::Error::QueryReturnedNoRows))
}

fn read(connection: &Connection) -> rusqlite::Result<Option<StoreIdentity>> {
    connection
        .query_row("SELECT store_id, epoch FROM es_meta", (), |row| {
            Ok(StoreIdentity { id: Uuid::from_bytes(row.get(0)?), epoch: row.get(1)? })
        })
        .optional()
}
