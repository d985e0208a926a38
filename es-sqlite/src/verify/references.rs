//! What refers to events: streams, unique keys, answers, snapshots, checkpoints, parked events. And what stands by
//! itself: scheduled commands.

use es_core::{CommandId, Error, ScheduledCommand, Tenant};
use rusqlite::{Connection, OptionalExtension, Row, types::ValueRef};
use uuid::Uuid;

use super::{Finding, claims::Key, damage, events::Log, finding::Findings};
use crate::{commands, errors::Place, long::Stop, names, schedule, snapshots};

/// Rows after which the check asks whether anybody still waits for it.
const ROWS: u64 = 4_096;

/// Everything that is held against the log. The open transaction sees the very events that were read.
pub(super) struct References<'v> {
    pub(super) connection: &'v Connection,
    pub(super) place: &'v Place,
    pub(super) log: &'v Log<'v>,
    pub(super) findings: &'v mut Findings,
    pub(super) stop: Stop<'v>,
}

impl References<'_> {
    /// Checks all there is, and counts the streams.
    pub(super) fn check(&mut self) -> Result<u64, Error> {
        let streams = self.streams()?;
        self.claims()?;
        self.commands()?;
        self.snapshots()?;
        self.scheduled()?;
        self.epochs()?;
        self.checkpoints()?;
        self.parked()?;
        Ok(streams)
    }

    /// Each stream has events, and both indexes lead to it.
    fn streams(&mut self) -> Result<u64, Error> {
        const SQL: &str = "
            SELECT s.id, s.tenant, s.type, s.aggregate_id,
                (SELECT id FROM es_streams WHERE tenant = s.tenant AND aggregate_id = s.aggregate_id AND type = s.type),
                (SELECT count(*) FROM es_events WHERE stream = s.id),
                (SELECT coalesce(max(version), 0) FROM es_events WHERE stream = s.id)
            FROM es_streams AS s NOT INDEXED ORDER BY s.id";
        let mut streams = 0;
        self.table("es_streams", SQL, |this, row| {
            streams += 1;
            let id = row.get(0)?;
            let names = [text(row, 1)?, text(row, 2)?, text(row, 3)?];
            let (found, count, last): (Option<i64>, u64, u64) = (row.get(4)?, row.get(5)?, row.get(6)?);
            let mut wrong = |why| this.findings.push(Finding::Stream { stream: stream_name(&names), why });
            if found != Some(id) {
                wrong("the index of names does not lead to it".into());
            }
            match this.log.version(id) {
                Some(0) => wrong("it has no events".into()),
                Some(version) if (version, version) != (count, last) => wrong(format!(
                    "its index has {count} events up to version {last}, the log {version} up to version {version}"
                )),
                _ => {}
            }
            Ok(())
        })?;
        Ok(streams)
    }

    /// Each key is held by the stream that the events say.
    fn claims(&mut self) -> Result<(), Error> {
        let mut held = self.log.held().keys();
        let sql = "SELECT tenant, constraint_name, key, stream FROM es_claims";
        let complete = self.table("es_claims", sql, |this, row| {
            let key = (text(row, 0)?, text(row, 1)?, text(row, 2)?);
            let (holder, by_events) = (row.get(3)?, held.remove(&key));
            if by_events != Some(holder) {
                this.claim(&key, Some(holder), by_events);
            }
            Ok(())
        })?;
        let mut unheld: Vec<_> = if complete { held.into_iter().collect() } else { Vec::new() };
        unheld.sort_unstable();
        for (key, by_events) in unheld {
            self.claim(key, None, Some(by_events));
        }
        Ok(())
    }

    /// A key that is held otherwise than the events say, unless one of those that are damaged or missing may be why.
    fn claim(&mut self, key: &Key, holder: Option<i64>, by_events: Option<i64>) {
        let is_known = |stream: &i64| self.log.version(*stream).is_some();
        if self.log.any_stream_may_be_short() || ![holder, by_events].iter().flatten().all(is_known) {
            return;
        }
        let [holder, by_events] = [holder, by_events].map(|stream| stream.map(|stream| self.name(stream)));
        let why = match (holder, by_events) {
            (Some(holder), None) => format!("{holder} holds it, by the events nobody does"),
            (None, Some(by_events)) => format!("nobody holds it, by the events {by_events} does"),
            (holder, by_events) => {
                let [holder, by_events] = [holder, by_events].map(Option::unwrap_or_default);
                format!("{holder} holds it, by the events {by_events} does")
            }
        };
        let (tenant, constraint, key) = key.clone();
        self.findings.push(Finding::Claim { tenant: some(tenant), constraint, key, why });
    }

    /// Each answer is as it was recorded, and about events that are there.
    fn commands(&mut self) -> Result<(), Error> {
        let sql = "SELECT tenant, id FROM es_commands NOT INDEXED ORDER BY rowid";
        self.table("es_commands", sql, |this, row| {
            let (tenant, id) = (text(row, 0)?, text(row, 1)?);
            let why = match this.answered_at(&tenant, &id) {
                Ok(Some(position)) if position <= this.log.last_position() => return Ok(()),
                Ok(Some(position)) => format!("it is of position {position}, the log ends at {}", this.log.head()),
                Ok(None) => "the index of commands does not lead to it".into(),
                Err(Error::Corrupt { why, .. }) => why,
                Err(error) => return Err(error.into()),
            };
            this.findings.push(Finding::Command { tenant: some(tenant), id, why });
            Ok(())
        })?;
        Ok(())
    }

    /// The position of an answer, if the store would find it.
    fn answered_at(&self, tenant: &str, id: &str) -> Result<Option<u64>, Error> {
        let invalid = |error: Error| Error::Corrupt { what: "its key".into(), why: error.to_string() };
        let id = CommandId::new(id).map_err(invalid)?;
        let outcome = commands::outcome(self.connection, self.place, named(tenant)?.as_ref(), &id)?;
        Ok(outcome.map(|outcome| outcome.position))
    }

    /// Each snapshot is as it was taken, and its stream is that far.
    fn snapshots(&mut self) -> Result<(), Error> {
        let sql = "SELECT stream, fingerprint, version, checksum, state,
                       (SELECT coalesce(max(version), 0) FROM es_events WHERE stream = s.stream)
                   FROM es_snapshots AS s";
        self.table("es_snapshots", sql, |this, row| {
            let (stream, fingerprint, head) = (row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned(), row.get(5)?);
            let (version, checksum): (i64, i64) = (row.get(2)?, row.get(3)?);
            let state = row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?;
            let is_damaged = snapshots::sum(stream, fingerprint, version, state) != checksum;
            let (version, may_be_short) = (version.cast_unsigned(), this.log.version(stream).is_none());
            if is_damaged {
                let (stream, why) = (this.name(stream), "its checksum is wrong".into());
                this.findings.push(Finding::DamagedSnapshot { stream, fingerprint, why });
            } else if version > head && !may_be_short && !this.log.any_stream_may_be_short() {
                let stream = this.name(stream);
                this.findings.push(Finding::SnapshotAhead { stream, fingerprint, version, head });
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Each scheduled command is as it was written, and both indexes lead to it.
    fn scheduled(&mut self) -> Result<(), Error> {
        const SQL: &str = "
            SELECT tenant, key, EXISTS (SELECT 1 FROM es_scheduled AS by_time INDEXED BY es_scheduled_due
                WHERE by_time.due_at = s.due_at AND by_time.tenant = s.tenant AND by_time.key = s.key
                    AND by_time.rowid = s.rowid)
            FROM es_scheduled AS s NOT INDEXED ORDER BY rowid";
        self.table("es_scheduled", SQL, |this, row| {
            let (tenant, key, is_found) = (text(row, 0)?, text(row, 1)?, row.get(2)?);
            let why = match this.scheduled_under(&tenant, &key) {
                Ok(Some(_)) if is_found => return Ok(()),
                Ok(Some(_)) => "the index of times does not lead to it".into(),
                Ok(None) => "the index of keys does not lead to it".into(),
                Err(Error::Corrupt { why, .. }) => why,
                Err(error) => return Err(error.into()),
            };
            this.findings.push(Finding::Scheduled { tenant: some(tenant), key, why });
            Ok(())
        })?;
        Ok(())
    }

    /// The command under a key, if the store would find it.
    fn scheduled_under(&self, tenant: &str, key: &str) -> Result<Option<ScheduledCommand>, Error> {
        schedule::get(self.connection, self.place, named(tenant)?.as_ref(), key)
    }

    /// The store is in the epoch that its last restore has begun, within its log.
    fn epochs(&mut self) -> Result<(), Error> {
        const SQL: &str = "
            SELECT m.epoch, coalesce(max(e.epoch), 0), coalesce(max(e.began_after), 0)
            FROM es_meta AS m LEFT JOIN es_epochs AS e GROUP BY m.id";
        // Files of the first version have none.
        let has_table = self.connection.table_exists(None, "es_epochs");
        if !has_table.map_err(|error| self.place.error("reading the schema", error))? {
            return Ok(());
        }
        self.table("es_epochs", SQL, |this, row| {
            let (epoch, last, began_after): (u64, u64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let why = if epoch != last {
                format!("the last epoch that a restore began is {last}, the store is in epoch {epoch}")
            } else if began_after > this.log.last_position() {
                format!("an epoch began after position {began_after}, the log ends at {}", this.log.head())
            } else {
                return Ok(());
            };
            this.findings.push(Finding::Table { table: "es_epochs", why });
            Ok(())
        })?;
        Ok(())
    }

    /// Each projection in this file has followed this store, and no further than it goes.
    fn checkpoints(&mut self) -> Result<(), Error> {
        let store = self
            .connection
            .query_row("SELECT store_id FROM es_meta", (), |row| row.get(0))
            .optional()
            .map_err(|error| self.place.error("reading the store's id", error));
        let store = match damage(store)? {
            Ok(Some(id)) => Some(Uuid::from_bytes(id)),
            // A store that was made and never opened has none yet.
            Ok(None) if self.log.head() == 0 => None,
            Ok(None) => self.id("the store's id is missing".into()),
            Err(why) => self.id(why),
        };
        let sql = "SELECT name, position, store_id FROM es_checkpoints";
        self.table("es_checkpoints", sql, |this, row| {
            let (projection, position, follows) = (text(row, 0)?, row.get::<_, u64>(1)?, Uuid::from_bytes(row.get(2)?));
            let why = match store {
                Some(store) if follows != store => format!("it follows store {follows}, this is store {store}"),
                _ if position > this.log.last_position() => {
                    format!("it is at position {position}, the log ends at {}", this.log.head())
                }
                _ => return Ok(()),
            };
            this.findings.push(Finding::Checkpoint { projection, why });
            Ok(())
        })?;
        Ok(())
    }

    /// Each event that a projection in this file has parked or passed over is in the log, and of the stream it is noted
    /// for.
    fn parked(&mut self) -> Result<(), Error> {
        const SQL: &str = "
            SELECT projection, position, tenant, type, aggregate_id,
                (SELECT stream FROM es_events WHERE position = p.position),
                EXISTS (SELECT 1 FROM es_checkpoints WHERE name = p.projection)
            FROM es_parked AS p ORDER BY projection, kind, position";
        self.table("es_parked", SQL, |this, row| {
            let (projection, position): (_, u64) = (text(row, 0)?, row.get(1)?);
            let noted = stream_name(&[text(row, 2)?, text(row, 3)?, text(row, 4)?]);
            let (stream, has_checkpoint): (Option<i64>, bool) = (row.get(5)?, row.get(6)?);
            // Of a damaged stream it was said already.
            let actual = stream.filter(|stream| this.log.version(*stream).is_some()).map(|stream| this.name(stream));
            let why = match actual {
                _ if !has_checkpoint => "the projection has no checkpoint".into(),
                _ if !(1..=this.log.last_position()).contains(&position) => {
                    format!("it is not in the log, which ends at {}", this.log.head())
                }
                Some(actual) if actual != noted => format!("it is noted as one of {noted}, and is one of {actual}"),
                _ => return Ok(()),
            };
            this.findings.push(Finding::Parked { projection, position, why });
            Ok(())
        })?;
        Ok(())
    }

    fn id<T>(&mut self, why: String) -> Option<T> {
        self.findings.push(Finding::Table { table: "es_meta", why });
        None
    }

    /// A stream's name, or its number where that is all there is.
    fn name(&self, stream: i64) -> String {
        let key = names::stream_key(self.connection, self.place, stream);
        key.map_or_else(|_| format!("number {stream}"), |key| key.to_string())
    }

    /// Calls `check` for each row of a table. A table that can't be read to its end is a finding; false then.
    fn table<F>(&mut self, table: &'static str, sql: &str, mut check: F) -> Result<bool, Error>
    where
        F: FnMut(&mut Self, &Row<'_>) -> Result<(), Stopped>,
    {
        let connection = self.connection;
        let mut all = || -> Result<(), Stopped> {
            let mut statement = connection.prepare(sql)?;
            let mut rows = statement.query(())?;
            let mut read = 0;
            while let Some(row) = rows.next()? {
                check(self, row)?;
                read += 1;
                if read % ROWS == 0 {
                    (self.stop)()?;
                }
            }
            Ok(())
        };
        let read = all().map_err(|stopped| match stopped {
            Stopped::Reading(error) => self.place.error("reading a table", error),
            Stopped::By(error) => error,
        });
        match read {
            Ok(()) => Ok(true),
            Err(Error::Corrupt { why, .. }) => {
                self.findings.push(Finding::Table { table, why });
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// Why a table was not read to its end.
enum Stopped {
    Reading(rusqlite::Error),
    By(Error),
}

impl From<rusqlite::Error> for Stopped {
    fn from(error: rusqlite::Error) -> Self {
        Self::Reading(error)
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::By(error)
    }
}

/// What a stream's tenant, type and aggregate id make its name.
fn stream_name([tenant, stream_type, aggregate]: &[String; 3]) -> String {
    let tenant = if tenant.is_empty() { String::new() } else { format!("{tenant}:") };
    format!("{tenant}{stream_type}/{aggregate}")
}

/// A text, as far as it is one.
fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Integer(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

/// The tenant that a column names.
fn named(tenant: &str) -> Result<Option<Tenant>, Error> {
    let invalid = |error: Error| Error::Corrupt { what: "its key".into(), why: error.to_string() };
    if tenant.is_empty() { Ok(None) } else { Tenant::new(tenant).map(Some).map_err(invalid) }
}

fn some(tenant: String) -> Option<String> {
    (!tenant.is_empty()).then_some(tenant)
}
