//! The log from its beginning to its end: each event by itself, and as the one that follows those before it.

use es_core::{Error, Timestamp, wire};
use prost::Message;
use rusqlite::{Connection, OptionalExtension, Row};
use rustc_hash::FxHashMap;

use super::{Finding, claims::Held, damage, finding::Findings};
use crate::{
    errors::Place,
    event_row::{EventRow, columns},
    names::Names,
};

const EVENTS: &str = concat!("SELECT ", columns!(), " FROM es_events WHERE position > ?1 ORDER BY position");
/// Events and bytes after which a page ends, and with it the transaction that reads it.
const PAGE: usize = 2_048;
const PAGE_BYTES: usize = 4 << 20;

/// The log as far as it was read.
#[derive(Debug)]
pub(super) struct Log<'v> {
    connection: &'v Connection,
    place: &'v Place,
    names: Names,
    /// The position that comes next.
    next: u64,
    events: u64,
    time: i64,
    commit: InCommit,
    streams: FxHashMap<i64, Seen>,
    held: Held,
    /// Events whose stream or version is not known: they are missing, or too damaged to tell.
    lost: u64,
    /// How many of them a stream turned out to miss.
    traced: u64,
    /// Where the log ends, or would if its last commit were whole.
    end: u64,
    /// Nothing further can be read.
    broken: bool,
}

/// A stream as far as it was read.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    version: u64,
    /// How many events were lost when its last event was read.
    lost: u64,
    /// Some event of it is damaged or missing.
    damaged: bool,
}

/// What the next event says about its commit.
#[derive(Clone, Copy, Debug)]
enum InCommit {
    /// It begins one.
    First,
    /// It continues one: so many events before it, so many after it.
    Next(u64, u64),
    /// Anything: the event before it can't be trusted.
    Unknown,
}

impl<'v> Log<'v> {
    pub(super) fn new(connection: &'v Connection, place: &'v Place) -> Self {
        Self {
            connection,
            place,
            names: Names::default(),
            next: 1,
            events: 0,
            time: i64::MIN,
            commit: InCommit::First,
            streams: FxHashMap::default(),
            held: Held::default(),
            lost: 0,
            traced: 0,
            end: 0,
            broken: false,
        }
    }

