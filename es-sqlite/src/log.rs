//! Reading the log: pages that end where a commit ends.

use es_core::{Error, Filter, Page};
use rusqlite::Connection;

use crate::{
    errors::Place,
    event_row::{EventRow, columns},
    names::Names,
    scan::Scan,
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
pub(crate) fn read(
    (connection, names, place): (&Connection, &mut Names, &Place),
    after: u64,
    limit: usize,
    filter: &Filter,
) -> Result<Page, Error> {
    let (Ok(from), 1..) = (i64::try_from(after), limit) else {
        return Ok(Page { events: Vec::new(), scanned_to: after });
    };
    let mut scan = Scan::new(connection, place, names, filter, limit.min(SCANNED));
    let at = |error| place.error("reading the log", error);
    let mut statement = connection.prepare_cached(EVENTS).map_err(at)?;
    let mut rows = statement.query([from]).map_err(at)?;
    let (mut whole, mut scanned_to, mut previous, mut scanned, mut bytes) = (0, after, after, 0, 0);
    let damage = loop {
        let event = match rows.next().map_err(at).and_then(|row| row.map(EventRow::read).transpose()) {
            Ok(Some(event)) if event.position == previous + 1 => event,
            Ok(Some(event)) => break event.corrupt(format!("position {} is missing before it", previous + 1)),
            Ok(None) if previous == scanned_to => return Ok(scan.page(whole, scanned_to)),
            Ok(None) => {
                let what = format!("event at position {}", previous + 1);
                break Error::Corrupt { what, why: "it is missing, and the commit before it is not whole".into() };
            }
            Err(error) => break error,
        };
        if let Err(error) = scan.admit(&event) {
            break error;
        }
        previous = event.position;
        scanned += 1;
        bytes += event.payload.len() + event.metadata.len();
        if event.commit_rest == 0 {
            (whole, scanned_to) = (scan.admitted(), event.position);
            if whole >= limit || scanned >= limit.max(SCANNED) || bytes >= BYTES {
                return Ok(scan.page(whole, scanned_to));
            }
        }
    };
    if scanned_to > after { Ok(scan.page(whole, scanned_to)) } else { Err(damage) }
}
