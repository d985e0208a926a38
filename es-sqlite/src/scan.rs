//! The events of a page while it is read: which are wanted, and one buffer for all their bytes.

use std::sync::Arc;

use bytes::Bytes;
use es_core::{Error, EventMeta, Filter, Page, RecordedEvent, Timestamp};
use rusqlite::Connection;
use rustc_hash::FxHashMap;

use crate::{errors::Place, event_row::EventRow, names::Names};

/// A page under way. Payloads and metadata are copied into one buffer.
pub(crate) struct Scan<'r> {
    connection: &'r Connection,
    place: &'r Place,
    names: &'r mut Names,
    filter: &'r Filter,
    types: FxHashMap<i64, (Arc<str>, Wanted<'r>)>,
    events: Vec<RecordedEvent>,
    /// Where the metadata and then the payload of each event end in the buffer.
    ends: Vec<(usize, usize)>,
    buffer: Vec<u8>,
}

impl<'r> Scan<'r> {
    /// A page of about `expected` events.
    pub(crate) fn new(
        connection: &'r Connection,
        place: &'r Place,
        names: &'r mut Names,
        filter: &'r Filter,
        expected: usize,
    ) -> Self {
        Self {
            connection,
            place,
            names,
            filter,
            types: FxHashMap::default(),
            events: Vec::with_capacity(expected),
            ends: Vec::with_capacity(expected),
            buffer: Vec::new(),
        }
    }

    /// How many events the filter wanted so far.
    pub(crate) fn admitted(&self) -> usize {
        self.events.len()
    }

    /// Takes an event, if the filter wants it. All are verified: a damaged type must not make an event invisible.
    pub(crate) fn admit(&mut self, event: &EventRow<'_>) -> Result<(), Error> {
        let Self { connection, place, names, filter, types, events, ends, buffer } = self;
        let (name, wanted) = match types.get(&event.event_type) {
            Some(known) => known,
            None => {
                let name = names.event_type(connection, place, event.event_type)?;
                let wanted = Wanted::new(filter, &name);
                types.entry(event.event_type).or_insert((name, wanted))
            }
        };
        let stream = names.stream(connection, place, event.stream)?;
        event.verify(stream.checksum, name)?;
        if !(wanted.of(&stream.key.stream_type) && filter.admits_stream(&stream.key)) {
            return Ok(());
        }
        let mut meta = EventMeta::new(Arc::clone(&stream.key), event.version, event.position, Arc::clone(name));
        meta.commit_first = event.position.saturating_sub(event.commit_index);
        meta.commit_last = event.position.saturating_add(event.commit_rest);
        meta.schema_version = event.schema_version;
        meta.encoding = event.encoding()?;
        meta.recorded_at = Timestamp::from_micros(event.recorded_at);
        buffer.extend_from_slice(event.metadata);
        let metadata_end = buffer.len();
        buffer.extend_from_slice(event.payload);
        ends.push((metadata_end, buffer.len()));
        events.push(RecordedEvent { meta, payload: Bytes::new() });
        Ok(())
    }

    /// The page of the first `count` events.
    pub(crate) fn page(mut self, count: usize, scanned_to: u64) -> Page {
        self.events.truncate(count);
        let buffer = Bytes::from(self.buffer);
        let mut start = 0;
        for (event, (metadata_end, payload_end)) in self.events.iter_mut().zip(self.ends) {
            event.meta.stored_origin = buffer.slice(start..metadata_end);
            event.payload = buffer.slice(metadata_end..payload_end);
            start = payload_end;
        }
        Page { events: self.events, scanned_to }
    }
}

/// Whether events of one type are wanted; found out once a page.
enum Wanted<'f> {
    Always,
    /// Only in streams of these types, which don't know it: mostly none.
    In(Vec<&'f str>),
}

impl<'f> Wanted<'f> {
    fn new(filter: &'f Filter, event_type: &str) -> Self {
        if filter.admits_type(event_type) { Self::Always } else { Self::In(filter.strangers_to(event_type).collect()) }
    }

    fn of(&self, stream_type: &str) -> bool {
        match self {
            Self::Always => true,
            Self::In(stream_types) => stream_types.contains(&stream_type),
        }
    }
}
