//! What the writer remembers of the file, so that it need not ask.

use std::collections::HashMap;

use es_core::StreamKey;
use foldhash::fast::RandomState;
use rusqlite::{Connection, OptionalExtension};

use crate::{
    cache::Cache,
    checksum::Checksum,
    fold,
    names::{self, Names},
};

/// Streams remembered, in each of two halves.
const STREAMS: usize = 32_768;
const TYPES: usize = 16_384;

/// A stream as the writer knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) id: i64,
    pub(super) version: u64,
    pub(super) checksum: Checksum,
}

/// The log's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    pub(super) position: u64,
    pub(super) recorded_at: i64,
}

/// The log's end, streams and event types, as the open transaction has them or else the last committed one left them.
///
/// Only what was committed is remembered: after a rollback SQLite hands the same row ids to the next stream.
#[derive(Debug)]
pub(super) struct Ledger {
    end: End,
    streams: Cache<StreamKey, Stream, RandomState>,
    types: HashMap<String, i64, RandomState>,
    /// For reading the log inside the transaction.
    names: Names,
    /// A transaction has begun and was not committed.
    open: bool,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            end: End::default(),
            streams: Cache::new(STREAMS),
            types: HashMap::default(),
            names: Names::default(),
            open: false,
        }
    }

    /// Starts a transaction. If the last one was not committed, or the file does not end where that left it because
    /// someone else wrote, nothing we remember counts.
    pub(super) fn begin(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let end = read_end(connection)?;
        if self.open || end != self.end {
            self.forget();
            self.end = end;
        }
        self.open = true;
        Ok(())
    }

    /// The log's end inside the open transaction.
    pub(super) fn end(&mut self) -> &mut End {
        &mut self.end
    }

    /// The names that were met while reading the log inside the transaction.
    pub(super) fn names(&mut self) -> &mut Names {
        &mut self.names
    }

    /// What was written since the log ended here was taken back, and with it what it taught.
    pub(super) fn taken_back(&mut self, end: End) {
        self.forget();
        (self.end, self.open) = (end, true);
    }

    /// A stream, if it exists.
    pub(super) fn stream(&mut self, connection: &Connection, key: &StreamKey) -> rusqlite::Result<Option<Stream>> {
        if let Some(stream) = self.streams.get(key) {
            return Ok(Some(stream));
        }
        let Some(id) = names::stream_id(connection, key)? else { return Ok(None) };
        let stream = Stream { id, version: fold::version_of(connection, id)?, checksum: Checksum::stream(key) };
        self.streams.insert(key.clone(), stream);
        Ok(Some(stream))
    }

    /// A stream that is about to get its first events.
    pub(super) fn create(&mut self, connection: &Connection, key: &StreamKey) -> rusqlite::Result<Stream> {
        connection
            .prepare_cached("INSERT INTO es_streams (tenant, type, aggregate_id) VALUES (?1, ?2, ?3)")?
            .execute((crate::schema::tenant(key.tenant.as_ref()), &*key.stream_type, key.id.as_str()))?;
        Ok(Stream { id: connection.last_insert_rowid(), version: 0, checksum: Checksum::stream(key) })
    }

    /// Notes where a stream stands after an append.
    pub(super) fn moved(&mut self, key: &StreamKey, stream: Stream) {
        self.streams.set(key, stream);
    }

    /// The number of an event type; a new one gets one.
    pub(super) fn event_type(&mut self, connection: &Connection, name: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.types.get(name) {
            return Ok(*id);
        }
        let known = connection
            .prepare_cached("SELECT id FROM es_types WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        let id = match known {
            Some(id) => id,
            None => {
                connection.prepare_cached("INSERT INTO es_types (name) VALUES (?1)")?.execute([name])?;
                connection.last_insert_rowid()
            }
        };
        if self.types.len() >= TYPES {
            self.types.clear();
        }
        self.types.insert(name.to_owned(), id);
        Ok(id)
    }

    /// The transaction is committed: what it learned is so. Returns the head.
    pub(super) fn committed(&mut self) -> u64 {
        self.open = false;
        self.end.position
    }

    /// Nothing is certain any more.
    pub(super) fn forget(&mut self) {
        self.end = End::default();
        self.streams.clear();
        self.types.clear();
        self.names.clear();
        self.open = false;
    }
}

fn read_end(connection: &Connection) -> rusqlite::Result<End> {
    let last = connection
        .prepare_cached("SELECT position, recorded_at FROM es_events ORDER BY position DESC LIMIT 1")?
        .query_row((), |row| Ok(End { position: row.get(0)?, recorded_at: row.get(1)? }))
        .optional()?;
    Ok(last.unwrap_or_default())
}
