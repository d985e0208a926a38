//! Reading one stream: straight from the database's buffers into the visitor.

use std::ops::ControlFlow;

use es_core::{Error, RecordedRef, StreamKey};
use rusqlite::Connection;

use crate::{blocking, checksum::Checksum, event_row::EventRow, event_row::columns, reader::Reader};

const EVENTS: &str =
    concat!("SELECT ", columns!(), " FROM es_events WHERE stream = ?1 AND version > ?2 ORDER BY version");

/// Events that are read without telling the runtime: for so few, that would cost a good part of the time they take.
const SHORT: usize = 32;

/// Visits the events of a stream after a version and returns the version of the last one visited.
pub(crate) fn fold(
    reader: &mut Reader,
    stream: &StreamKey,
    after: u64,
    visit: &mut dyn FnMut(RecordedRef<'_>) -> Result<ControlFlow<()>, Error>,
) -> Result<u64, Error> {
    let Reader { connection, names, place } = reader;
    let (Some(id), Ok(from)) = (names.id(connection, place, stream)?, i64::try_from(after)) else {
        return Ok(after);
    };
    let at = |error| place.error("reading a stream", error);
    let checksum = Checksum::stream(stream);
    let mut statement = connection.prepare_cached(EVENTS).map_err(at)?;
    let mut rows = statement.query((id, from)).map_err(at)?;
    let mut last = after;
    let mut next = || -> Result<ControlFlow<()>, Error> {
        let Some(row) = rows.next().map_err(at)? else { return Ok(ControlFlow::Break(())) };
        let event = EventRow::read(row)?;
        let event_type = names.event_type(connection, place, event.event_type)?;
        event.verify(checksum, &event_type)?;
        if event.version != last + 1 {
            return Err(event.corrupt(format!("version {} of {stream} is missing before it", last + 1)));
        }
        last = event.version;
        visit(event.recorded(&event_type)?)
    };
    let mut read = |events: usize| -> Result<ControlFlow<()>, Error> {
        for _ in 0..events {
            if next()?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    if read(SHORT)?.is_continue() {
        let _ = blocking::here(|| read(usize::MAX))?;
    }
    Ok(last)
}

/// The version a stream stands at; 0 when it does not exist.
pub(crate) fn version(reader: &mut Reader, stream: &StreamKey) -> Result<u64, Error> {
    let Reader { connection, names, place } = reader;
    match names.id(connection, place, stream)? {
        Some(id) => version_of(connection, id).map_err(|error| place.error("reading a stream's version", error)),
        None => Ok(0),
    }
}

/// The version of a stream by its number.
pub(crate) fn version_of(connection: &Connection, stream: i64) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT coalesce(max(version), 0) FROM es_events WHERE stream = ?1")?
        .query_row([stream], |row| row.get(0))
}
