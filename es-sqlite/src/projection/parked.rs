//! The events a projection did not handle: written down in the transaction that moves its checkpoint over them.

use std::collections::HashSet;

use es_core::{AggregateId, EventMeta, StreamKey, Tenant, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, types::Type};

use crate::schema;

/// Why an event was not handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It waits to be released.
    Parked = 0,
    /// It was passed over for good.
    Skipped = 1,
}

/// An event that a [`SqliteProjection`](crate::SqliteProjection) did not handle.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParkedEvent {
    /// The aggregate's stream.
    pub stream: StreamKey,
    /// The event's position.
    pub position: u64,
    /// Why its hook failed the last time, with all causes. `None` for one that was never tried: it waits behind an
    /// earlier event of its aggregate, or was passed over by [`skip`](crate::SqliteProjection::skip).
    pub error: Option<String>,
    /// How often its hook was tried.
    pub attempts: u32,
    /// When it was parked or passed over, by the store's clock.
    pub parked_at: Timestamp,
}

/// What is written down of one projection, on a connection to its file.
#[derive(Clone, Copy)]
pub(super) struct Notes<'n> {
    pub(super) connection: &'n Connection,
    pub(super) projection: &'n str,
}

impl Notes<'_> {
    /// Writes down an event that is not handled.
    pub(super) fn add(
        &self,
        kind: Kind,
        event: &EventMeta,
        error: Option<&str>,
        attempts: u32,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        let (stream, error) = ((*event.stream).clone(), error.map(str::to_owned));
        self.note(kind, &ParkedEvent { stream, position: event.position, error, attempts, parked_at: now })
    }

    /// Writes down what is known of an event.
    pub(super) fn note(&self, kind: Kind, event: &ParkedEvent) -> rusqlite::Result<()> {
        let StreamKey { tenant, stream_type, id } = &event.stream;
        self.connection
            .prepare_cached(
                "INSERT INTO es_parked
                 (projection, kind, position, tenant, type, aggregate_id, error, attempts, parked_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute((
                self.projection,
                kind as i64,
                event.position,
                schema::tenant(tenant.as_ref()),
                &**stream_type,
                id.as_str(),
                &event.error,
                event.attempts,
                event.parked_at.as_micros(),
            ))?;
        Ok(())
    }

    /// The aggregates with parked events.
    pub(super) fn parked_streams(&self) -> rusqlite::Result<HashSet<StreamKey>> {
        self.connection
            .prepare_cached(
                "SELECT DISTINCT tenant, type, aggregate_id FROM es_parked WHERE projection = ?1 AND kind = 0",
            )?
            .query_map([self.projection], |row| stream(row, 0))?
            .collect()
    }

    /// Whether anything is parked.
    pub(super) fn any_parked(&self) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM es_parked WHERE projection = ?1 AND kind = 0)")?
            .query_row([self.projection], |row| row.get(0))
    }

    /// The positions in a span that are to be passed over.
    pub(super) fn skipped(&self, from: u64, to: u64) -> rusqlite::Result<HashSet<u64>> {
        self.connection
            .prepare_cached(
                "SELECT position FROM es_parked
                 WHERE projection = ?1 AND kind = 1 AND position >= ?2 AND position <= ?3",
            )?
            .query_map((self.projection, from, to), |row| row.get(0))?
            .collect()
    }

    /// Whether an event is passed over.
    pub(super) fn is_skipped(&self, position: u64) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM es_parked WHERE projection = ?1 AND kind = 1 AND position = ?2)",
            )?
            .query_row((self.projection, position), |row| row.get(0))
    }

    /// Forgets what is to be passed over after a position: other events are there now.
    pub(super) fn forget_skipped_after(&self, position: u64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("DELETE FROM es_parked WHERE projection = ?1 AND kind = 1 AND position > ?2")?
            .execute((self.projection, position))?;
        Ok(())
    }

    /// All events of a kind, in order of position.
    pub(super) fn list(&self, kind: Kind) -> rusqlite::Result<Vec<ParkedEvent>> {
        self.connection
            .prepare_cached(
                "SELECT tenant, type, aggregate_id, position, error, attempts, parked_at FROM es_parked
                 WHERE projection = ?1 AND kind = ?2 ORDER BY position",
            )?
            .query_map((self.projection, kind as i64), |row| {
                Ok(ParkedEvent {
                    stream: stream(row, 0)?,
                    position: row.get(3)?,
                    error: row.get(4)?,
                    attempts: row.get(5)?,
                    parked_at: Timestamp::from_micros(row.get(6)?),
                })
            })?
            .collect()
    }

    /// How many events of a kind there are.
    pub(super) fn count(&self, kind: Kind) -> rusqlite::Result<u64> {
        self.connection
            .prepare_cached("SELECT count(*) FROM es_parked WHERE projection = ?1 AND kind = ?2")?
            .query_row((self.projection, kind as i64), |row| row.get(0))
    }

    /// The position of an aggregate's first parked event. While there is one, later ones are parked, too.
    pub(super) fn first_parked(&self, stream: &StreamKey) -> rusqlite::Result<Option<u64>> {
        let StreamKey { tenant, stream_type, id } = stream;
        self.connection
            .prepare_cached(
                "SELECT position FROM es_parked
                 WHERE projection = ?1 AND kind = 0 AND tenant = ?2 AND type = ?3 AND aggregate_id = ?4
                 ORDER BY position LIMIT 1",
            )?
            .query_row((self.projection, schema::tenant(tenant.as_ref()), &**stream_type, id.as_str()), |row| {
                row.get(0)
            })
            .optional()
    }

    /// Takes a parked event off the list, to handle it; false when it is not on it.
    pub(super) fn unpark(&self, position: u64) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("DELETE FROM es_parked WHERE projection = ?1 AND kind = 0 AND position = ?2")?
            .execute((self.projection, position))
            .map(|changed| changed == 1)
    }

    /// Notes that a parked event failed once more.
    pub(super) fn failed_again(&self, position: u64, error: &str) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE es_parked SET error = ?3, attempts = attempts + 1
                 WHERE projection = ?1 AND kind = 0 AND position = ?2",
            )?
            .execute((self.projection, position, error))?;
        Ok(())
    }

    /// Passes over a parked event for good; false when it is not parked.
    pub(super) fn skip_parked(&self, position: u64) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("UPDATE es_parked SET kind = 1 WHERE projection = ?1 AND kind = 0 AND position = ?2")?
            .execute((self.projection, position))
            .map(|changed| changed == 1)
    }

    /// Writes down what is written down elsewhere.
    pub(super) fn take_over(&self, others: &Notes<'_>) -> rusqlite::Result<()> {
        for kind in [Kind::Parked, Kind::Skipped] {
            for event in others.list(kind)? {
                self.note(kind, &event)?;
            }
        }
        Ok(())
    }

    /// Forgets everything: the read model is made anew.
    pub(super) fn clear(&self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("DELETE FROM es_parked WHERE projection = ?1")?.execute([self.projection])?;
        Ok(())
    }
}

/// The stream in three columns from this one on.
fn stream(row: &Row<'_>, first: usize) -> rusqlite::Result<StreamKey> {
    let text = |column| row.get_ref(column).and_then(|value| Ok(value.as_str()?));
    let damaged = |error: es_core::Error| rusqlite::Error::FromSqlConversionFailure(first, Type::Text, error.into());
    let tenant = match text(first)? {
        "" => None,
        tenant => Some(Tenant::new(tenant).map_err(damaged)?),
    };
    let id = AggregateId::new(text(first + 2)?).map_err(damaged)?;
    Ok(StreamKey::new(tenant, text(first + 1)?, id))
}
