//! Writing with held statements; the heads of streams are kept in memory.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use rusqlite::{Connection, OptionalExtension, Statement};

use super::checksum::{Answer, Checksum, Event};
use crate::{
    data::{EVENT_TYPE, STREAM_TYPE},
    rounds::Result,
};

/// One event for one account, and the command it answers.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) account_id: Arc<str>,
    /// The version the account must stand at; `None` takes any.
    pub(crate) expected: Option<i64>,
    pub(crate) payload: Vec<u8>,
    pub(crate) metadata: Vec<u8>,
    pub(crate) command: Option<Command>,
}

/// A command under its id.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) id: String,
    pub(crate) payload_hash: [u8; 32],
    pub(crate) response: Vec<u8>,
}

/// Why nothing was written: the account stands at another version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conflict;

/// Where a stream stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) stream: i64,
    pub(crate) version: i64,
    pub(crate) checksum: Checksum,
}

/// A writing connection with all its statements.
pub(crate) struct Writer<'c> {
    connection: &'c Connection,
    begin: Statement<'c>,
    commit: Statement<'c>,
    event: Statement<'c>,
    command: Statement<'c>,
    find: Statement<'c>,
    version: Statement<'c>,
    create: Statement<'c>,
    heads: HashMap<Arc<str>, Head>,
    event_type: i64,
    position: i64,
    recorded_at: i64,
}

impl<'c> Writer<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Result<Self> {
        connection.execute("INSERT INTO es_types (name) VALUES (?1) ON CONFLICT DO NOTHING", [EVENT_TYPE])?;
        let event_type =
            connection.query_row("SELECT id FROM es_types WHERE name = ?1", [EVENT_TYPE], |row| row.get(0))?;
        let position =
            connection.query_row("SELECT coalesce(max(position), 0) FROM es_events", (), |row| row.get(0))?;
        Ok(Self {
            connection,
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            event: connection.prepare(
                "INSERT INTO es_events (position, stream, version, type, schema_version, encoding, commit_index,
                 commit_rest, recorded_at, checksum, metadata, payload)
                 VALUES (?1, ?2, ?3, ?4, 1, 0, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?,
            command: connection.prepare(
                "INSERT INTO es_commands (tenant, id, payload_hash, kind, stream_type, stream_id, version, position,
                 recorded_at, checksum, response) VALUES ('', ?1, ?2, 0, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?,
            find: connection
                .prepare("SELECT id FROM es_streams WHERE tenant = '' AND aggregate_id = ?1 AND type = ?2")?,
            version: connection.prepare("SELECT coalesce(max(version), 0) FROM es_events WHERE stream = ?1")?,
            create: connection.prepare("INSERT INTO es_streams (tenant, type, aggregate_id) VALUES ('', ?1, ?2)")?,
            heads: HashMap::new(),
            event_type,
            position,
            recorded_at: 0,
        })
    }

    pub(crate) fn begin(&mut self) -> Result<()> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        self.recorded_at = self.recorded_at.max(i64::try_from(now.as_micros())?);
        self.begin.execute(())?;
        Ok(())
    }

    pub(crate) fn commit(&mut self) -> Result<()> {
        self.commit.execute(())?;
        Ok(())
    }

    /// Appends inside the open transaction.
    pub(crate) fn append(&mut self, append: &Append) -> Result<Result<i64, Conflict>> {
        let mut head = self.head(&append.account_id)?;
        if append.expected.is_some_and(|expected| expected != head.version) {
            return Ok(Err(Conflict));
        }
        head.version += 1;
        self.insert(head, (0, 0), &append.metadata, &append.payload)?;
        if let Some(command) = &append.command {
            self.record(&append.account_id, head.version, command)?;
        }
        if let Some(known) = self.heads.get_mut(&append.account_id) {
            *known = head;
        }
        Ok(Ok(head.version))
    }

    /// Writes an event at the next position. Of its commit, so many events came before, and so many are to come.
    pub(crate) fn insert(
        &mut self,
        head: Head,
        (commit_index, commit_rest): (i64, i64),
        metadata: &[u8],
        payload: &[u8],
    ) -> Result<()> {
        self.position += 1;
        let (position, version, recorded_at) = (self.position, head.version, self.recorded_at);
        let event = Event { position, version, commit_index, commit_rest, recorded_at, metadata, payload };
        self.event.execute((
            position,
            head.stream,
            version,
            self.event_type,
            commit_index,
            commit_rest,
            recorded_at,
            head.checksum.event(&event),
            metadata,
            payload,
        ))?;
        Ok(())
    }

    /// A second command under one id fails here, on the table's UNIQUE.
    fn record(&mut self, account_id: &str, version: i64, command: &Command) -> Result<()> {
        let Command { id, payload_hash, response } = command;
        let (position, recorded_at) = (self.position, self.recorded_at);
        let answer = Answer { id, payload_hash, account_id, version, position, recorded_at, response };
        self.command.execute((
            id,
            payload_hash,
            STREAM_TYPE,
            account_id,
            version,
            position,
            recorded_at,
            Checksum::command(&answer),
            response,
        ))?;
        Ok(())
    }

    fn head(&mut self, account_id: &Arc<str>) -> Result<Head> {
        if let Some(head) = self.heads.get(account_id) {
            return Ok(*head);
        }
        let checksum = Checksum::stream(account_id);
        let found = self.find.query_row((&**account_id, STREAM_TYPE), |row| row.get(0)).optional()?;
        let head = match found {
            Some(stream) => Head { stream, version: self.version.query_row([stream], |row| row.get(0))?, checksum },
            None => self.create(account_id)?,
        };
        self.heads.insert(Arc::clone(account_id), head);
        Ok(head)
    }

    /// Names a new stream.
    pub(crate) fn create(&mut self, account_id: &str) -> Result<Head> {
        self.create.execute((STREAM_TYPE, account_id))?;
        let stream = self.connection.last_insert_rowid();
        Ok(Head { stream, version: 0, checksum: Checksum::stream(account_id) })
    }
}
