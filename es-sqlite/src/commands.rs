//! What commands were answered: recorded in the transaction of their events, kept for seven days.

use std::time::Duration;

use es_core::{AggregateId, Answer, CommandId, CommandRecord, Error, Outcome, StreamKey, Tenant, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::{checksum::Checksum, errors::Place, schema};

/// How long an answer is kept.
pub(crate) const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What a command was answered, if it is known here.
pub(crate) fn outcome(
    connection: &Connection,
    place: &Place,
    tenant: Option<&Tenant>,
    id: &CommandId,
) -> Result<Option<Outcome>, Error> {
    let stored = connection
        .prepare_cached(
            "SELECT payload_hash, kind, stream_type, stream_id, version, position, recorded_at, checksum, response
             FROM es_commands WHERE tenant = ?1 AND id = ?2",
        )
        .and_then(|mut statement| statement.query_row((schema::tenant(tenant), id.as_str()), Stored::read).optional())
        .map_err(|error| place.error("looking up a command", error))?;
    stored.map(|stored| stored.into_outcome(tenant, id)).transpose()
}

/// Records an answer.
pub(crate) fn record(connection: &Connection, outcome: &Outcome) -> rusqlite::Result<()> {
    let Outcome { record, position, recorded_at } = outcome;
    let stored = Stored::of(record, *position, recorded_at.as_micros());
    connection
        .prepare_cached(
            "INSERT INTO es_commands (tenant, id, payload_hash, kind, stream_type, stream_id, version, position,
             recorded_at, checksum, response) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute((
            schema::tenant(record.stream.tenant.as_ref()),
            record.id.as_str(),
            stored.payload_hash,
            stored.kind,
            &stored.stream_type,
            &stored.stream_id,
            stored.version,
            stored.position,
            stored.recorded_at,
            stored.sum(record.stream.tenant.as_ref(), &record.id),
            &stored.response,
        ))?;
    Ok(())
}

/// Deletes the oldest answers recorded before `cutoff`, at most `limit`, and says how many.
pub(crate) fn forget(connection: &Connection, cutoff: Timestamp, limit: u32) -> rusqlite::Result<usize> {
    // Rows stand in order of time, so only the first ones are looked at.
    connection
        .prepare_cached(
            "DELETE FROM es_commands WHERE rowid IN
             (SELECT rowid FROM (SELECT rowid, recorded_at FROM es_commands ORDER BY rowid LIMIT ?2)
              WHERE recorded_at < ?1)",
        )?
        .execute((cutoff.as_micros(), limit))
}

/// A row of the table, without its key.
struct Stored {
    payload_hash: [u8; 32],
    kind: i64,
    stream_type: String,
    stream_id: String,
    version: u64,
    position: u64,
    recorded_at: i64,
    checksum: i64,
    response: Vec<u8>,
}

impl Stored {
    fn of(record: &CommandRecord, position: u64, recorded_at: i64) -> Self {
        let (kind, response) = match &record.answer {
            Answer::Accepted(response) => (0, response),
            Answer::Rejected(response) => (1, response),
        };
        Self {
            payload_hash: record.payload_hash,
            kind,
            stream_type: record.stream.stream_type.to_string(),
            stream_id: record.stream.id.to_string(),
            version: record.version,
            position,
            recorded_at,
            checksum: 0,
            response: response.clone(),
        }
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            payload_hash: row.get(0)?,
            kind: row.get(1)?,
            stream_type: row.get(2)?,
            stream_id: row.get(3)?,
            version: row.get(4)?,
            position: row.get(5)?,
            recorded_at: row.get(6)?,
            checksum: row.get(7)?,
            response: row.get(8)?,
        })
    }

    fn sum(&self, tenant: Option<&Tenant>, id: &CommandId) -> i64 {
        Checksum::start(2)
            .text(schema::tenant(tenant))
            .text(id.as_str())
            .bytes(&self.payload_hash)
            .text(&self.stream_type)
            .text(&self.stream_id)
            .numbers([self.kind, self.version.cast_signed(), self.position.cast_signed(), self.recorded_at])
            .bytes(&self.response)
            .column()
    }

    fn into_outcome(self, tenant: Option<&Tenant>, id: &CommandId) -> Result<Outcome, Error> {
        let corrupt = |why: String| Error::Corrupt { what: format!("the answer to command {id}"), why };
        if self.sum(tenant, id) != self.checksum {
            return Err(corrupt("its checksum is wrong".into()));
        }
        let aggregate = AggregateId::new(self.stream_id).map_err(|error| corrupt(error.to_string()))?;
        let answer = match self.kind {
            0 => Answer::Accepted(self.response),
            1 => Answer::Rejected(self.response),
            other => return Err(corrupt(format!("its kind is {other}"))),
        };
        Ok(Outcome {
            record: CommandRecord {
                id: id.clone(),
                payload_hash: self.payload_hash,
                answer,
                stream: StreamKey::new(tenant.cloned(), self.stream_type, aggregate),
                version: self.version,
            },
            position: self.position,
            recorded_at: Timestamp::from_micros(self.recorded_at),
        })
    }
}
