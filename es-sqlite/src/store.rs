//! The store: one handle over the writer and the readers of a file.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use es_core::{
    Appended, Clock, CommandId, Commit, Epoch, EventLog, EventStore, Filter, Limits, Outcome, Page, Result,
    ScheduledCommand, Snapshot, StoreIdentity, StreamKey, Tenant, Timestamp,
    store::{BoxFuture, Visitor},
};
use rusqlite::Connection;
use tokio::sync::watch;

use crate::{
    builder::SqliteStoreBuilder,
    claims, commands,
    errors::Place,
    fold,
    identity::Identity,
    log, names,
    projection::Guard,
    reader::{Reader, Readers},
    schedule, snapshots,
    writer::{AnswersSince, Append, Offer, Queue, Task},
};

/// An event store in one SQLite file.
///
/// Cloning is cheap, and all clones are the same store. Commits of concurrent tasks share transactions. When the last
/// clone is dropped, commits under way are still written and the file is closed in the background;
/// [`shutdown`](Self::shutdown) waits for that. While it is open, SQLite keeps two more files beside it, `-wal` and
/// `-shm`: they belong to the database, don't delete them.
///
/// # Several processes
/// Several processes may use one file at the same time, on one machine and on a local disk (not on a network file
/// system). They take turns to write, each waiting for at most the
/// [busy timeout](SqliteStoreBuilder::busy_timeout); what one has written, the others see at once. Runners notice it
/// within about 15 milliseconds.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) place: Arc<Place>,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) identity: Identity,
    pub(crate) readers: Readers,
    pub(crate) queue: Queue,
    pub(crate) head: watch::Sender<u64>,
    pub(crate) answers_since: Arc<AnswersSince>,
}

impl SqliteStore {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Opens a store with the default settings; creates the file when it does not exist.
    ///
    /// # Errors
    /// As [`SqliteStoreBuilder::open`].
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::builder(path).open().await
    }

    /// Starts building a store with custom settings.
    pub fn builder(path: impl Into<PathBuf>) -> SqliteStoreBuilder {
        SqliteStoreBuilder::new(path.into())
    }

    /// Writes the commits under way, waits for reads under way, and closes the file. Everything that comes later, from
    /// any clone, gets [`ShuttingDown`](es_core::Error::ShuttingDown).
    ///
    /// # Errors
    /// [`ShuttingDown`](es_core::Error::ShuttingDown) when it was called before.
    pub async fn shutdown(&self) -> Result<()> {
        self.0.readers.close().await;
        self.0.queue.shutdown().await
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.0.place.path
    }

    pub(crate) fn place(&self) -> &Place {
        &self.0.place
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.0.readers
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// Changes something small in the writer's next transaction. It may be called again, on a fresh one.
    async fn write<T: Send + 'static>(
        &self,
        what: &'static str,
        write: impl Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = Arc::clone(&self.0.place);
        let run = move |connection: &Connection, _: &Guard| write(connection).map_err(|error| place.error(what, error));
        self.0.queue.submit(0, None, |reply| Box::new(Task::new(run, reply))).await
    }
}

impl EventLog for SqliteStore {
    fn read_all<'a>(&'a self, after: u64, limit: usize, filter: &'a Filter) -> BoxFuture<'a, Result<Page>> {
        Box::pin(self.0.readers.read(move |reader| log::read(reader.parts(), after, limit, filter)))
    }

    fn head(&self) -> BoxFuture<'_, Result<u64>> {
        Box::pin(self.0.readers.look_up(|reader| {
            log::head(&reader.connection).map_err(|error| reader.place.error("reading the head", error))
        }))
    }

    fn watch(&self) -> watch::Receiver<u64> {
        let receiver = self.0.head.subscribe();
        self.0.queue.wake();
        receiver
    }

    fn identity(&self) -> StoreIdentity {
        self.0.identity.store
    }

    fn epochs(&self) -> Vec<Epoch> {
        self.0.identity.epochs.clone()
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}

