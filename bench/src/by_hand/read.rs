//! Reading with held statements: each event verified, decoded and applied.

use rusqlite::{Connection, OptionalExtension, Row, Statement};

use super::checksum::{Checksum, Event};
use crate::{
    bench::v1::{Account, MoneyDeposited},
    data::{EVENT_TYPE, STREAM_TYPE},
    rounds::Result,
};

/// The columns of an event, in the order [`EventRow::read`] takes them.
macro_rules! columns {
    () => {
        "position, stream, version, type, commit_index, commit_rest, recorded_at, checksum, metadata, payload"
    };
}
pub(crate) use columns;

/// An event as its row holds it, borrowed from the database.
pub(crate) struct EventRow<'r> {
    pub(crate) stream: i64,
    pub(crate) event_type: i64,
    pub(crate) checksum: i64,
    pub(crate) event: Event<'r>,
}

impl<'r> EventRow<'r> {
    pub(crate) fn read(row: &'r Row<'_>) -> Result<Self> {
        Ok(Self {
            stream: row.get(1)?,
            event_type: row.get(3)?,
            checksum: row.get(7)?,
            event: Event {
                position: row.get(0)?,
                version: row.get(2)?,
                commit_index: row.get(4)?,
                commit_rest: row.get(5)?,
                recorded_at: row.get(6)?,
                metadata: row.get_ref(8)?.as_blob()?,
                payload: row.get_ref(9)?.as_blob()?,
            },
        })
    }

    /// Refuses an event that is not what was written.
    pub(crate) fn verify(&self, stream: Checksum, event_type: i64) -> Result<()> {
        if self.event_type != event_type || stream.event(&self.event) != self.checksum {
            return Err(format!("event at position {} is damaged", self.event.position).into());
        }
        Ok(())
    }
}

/// A stream, by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub(crate) id: i64,
    pub(crate) checksum: Checksum,
}

/// A reading connection with all its statements.
pub(crate) struct Reader<'c> {
    find: Statement<'c>,
    events: Statement<'c>,
    snapshot: Statement<'c>,
    event_type: i64,
}

impl<'c> Reader<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            find: connection
                .prepare("SELECT id FROM es_streams WHERE tenant = '' AND aggregate_id = ?1 AND type = ?2")?,
            events: connection.prepare(concat!(
                "SELECT ",
                columns!(),
                " FROM es_events WHERE stream = ?1 AND version > ?2 ORDER BY version"
            ))?,
            snapshot: connection.prepare(
                "SELECT version, fingerprint, checksum, state FROM es_snapshots WHERE stream = ?1
                 ORDER BY version DESC LIMIT 1",
            )?,
            event_type: event_type(connection)?,
        })
    }

    /// The stream of an account.
    pub(crate) fn find(&mut self, account_id: &str) -> Result<Stream> {
        let id = self.find.query_row((account_id, STREAM_TYPE), |row| row.get(0))?;
        Ok(Stream { id, checksum: Checksum::stream(account_id) })
    }

    /// Replays the events after a version; returns the version reached.
    pub(crate) fn replay(&mut self, stream: Stream, after: i64, state: &mut Account) -> Result<i64> {
        self.fold(stream, after, i64::MAX, state)
    }

    /// Replays the events up to a version; returns the version reached.
    pub(crate) fn replay_to(&mut self, stream: Stream, until: i64, state: &mut Account) -> Result<i64> {
        self.fold(stream, 0, until, state)
    }

    fn fold(&mut self, stream: Stream, after: i64, until: i64, state: &mut Account) -> Result<i64> {
        let mut version = after;
        let mut rows = self.events.query((stream.id, after))?;
        while let Some(row) = rows.next()? {
            let row = EventRow::read(row)?;
            row.verify(stream.checksum, self.event_type)?;
            if row.event.version > until {
                break;
            }
            if row.event.version != version + 1 {
                return Err(format!("version {} is missing", version + 1).into());
            }
            version = row.event.version;
            let deposited: MoneyDeposited = prost::Message::decode(row.event.payload)?;
            state.deposited(&deposited);
        }
        Ok(version)
    }

    /// Loads an account from its snapshot and the events after it.
    pub(crate) fn load(&mut self, stream: Stream) -> Result<(Account, i64)> {
        let found = self
            .snapshot
            .query_row([stream.id], |row| {
                let (version, fingerprint, checksum) = (row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?);
                let state = row.get_ref(3)?.as_blob()?;
                let sound = Checksum::snapshot(stream.id, fingerprint, version, state) == checksum;
                Ok((version, if sound { prost::Message::decode(state).ok() } else { None }))
            })
            .optional()?;
        let Some((version, Some(mut state))) = found else { return Err("no snapshot, or a damaged one".into()) };
        let version = self.replay(stream, version, &mut state)?;
        Ok((state, version))
    }
}

/// The number of the one event type there is.
pub(crate) fn event_type(connection: &Connection) -> Result<i64> {
    Ok(connection.query_row("SELECT id FROM es_types WHERE name = ?1", [EVENT_TYPE], |row| row.get(0))?)
}

/// The events of a file.
pub(crate) fn count(connection: &Connection) -> Result<u64> {
    Ok(connection.query_row("SELECT count(*) FROM es_events", (), |row| row.get(0))?)
}