    /// Reads on; false when there was nothing more.
    pub(super) fn page(&mut self, findings: &mut Findings) -> Result<bool, Error> {
        if self.broken {
            return Ok(false);
        }
        let (connection, place) = (self.connection, self.place);
        let at = |error| place.error("reading the log", error);
        let mut statement = connection.prepare_cached(EVENTS).map_err(at)?;
        let mut rows = statement.query([self.next - 1]).map_err(at)?;
        let mut bytes = 0;
        for _ in 0..PAGE {
            match rows.next().map_err(at) {
                Ok(Some(row)) => bytes += self.row(row, findings)?,
                Ok(None) => return Ok(false),
                Err(error) => {
                    drop(rows);
                    self.skip(error, findings)?;
                    return Ok(true);
                }
            }
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        Ok(true)
    }

    /// The log was read to its end: is its last commit whole?
    pub(super) fn end(&mut self, findings: &mut Findings) -> Result<(), Error> {
        self.held.commit();
        self.end = self.head();
        if let InCommit::Next(_, rest) = self.commit {
            self.end = self.next.saturating_add(rest);
            self.lost += rest + 1;
            let it = if rest == 0 { "it" } else { "them" };
            let why = format!("missing, and the commit before {it} is not whole");
            findings.push(Finding::Missing { first: self.next, last: self.end, why });
        }
        let before = self
            .connection
            .query_row("SELECT min(position) FROM es_events WHERE position < 1", (), |row| row.get::<_, Option<i64>>(0))
            .map_err(|error| self.place.error("reading the log", error));
        match damage(before)? {
            Ok(Some(position)) => {
                let why = format!("it has an event at position {position}, and positions begin with 1");
                findings.push(Finding::Table { table: "es_events", why });
            }
            Ok(None) => {}
            Err(why) => findings.push(Finding::Table { table: "es_events", why }),
        }
        Ok(())
    }

    /// How many events were read.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// The position of the last event.
    pub(super) fn head(&self) -> u64 {
        self.next - 1
    }

    /// The last position that something may refer to.
    pub(super) fn last_position(&self) -> u64 {
        self.end
    }

    /// The version a stream was read to, unless damage was found in it: then nobody knows what it should be.
    pub(super) fn version(&self, stream: i64) -> Option<u64> {
        match self.streams.get(&stream) {
            Some(Seen { damaged: true, .. }) => None,
            Some(seen) => Some(seen.version),
            None if self.any_stream_may_be_short() => None,
            None => Some(0),
        }
    }

    /// Whether events were lost that may be of any stream.
    pub(super) fn any_stream_may_be_short(&self) -> bool {
        self.lost > self.traced
    }

    /// The unique keys by the events.
    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    /// Checks one row; returns its size.
    fn row(&mut self, row: &Row<'_>, findings: &mut Findings) -> Result<usize, Error> {
        let position = row.get(0).map_err(|error| self.place.error("reading the log", error))?;
        self.reach(position, findings);
        self.events += 1;
        match EventRow::read(row) {
            Ok(event) => {
                self.event(&event, findings)?;
                Ok(event.payload.len() + event.metadata.len())
            }
            Err(Error::Corrupt { why, .. }) => {
                self.lose(1);
                findings.push(Finding::Event { position, why });
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    /// Goes on to a position, and reports those that are not there.
    fn reach(&mut self, position: u64, findings: &mut Findings) {
        if position > self.next {
            let (first, last) = (self.next, position - 1);
            self.lose(position - first);
            findings.push(Finding::Missing { first, last, why: "missing".into() });
        }
        self.next = position + 1;
    }

    /// So many events are lost from here.
    fn lose(&mut self, events: u64) {
        self.lost += events;
        self.held.commit();
        self.commit = InCommit::Unknown;
    }

    /// The row after the last one can't be read. Goes on behind it, or behind all that can't be reached.
    fn skip(&mut self, error: Error, findings: &mut Findings) -> Result<(), Error> {
        let Error::Corrupt { why, .. } = error else { return Err(error) };
        let first = self.next;
        match damage(self.position_after(first - 1))? {
            // The way to the row is sound, so it is the row itself.
            Ok(Some(position)) => {
                self.reach(position, findings);
                self.lose(1);
                findings.push(Finding::Event { position, why });
            }
            Ok(None) => self.broken = true,
            Err(_) => match self.first_readable_after(first)? {
                Some(position) => {
                    let last = (position - 1).max(first);
                    self.lose(last - first + 1);
                    self.next = last + 1;
                    findings.push(Finding::Missing { first, last, why });
                }
                None => {
                    self.lose(1);
                    self.broken = true;
                    let why = format!("nothing after position {} can be read: {why}", first - 1);
                    findings.push(Finding::Table { table: "es_events", why });
                }
            },
        }
        Ok(())
    }

    fn position_after(&self, position: u64) -> Result<Option<u64>, Error> {
        let sql = "SELECT position FROM es_events WHERE position > ?1 ORDER BY position LIMIT 1";
        let found = self.connection.query_row(sql, [position], |row| row.get(0)).optional();
        found.map_err(|error| self.place.error("reading the log", error))
    }

    /// From the end of the log back to where it can't be read.
    fn first_readable_after(&self, position: u64) -> Result<Option<u64>, Error> {
        let at = |error| self.place.error("reading the log", error);
        let sql = "SELECT position FROM es_events WHERE position > ?1 ORDER BY position DESC";
        let mut statement = self.connection.prepare(sql).map_err(at)?;
        let mut rows = statement.query([position]).map_err(at)?;
        let mut first = None;
        while let Ok(Some(row)) = damage(rows.next().map_err(at))? {
            first = Some(row.get(0).map_err(at)?);
        }
        Ok(first)
    }

    fn event(&mut self, event: &EventRow<'_>, findings: &mut Findings) -> Result<(), Error> {
        let (connection, place, position) = (self.connection, self.place, event.position);
        let stream = damage(self.names.stream(connection, place, event.stream).cloned())?;
        let name = damage(self.names.event_type(connection, place, event.event_type))?;
        let wrong = match (&stream, name) {
            (Err(why), _) => Some(why.clone()),
            (_, Err(why)) => Some(why),
            (Ok(stream), Ok(name)) => {
                let is_wrong = event.sum(stream.checksum, &name) != event.checksum;
                is_wrong.then(|| "its checksum is wrong".to_owned())
            }
        };
        let is_damaged = wrong.is_some();
        let origin = wire::EventMetadata::decode(event.metadata);
        match wrong {
            Some(why) => {
                findings.push(Finding::Event { position, why });
                self.damaged(event, stream.is_ok());
            }
            None => {
                if let Err(Error::Corrupt { why, .. }) = event.encoding() {
                    findings.push(Finding::Event { position, why });
                }
                if let Err(error) = &origin {
                    let why = format!("its metadata can't be decoded: {error}");
                    findings.push(Finding::Event { position, why });
                }
                self.follows(event, findings);
                self.streams.entry(event.stream).or_default().damaged |= origin.is_err();
            }
        }
        // Also what a damaged event says: most probably it is the payload that is damaged.
        if let (Ok(stream), Ok(origin)) = (stream, origin) {
            self.held.event(event.stream, &stream.key, origin.claims);
        }
        if is_damaged || event.commit_rest == 0 {
            self.held.commit();
        }
        Ok(())
    }

    /// A damaged event counts as the next of its stream if it says so, and is lost otherwise.
    fn damaged(&mut self, event: &EventRow<'_>, is_named: bool) {
        self.held.commit();
        self.commit = InCommit::Unknown;
        let seen = self.streams.entry(event.stream).or_default();
        seen.damaged = true;
        if is_named && event.version == seen.version + 1 {
            (seen.version, seen.lost) = (event.version, self.lost);
        } else {
            self.lost += 1;
        }
    }

    /// Holds an event that is as it was written against those before it.
    fn follows(&mut self, event: &EventRow<'_>, findings: &mut Findings) {
        let mut wrong = |why| findings.push(Finding::Event { position: event.position, why });
        let seen = self.streams.entry(event.stream).or_default();
        let expected = seen.version + 1;
        if event.version != expected {
            seen.damaged = true;
            let (version, before) = (event.version, seen.version);
            if version <= before {
                wrong(format!("it is version {version} of its stream, after version {before}"));
            } else if version - expected <= self.lost - seen.lost {
                self.traced += version - expected;
            } else {
                wrong(format!("version {expected} of its stream is missing before version {version}"));
            }
        }
        (seen.version, seen.lost) = (event.version, self.lost);

        let (index, rest) = (event.commit_index, event.commit_rest);
        let of = |index: u64, rest: u64| format!("event {} of {}", index + 1, index + rest + 1);
        match self.commit {
            InCommit::First if index > 0 => {
                wrong(format!("it is {} of its commit, right after the end of another", of(index, rest)));
            }
            InCommit::Next(before, after) if (before, after) != (index, rest) => {
                wrong(format!("it is {} of its commit, after {}", of(index, rest), of(before - 1, after + 1)));
            }
            _ => {}
        }
        if index == 0 {
            self.held.commit();
        }
        self.commit = if rest == 0 { InCommit::First } else { InCommit::Next(index + 1, rest - 1) };

        if event.recorded_at < self.time {
            let [now, then] = [event.recorded_at, self.time].map(Timestamp::from_micros);
            wrong(format!("it was recorded at {now}, before the event in front of it ({then})"));
        }
        self.time = event.recorded_at;
    }
}
