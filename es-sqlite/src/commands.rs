//! What commands were answered: recorded in the transaction of their events, kept for seven days.

use es_core::{AggregateId, Answer, CommandId, CommandRecord, Error, Outcome, StreamKey, Tenant, Timestamp};
use rusqlite::{Connection, Row, Statement, types::FromSqlError};

use crate::{checksum::Checksum, errors::Place, schema};

/// What a command was answered, if it is known here.
pub(crate) fn outcome(
    connection: &Connection,
    place: &Place,
    tenant: Option<&Tenant>,
    id: &CommandId,
) -> Result<Option<Outcome>, Error> {
    let at = |error| place.error("looking up a command", error);
    let mut statement = connection
        .prepare_cached(
            "SELECT payload_hash, kind, stream_type, stream_id, version, position, recorded_at, checksum, response
             FROM es_commands WHERE tenant = ?1 AND id = ?2",
        )
        .map_err(at)?;
    let mut rows = statement.query((schema::tenant(tenant), id.as_str())).map_err(at)?;
    let Some(row) = rows.next().map_err(at)? else { return Ok(None) };
    let corrupt = |why| Error::Corrupt { what: format!("the answer to command {id}"), why };
    read(row, tenant, id).map(Some).map_err(corrupt)
}

/// The outcome in a row, or what is wrong with it.
fn read(row: &Row<'_>, tenant: Option<&Tenant>, id: &CommandId) -> Result<Outcome, String> {
    let columns = || -> rusqlite::Result<(Stored<'_>, i64)> {
        let stored = Stored {
            payload_hash: row.get_ref(0)?.as_blob()?.try_into().map_err(|_| FromSqlError::InvalidType)?,
            kind: row.get(1)?,
            stream_type: row.get_ref(2)?.as_str()?,
            stream_id: row.get_ref(3)?.as_str()?,
            version: row.get(4)?,
            position: row.get(5)?,
            recorded_at: row.get(6)?,
            response: row.get_ref(8)?.as_blob()?,
        };
        Ok((stored, row.get(7)?))
    };
    let (stored, checksum) = columns().map_err(|error| error.to_string())?;
    if stored.sum(tenant, id) != checksum {
        return Err("its checksum is wrong".into());
    }
    stored.to_outcome(tenant, id)
}

/// Records an answer: [`record`].
pub(crate) const INSERT: &str =
    "INSERT INTO es_commands (tenant, id, payload_hash, kind, stream_type, stream_id, version, position, recorded_at,
     checksum, response) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (tenant, id) DO NOTHING";

/// Records an answer, with the statement [`INSERT`]; says whether the command had none.
pub(crate) fn record(
    statement: &mut Statement<'_>,
    record: &CommandRecord,
    position: u64,
    recorded_at: i64,
) -> rusqlite::Result<bool> {
    let (kind, response) = match &record.answer {
        Answer::Accepted(response) => (0, response),
        Answer::Rejected(response) => (1, response),
    };
    let CommandRecord { id, stream, version, payload_hash, .. } = record;
    let (stream_type, stream_id, version) = (&*stream.stream_type, stream.id.as_str(), *version);
    let stored = Stored { payload_hash, kind, stream_type, stream_id, version, position, recorded_at, response };
    let tenant = stream.tenant.as_ref();
    let inserted = statement.execute((
        schema::tenant(tenant),
        id.as_str(),
        payload_hash,
        kind,
        stream_type,
        stream_id,
        version,
        position,
        recorded_at,
        stored.sum(tenant, id),
        response,
    ))?;
    Ok(inserted > 0)
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

/// A row of the table, without its key and its checksum.
struct Stored<'r> {
    payload_hash: &'r [u8; 32],
    kind: i64,
    stream_type: &'r str,
    stream_id: &'r str,
    version: u64,
    position: u64,
    recorded_at: i64,
    response: &'r [u8],
}

impl Stored<'_> {
    fn sum(&self, tenant: Option<&Tenant>, id: &CommandId) -> i64 {
        Checksum::start(2)
            .text(schema::tenant(tenant))
            .text(id.as_str())
            .bytes(self.payload_hash)
            .text(self.stream_type)
            .text(self.stream_id)
            .numbers([self.kind, self.version.cast_signed(), self.position.cast_signed(), self.recorded_at])
            .bytes(self.response)
            .column()
    }

    fn to_outcome(&self, tenant: Option<&Tenant>, id: &CommandId) -> Result<Outcome, String> {
        let aggregate = AggregateId::new(self.stream_id).map_err(|error| error.to_string())?;
        let response = self.response.to_vec();
        let answer = match self.kind {
            0 => Answer::Accepted(response),
            1 => Answer::Rejected(response),
            other => return Err(format!("its kind is {other}")),
        };
        Ok(Outcome {
            record: CommandRecord {
                id: id.clone(),
                payload_hash: *self.payload_hash,
                answer,
                stream: StreamKey::new(tenant.cloned(), self.stream_type, aggregate),
                version: self.version,
            },
            position: self.position,
            recorded_at: Timestamp::from_micros(self.recorded_at),
        })
    }
}
