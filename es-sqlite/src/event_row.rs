//! A row of the events table: its columns, its checksum, its way to the reader.

use es_core::{Encoded, Encoding, Error, RecordedRef, Timestamp};
use rusqlite::{Row, Statement};

use crate::checksum::Checksum;

/// The columns of [`EventRow::read`], in order.
macro_rules! columns {
    () => {
        "position, stream, version, type, schema_version, encoding, commit_index, commit_rest, recorded_at, \
         checksum, metadata, payload"
    };
}
pub(crate) use columns;

/// Writes a row: [`EventRow::insert`].
pub(crate) const INSERT: &str =
    concat!("INSERT INTO es_events (", columns!(), ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)");

/// An event as its row holds it, borrowed from the database's buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventRow<'a> {
    pub(crate) position: u64,
    pub(crate) stream: i64,
    pub(crate) version: u64,
    pub(crate) event_type: i64,
    pub(crate) schema_version: u32,
    pub(crate) encoding: i64,
    pub(crate) commit_index: u64,
    pub(crate) commit_rest: u64,
    pub(crate) recorded_at: i64,
    pub(crate) checksum: i64,
    pub(crate) metadata: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl<'a> EventRow<'a> {
    /// The columns of a row.
    pub(crate) fn read(row: &'a Row<'_>) -> Result<Self, Error> {
        let position = row.get(0).map_err(|error| corrupt_row("an unknown position", &error))?;
        let read = || -> rusqlite::Result<Self> {
            Ok(Self {
                position,
                stream: row.get(1)?,
                version: row.get(2)?,
                event_type: row.get(3)?,
                schema_version: row.get(4)?,
                encoding: row.get(5)?,
                commit_index: row.get(6)?,
                commit_rest: row.get(7)?,
                recorded_at: row.get(8)?,
                checksum: row.get(9)?,
                metadata: row.get_ref(10)?.as_blob()?,
                payload: row.get_ref(11)?.as_blob()?,
            })
        };
        read().map_err(|error| corrupt_row(&format!("position {position}"), &error))
    }

    /// Writes the row, with the statement [`INSERT`].
    pub(crate) fn insert(&self, statement: &mut Statement<'_>) -> rusqlite::Result<()> {
        statement.execute((
            self.position,
            self.stream,
            self.version,
            self.event_type,
            self.schema_version,
            self.encoding,
            self.commit_index,
            self.commit_rest,
            self.recorded_at,
            self.checksum,
            self.metadata,
            self.payload,
        ))?;
        Ok(())
    }

    /// The checksum over all that the event says and is, names instead of numbers.
    pub(crate) fn sum(&self, stream: Checksum, event_type: &str) -> i64 {
        let signed = u64::cast_signed;
        stream
            .text(event_type)
            .numbers([
                signed(self.position),
                signed(self.version),
                i64::from(self.schema_version),
                self.encoding,
                signed(self.commit_index),
                signed(self.commit_rest),
                self.recorded_at,
            ])
            .bytes(self.metadata)
            .bytes(self.payload)
            .column()
    }

    /// Refuses an event that is not what was written.
    pub(crate) fn verify(&self, stream: Checksum, event_type: &str) -> Result<(), Error> {
        if self.sum(stream, event_type) == self.checksum { Ok(()) } else { Err(self.corrupt("its checksum is wrong")) }
    }

    pub(crate) fn corrupt(&self, why: impl Into<String>) -> Error {
        Error::Corrupt { what: format!("event at position {}", self.position), why: why.into() }
    }

    pub(crate) fn encoding(&self) -> Result<Encoding, Error> {
        match self.encoding {
            0 => Ok(Encoding::Protobuf),
            1 => Ok(Encoding::Json),
            other => Err(self.corrupt(format!("its encoding is {other}"))),
        }
    }

    /// The event as a fold sees it.
    pub(crate) fn recorded(&self, event_type: &'a str) -> Result<RecordedRef<'a>, Error> {
        Ok(RecordedRef {
            version: self.version,
            position: self.position,
            recorded_at: Timestamp::from_micros(self.recorded_at),
            event: Encoded {
                event_type,
                schema_version: self.schema_version,
                encoding: self.encoding()?,
                payload: self.payload,
            },
        })
    }
}

/// How an encoding stands in its column.
pub(crate) const fn encoding_column(encoding: Encoding) -> i64 {
    match encoding {
        Encoding::Protobuf => 0,
        Encoding::Json => 1,
    }
}

fn corrupt_row(at: &str, error: &rusqlite::Error) -> Error {
    Error::Corrupt { what: format!("event at {at}"), why: error.to_string() }
}
