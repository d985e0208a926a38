//! The names behind the small integers of the events table.

use std::sync::Arc;

use es_core::{AggregateId, Error, StreamKey, Tenant};
use rusqlite::{Connection, OptionalExtension, Row};
use rustc_hash::FxHashMap;

use crate::{cache::Cache, checksum::Checksum, errors::Place, schema};

/// Streams and event types as one connection has met them. What is committed never changes, so nothing here grows
/// stale; it is only bounded.
#[derive(Debug)]
pub(crate) struct Names {
    ids: Cache<StreamKey, i64>,
    /// Each at its number modulo [`SLOTS`]. Numbers are given out in order, so streams of one time stand side by side.
    streams: Vec<Option<(i64, Stream)>>,
    types: FxHashMap<i64, Arc<str>>,
}

/// A stream's name, and what the checksums of its events start with.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) key: Arc<StreamKey>,
    pub(crate) checksum: Checksum,
}

/// Streams remembered by each connection: by name in each of two halves, and by number. Some 10 MB when full.
const STREAMS: usize = 32_768;
const SLOTS: usize = 65_536;
const TYPES: usize = 16_384;

impl Default for Names {
    fn default() -> Self {
        Self { ids: Cache::new(STREAMS), streams: Vec::new(), types: FxHashMap::default() }
    }
}

impl Names {
    /// Forgets all: what was met may have been taken back.
    pub(crate) fn clear(&mut self) {
        self.ids.clear();
        self.streams.clear();
        self.types.clear();
    }

    /// The number of a stream, if it exists.
    pub(crate) fn id(&mut self, connection: &Connection, place: &Place, key: &StreamKey) -> Result<Option<i64>, Error> {
        if let Some(id) = self.ids.get(key) {
            return Ok(Some(id));
        }
        let id = stream_id(connection, key).map_err(|error| place.error("looking up a stream", error))?;
        if let Some(id) = id {
            self.ids.insert(key.clone(), id);
        }
        Ok(id)
    }

    /// The stream with this number.
    pub(crate) fn stream(&mut self, connection: &Connection, place: &Place, id: i64) -> Result<&Stream, Error> {
        let slot = id.cast_unsigned() as usize % SLOTS;
        if slot >= self.streams.len() {
            self.streams.resize_with(slot + 1, || None);
        }
        let slot = &mut self.streams[slot];
        if slot.as_ref().is_some_and(|(known, _)| *known != id) {
            *slot = None;
        }
        let (_, stream) = match slot {
            Some(known) => known,
            none => {
                let key = stream_key(connection, place, id)?;
                none.insert((id, Stream { checksum: Checksum::stream(&key), key: Arc::new(key) }))
            }
        };
        Ok(stream)
    }

    /// The name of the event type with this number.
    pub(crate) fn event_type(&mut self, connection: &Connection, place: &Place, id: i64) -> Result<Arc<str>, Error> {
        if let Some(name) = self.types.get(&id) {
            return Ok(Arc::clone(name));
        }
        let name: Option<Arc<str>> = connection
            .prepare_cached("SELECT name FROM es_types WHERE id = ?1")
            .and_then(|mut statement| statement.query_row([id], |row| row.get(0)).optional())
            .map_err(|error| place.error("looking up an event type", error))?;
        let name = name.ok_or_else(|| missing("event type", id))?;
        if self.types.len() >= TYPES {
            self.types.clear();
        }
        self.types.insert(id, Arc::clone(&name));
        Ok(name)
    }
}

/// The number of a stream, from the table.
pub(crate) fn stream_id(connection: &Connection, key: &StreamKey) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM es_streams WHERE tenant = ?1 AND aggregate_id = ?2 AND type = ?3")?
        .query_row((schema::tenant(key.tenant.as_ref()), key.id.as_str(), &*key.stream_type), |row| row.get(0))
        .optional()
}

/// Whether an event of any of these types was ever recorded.
pub(crate) fn any_recorded(connection: &Connection, types: &[String]) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM es_types WHERE name = ?1)")?;
    for name in types {
        if statement.query_row([name], |row| row.get(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The name of a stream, from the table.
pub(crate) fn stream_key(connection: &Connection, place: &Place, id: i64) -> Result<StreamKey, Error> {
    let damaged = |error: Error| Error::Corrupt { what: format!("stream number {id}"), why: error.to_string() };
    let key = |row: &Row<'_>| {
        let text = |column| row.get_ref(column).and_then(|value| Ok(value.as_str()?));
        let (tenant, stream_type, aggregate_id) = (text(0)?, text(1)?, text(2)?);
        let tenant = if tenant.is_empty() { Ok(None) } else { Tenant::new(tenant).map(Some) };
        Ok(tenant.and_then(|tenant| Ok(StreamKey::new(tenant, stream_type, AggregateId::new(aggregate_id)?))))
    };
    connection
        .prepare_cached("SELECT tenant, type, aggregate_id FROM es_streams WHERE id = ?1")
        .and_then(|mut statement| statement.query_row([id], key).optional())
        .map_err(|error| place.error("looking up a stream", error))?
        .ok_or_else(|| missing("stream", id))?
        .map_err(damaged)
}

fn missing(what: &str, id: i64) -> Error {
    Error::Corrupt { what: format!("{what} number {id}"), why: "events refer to it, but it is not there".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_that_share_a_slot_are_not_mistaken_for_each_other() {
        let connection = Connection::open_in_memory().unwrap();
        schema::STORE.create(&connection).unwrap();
        let place = Place { path: "streams.db".into(), busy_timeout: std::time::Duration::ZERO };
        let ids = [1, 1 + SLOTS as i64, 2];
        for id in ids {
            let insert = "INSERT INTO es_streams (id, tenant, type, aggregate_id) VALUES (?1, '', 'Account', ?1)";
            connection.execute(insert, [id]).unwrap();
        }
        let mut names = Names::default();
        for id in ids.into_iter().chain(ids) {
            let stream = names.stream(&connection, &place, id).unwrap();
            assert_eq!(stream.key.id.as_str(), id.to_string());
        }
        let missing = names.stream(&connection, &place, 1 + 2 * SLOTS as i64).unwrap_err();
        assert!(missing.to_string().contains("stream number 131073"), "{missing}");
        assert_eq!(names.stream(&connection, &place, 1).unwrap().key.id.as_str(), "1");
        assert!(names.streams.len() <= SLOTS);
    }
}
