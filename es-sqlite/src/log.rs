//! Reading the log: pages that end where a commit ends.

use std::{collections::HashMap, sync::Arc};

use es_core::{Error, EventMeta, Filter, Page, RecordedEvent, Timestamp};
use rusqlite::Connection;

use crate::{
    errors::Place,
    event_row::{EventRow, columns},
    names::Names,
    reader::Reader,
};

const EVENTS: &str = concat!("SELECT ", columns!(), " FROM es_events WHERE position > ?1 ORDER BY position");

/// Events looked at for one page, at least; more when more are asked for.
const SCANNED: usize = 4_096;
/// Bytes of payloads and metadata after which a page ends.
const BYTES: usize = 8 << 20;

/// The position of the last event.
pub(crate) fn head(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT coalesce(max(position), 0) FROM es_events")?.query_row((), |row| row.get(0))
}

/// Reads a page after a position. Where an event is damaged, the page ends before its commit; only a page that would
/// start with it is an error.
pub(crate) fn read(reader: &mut Reader, after: u64, limit: usize, filter: &Filter) -> Result<Page, Error> {
    let Reader { connection, names, place } = reader;
    let mut page = Page { events: Vec::new(), scanned_to: after };
    let (Ok(from), 1..) = (i64::try_from(after), limit) else { return Ok(page) };
    let mut scan = Scan { connection, place, names, filter, types: HashMap::new(), streams: HashMap::new() };
    let at = |error| place.error("reading the log", error);
    let mut statement = connection.prepare_cached(EVENTS).map_err(at)?;
    let mut rows = statement.query([from]).map_err(at)?;
    let (mut whole, mut previous, mut scanned, mut bytes) = (0, after, 0, 0);
    let damage = loop {
        let event = match rows.next().map_err(at).and_then(|row| row.map(EventRow::read).transpose()) {
            Ok(Some(event)) if event.position == previous + 1 => event,
            Ok(Some(event)) => break event.corrupt(format!("position {} is missing before it", previous + 1)),
            Ok(None) if previous == page.scanned_to => return Ok(page),
            Ok(None) => {
                let what = format!("event at position {}", previous + 1);
                break Error::Corrupt { what, why: "it is missing, and the commit before it is not whole".into() };
            }
            Err(error) => break error,
        };
        match scan.admit(&event) {
            Ok(Some(recorded)) => page.events.push(recorded),
            Ok(None) => {}
            Err(error) => break error,
        }
        previous = event.position;
        scanned += 1;
        bytes += event.payload.len() + event.metadata.len();
        if event.commit_rest == 0 {
            (whole, page.scanned_to) = (page.events.len(), event.position);
            if whole >= limit || scanned >= limit.max(SCANNED) || bytes >= BYTES {
                return Ok(page);
            }
        }
    };
    page.events.truncate(whole);
    if page.scanned_to > after { Ok(page) } else { Err(damage) }
}

/// A scan under way: each name is held against the filter once.
struct Scan<'r> {
    connection: &'r Connection,
    place: &'r Place,
    names: &'r mut Names,
    filter: &'r Filter,
    types: HashMap<i64, (Arc<str>, bool)>,
    streams: HashMap<i64, (Arc<crate::names::Stream>, bool)>,
}

impl Scan<'_> {
    /// The event, if the filter wants it. All are verified: a damaged type must not make an event invisible.
    fn admit(&mut self, event: &EventRow<'_>) -> Result<Option<RecordedEvent>, Error> {
        let listed = |list: &[String], name: &str| list.is_empty() || list.iter().any(|wanted| wanted == name);
        let filter = self.filter;
        if !self.types.contains_key(&event.event_type) {
            let name = self.names.event_type(self.connection, self.place, event.event_type)?;
            let wanted = listed(&filter.event_types, &name);
            self.types.insert(event.event_type, (name, wanted));
        }
        if !self.streams.contains_key(&event.stream) {
            let stream = self.names.stream(self.connection, self.place, event.stream)?;
            let wanted = (filter.tenant.is_none() || filter.tenant == stream.key.tenant)
                && listed(&filter.stream_types, &stream.key.stream_type);
            self.streams.insert(event.stream, (stream, wanted));
        }
        let ((name, type_wanted), (stream, stream_wanted)) =
            (&self.types[&event.event_type], &self.streams[&event.stream]);
        event.verify(stream.checksum, name)?;
        if !(*type_wanted && *stream_wanted) {
            return Ok(None);
        }
        let mut meta = EventMeta::new(stream.key.clone(), event.version, event.position, Arc::clone(name));
        meta.commit_first = event.position.saturating_sub(event.commit_index);
        meta.commit_last = event.position.saturating_add(event.commit_rest);
        meta.schema_version = event.schema_version;
        meta.encoding = event.encoding()?;
        meta.recorded_at = Timestamp::from_micros(event.recorded_at);
        if !event.metadata.is_empty() {
            meta.read_wire(event.metadata)?;
        }
        Ok(Some(RecordedEvent { meta, payload: event.payload.to_vec() }))
    }
}