impl EventStore for SqliteStore {
    fn append(&self, commit: Commit) -> BoxFuture<'_, Result<Appended>> {
        let checked = self.0.limits.check_commit(&commit).and_then(|()| commit.check_streams());
        let bytes = commit.byte_count();
        let command = commit.command.as_ref().map(|command| command.id.clone());
        let only_schedules = !commit.schedule.is_empty() && commit.event_count() == 0;
        let done = self.0.queue.submit(bytes, command, |reply| Box::new(Append::new(commit, reply)));
        Box::pin(async move {
            checked?;
            let appended = done.await?.into_answer()?;
            // The writer tells of heads that move.
            if only_schedules {
                self.0.head.send_modify(|_| ());
            }
            Ok(appended)
        })
    }

    fn fold<'a>(&'a self, stream: &'a StreamKey, after: u64, visit: &'a mut Visitor<'a>) -> BoxFuture<'a, Result<u64>> {
        // It tells the runtime itself, once the stream turns out to be long.
        Box::pin(self.0.readers.look_up(move |reader| fold::fold(reader, stream, after, visit)))
    }

    fn version<'a>(&'a self, stream: &'a StreamKey) -> BoxFuture<'a, Result<u64>> {
        Box::pin(self.0.readers.look_up(|reader| fold::version(reader, stream)))
    }

    fn outcome<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        command: &'a CommandId,
    ) -> BoxFuture<'a, Result<Option<Outcome>>> {
        Box::pin(
            self.0.readers.look_up(move |reader| commands::outcome(&reader.connection, &reader.place, tenant, command)),
        )
    }

    fn answers_since(&self) -> Timestamp {
        self.0.answers_since.get()
    }

    fn snapshot<'a>(&'a self, stream: &'a StreamKey, fingerprint: u64) -> BoxFuture<'a, Result<Option<Snapshot>>> {
        Box::pin(self.0.readers.look_up(move |reader| {
            let Some(id) = reader.names.id(&reader.connection, &reader.place, stream)? else { return Ok(None) };
            let found = snapshots::read(&reader.connection, id, fingerprint)
                .map_err(|error| reader.place.error("reading a snapshot", error))?;
            Ok(found.map(|(version, state)| Snapshot { stream: stream.clone(), fingerprint, version, state }))
        }))
    }

    fn offer_snapshot(&self, snapshot: Snapshot) {
        self.0.queue.offer(snapshot.state.len(), || Box::new(Offer(snapshot)));
    }

    fn claimant<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        constraint: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<StreamKey>>> {
        Box::pin(self.0.readers.look_up(move |reader| {
            let holder = claims::holder(&reader.connection, tenant, constraint, key)
                .map_err(|error| reader.place.error("looking up a unique key", error))?;
            holder.map(|id| names::stream_key(&reader.connection, &reader.place, id)).transpose()
        }))
    }

    fn scheduled<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<ScheduledCommand>>> {
        let get = move |reader: &mut Reader| schedule::get(&reader.connection, &reader.place, tenant, key);
        Box::pin(self.0.readers.look_up(get))
    }

    fn due(&self, now: Timestamp, limit: usize) -> BoxFuture<'_, Result<Vec<Result<ScheduledCommand>>>> {
        Box::pin(self.0.readers.read(move |reader| schedule::due(&reader.connection, &reader.place, now, limit)))
    }

    fn next_due(&self, after: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>>> {
        Box::pin(self.0.readers.look_up(move |reader| {
            schedule::next_due(&reader.connection, after)
                .map_err(|error| reader.place.error("looking for the next scheduled command", error))
        }))
    }

    fn lease<'a>(
        &'a self,
        command: &'a ScheduledCommand,
        ended: Timestamp,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<bool>> {
        let command = command.clone();
        Box::pin(self.write("leasing a scheduled command", move |connection| {
            schedule::lease(connection, &command, ended, until)
        }))
    }

    fn settle<'a>(&'a self, command: &'a ScheduledCommand) -> BoxFuture<'a, Result<bool>> {
        let command = command.clone();
        let settle = move |connection: &Connection| schedule::settle(connection, &command);
        Box::pin(self.write("settling a scheduled command", settle))
    }

    fn limits(&self) -> &Limits {
        &self.0.limits
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.0.place.path)
            .field("identity", &self.0.identity.store)
            .field("head", &*self.0.head.borrow())
            .field("queue", &self.0.queue)
            .finish_non_exhaustive()
    }
}
