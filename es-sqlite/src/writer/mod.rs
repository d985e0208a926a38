//! The writer: one thread, one connection, one transaction for all that is queued.
//!
//! There is no timer: while one transaction is synced to disk, the next one's work collects in the queue. A lone caller
//! takes the connection itself.

mod answers_since;
mod apply;
mod batch;
mod housekeeping;
mod in_place;
mod inline;
mod ledger;
mod offer;
mod queue;
mod task;
#[cfg(test)]
mod tests;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use es_core::{Clock, Error};
use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot, watch};

pub(crate) use self::{
    answers_since::AnswersSince, apply::Append, inline::Inline, offer::Offer, queue::Queue, task::Task,
};
use self::{
    batch::{Batch, Statements, Transaction},
    housekeeping::Housekeeping,
    in_place::Shared,
    inline::Followers,
    ledger::Ledger,
    queue::{Message, Queued, Rooms},
};
use crate::{
    builder::Durability,
    connection::{self, Role},
    errors::Place,
    identity::{self, Identity},
    log, migrate,
    projection::Guard,
    schema,
};

/// The most that goes into one transaction.
const BATCH: usize = 1_024;
const BATCH_BYTES: usize = 8 << 20;
/// How often other processes' writes are looked for while someone watches the head: a few microseconds each time, and what
/// a read model is late by at most, beside its own page.
const POLL: Duration = Duration::from_millis(5);
/// How long something offered waits for a transaction to go along with.
const OFFERED: Duration = Duration::from_millis(20);

/// What the writer needs to know.
pub(crate) struct Setup {
    pub(crate) place: Arc<Place>,
    pub(crate) durability: Durability,
    pub(crate) create: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) head: watch::Sender<u64>,
    pub(crate) answers_since: Arc<AnswersSince>,
}

/// Starts the writer's thread, which opens the file and says which store it is.
pub(crate) async fn start(setup: Setup) -> Result<(Queue, Identity), Error> {
    let shared = Arc::new(Shared::default());
    let (room, followers) = (Queue::all_room(), Arc::<Followers>::default());
    let (queue, receiver) = Queue::new(Arc::clone(&shared), Arc::clone(&room), Arc::clone(&followers));
    let (opened, identity) = oneshot::channel();
    let thread = std::thread::Builder::new().name("es-sqlite writer".into());
    let run = move || match Writer::open(setup, room, followers) {
        Ok((writer, identity)) => {
            *shared.lock() = Some(writer);
            // Dropped by someone who no longer waits for the store: then there is no queue either.
            let _ = opened.send(Ok(identity));
            serve(&shared, &receiver);
        }
        Err(error) => drop(opened.send(Err(error))),
    };
    let failed = |source| Error::Io { what: "starting the writer's thread".into(), source };
    thread.spawn(run).map_err(|error| failed(error.into()))?;
    let identity = identity.await.map_err(|_| failed("it panicked while it opened the file".into()))??;
    Ok((queue, identity))
}

/// The writer's thread: does what is queued, and looks around when nothing is.
fn serve(shared: &Shared, receiver: &Receiver<Message>) {
    let close = || {
        if let Some(mut writer) = shared.lock().take() {
            writer.commit_along(shared.along());
            writer.close();
        }
    };
    let mut patience = POLL;
    loop {
        let shutdown = match receiver.recv_timeout(patience) {
            Ok(Message::Work(first)) => {
                let mut writer = shared.lock();
                // Only now, so that everything queued while the writer was taken is in it.
                let (mut batch, shutdown) = gather(first, receiver);
                shared.gathered(batch.len());
                batch.append(&mut shared.along());
                if let Some(writer) = &mut *writer {
                    writer.commit(batch);
                    patience = writer.patience();
                }
                shutdown
            }
            Ok(Message::Shutdown(done)) => Some(done),
            Ok(Message::Offered) => {
                patience = patience.min(OFFERED);
                None
            }
            Ok(Message::Wake) | Err(RecvTimeoutError::Timeout) => {
                shared.look_around(|writer| {
                    writer.commit_along(shared.along());
                    writer.look_around();
                    patience = writer.patience();
                });
                None
            }
            Err(RecvTimeoutError::Disconnected) => {
                close();
                return;
            }
        };
        if let Some(done) = shutdown {
            close();
            // What was queued after it answers itself when the receiver is dropped.
            let _ = done.send(());
            return;
        }
    }
}

struct Writer {
    setup: Setup,
    room: Arc<Semaphore>,
    followers: Arc<Followers>,
    guard: Guard,
    /// None after it could no longer be trusted, until a new one is open.
    connection: Option<Connection>,
    ledger: Ledger,
    housekeeping: Housekeeping,
    read_only: bool,
    /// What became of the last commit is not known.
    doubtful: bool,
    /// Changes when another connection commits.
    data_version: i64,
}

impl Writer {
    fn open(setup: Setup, room: Arc<Semaphore>, followers: Arc<Followers>) -> Result<(Self, Identity), Error> {
        let Setup { place, durability, create, clock, answers_since, .. } = &setup;
        let connection = migrate::open(place, &schema::STORE, Role::Writer(*durability), *create)?;
        let identity = identity::of(&connection, place)?;
        let at = |error| place.error("opening the database", error);
        let read_only = connection.is_readonly("main").map_err(at)?;
        answers_since.learn(&connection).map_err(at)?;
        let housekeeping = Housekeeping::new(Arc::clone(clock), Arc::clone(answers_since));
        let mut writer = Self {
            guard: Guard::default(),
            connection: None,
            ledger: Ledger::new(),
            housekeeping,
            read_only,
            doubtful: false,
            data_version: 0,
            setup,
            room,
            followers,
        };
        writer.adopt(connection)?;
        Ok((writer, identity))
    }

    fn patience(&self) -> Duration {
        let idle = self.housekeeping.patience();
        if self.setup.head.receiver_count() > 0 { POLL.min(idle) } else { idle }
    }

    /// Runs a batch. Whatever happens, every piece of its work is answered.
    fn commit(&mut self, batch: Vec<Queued>) {
        let _writing = queue::Writing::here();
        let _rooms = Rooms::of(&self.room, &batch);
        if self.read_only {
            for queued in batch {
                queued.work.fail(Error::ReadOnly { path: self.setup.place.path.clone(), source: None });
            }
            return;
        }
        if self.connection.is_none()
            && let Err(error) = self.reopen()
        {
            let why = format!("the database could not be opened again: {error}");
            for queued in batch {
                queued.work.fail(Error::Unavailable { why: why.clone() });
            }
            return;
        }
        let Self { connection: Some(connection), guard, ledger, setup, followers, .. } = self else { return };
        // Work that is dropped while this unwinds answers itself. The clock is the user's, and may panic as well.
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let (now, place, head) = (setup.clock.now().as_micros(), &setup.place, &setup.head);
            batch::run(
                batch,
                &mut Transaction {
                    connection,
                    place,
                    guard,
                    ledger,
                    head,
                    now,
                    followers,
                    statements: Statements::default(),
                },
            )
        }));
        match ran.unwrap_or(Batch::Lost) {
            Batch::Committed => {
                self.housekeeping.committed();
                self.housekeeping.measure(&self.setup.place.path);
                self.tidy(Housekeeping::forget);
            }
            Batch::Failed => {}
            Batch::Lost => self.lose(),
            Batch::Doubtful(batch, error) => {
                self.lose();
                self.doubtful = true;
                // Before anyone is told, so that whoever looks it up learns what stays so.
                if let Err(error) = self.reopen() {
                    tracing::warn!(%error, "what became of a commit stays open until the database is opened again");
                }
                batch::doubt_all(batch, &error);
            }
        }
    }

    fn lose(&mut self) {
        self.connection = None;
        self.ledger.forget();
    }

    fn reopen(&mut self) -> Result<(), Error> {
        let connection = connection::open(&self.setup.place, Role::Writer(self.setup.durability))?;
        if self.doubtful {
            // A commit whose sync failed is in the log's file behind its end: invisible now, and back after a crash.
            // Another commit takes its place; one that changes a byte, or SQLite writes nothing.
            answers_since::nudge(&connection, self.setup.clock.now())
                .map_err(|error| self.setup.place.error("settling a commit", error))?;
            self.doubtful = false;
        }
        self.adopt(connection)
    }

    /// Takes a fresh connection into use.
    fn adopt(&mut self, mut connection: Connection) -> Result<(), Error> {
        let at = |error| self.setup.place.error("opening the database", error);
        self.guard.install(&mut connection).map_err(at)?;
        let head = log::head(&connection).map_err(at)?;
        self.data_version = data_version(&connection).map_err(at)?;
        self.connection = Some(connection);
        batch::tell(&self.setup.head, head);
        Ok(())
    }

    /// Runs what no transaction took along.
    fn commit_along(&mut self, along: Vec<Queued>) {
        if !along.is_empty() {
            self.commit(along);
        }
    }

    /// Nobody wants anything: did another process write, is there something to tidy up?
    fn look_around(&mut self) {
        if self.connection.is_none() && self.reopen().is_err() {
            return;
        }
        let Some(connection) = &mut self.connection else { return };
        match data_version(connection) {
            Ok(version) if version != self.data_version => {
                self.data_version = version;
                match log::head(connection) {
                    Ok(head) => batch::tell(&self.setup.head, head),
                    Err(error) => tracing::warn!(%error, "the head could not be read"),
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the database could not be read"),
        }
        if !self.read_only {
            self.tidy(|housekeeping, connection| {
                housekeeping.checkpoint(connection);
                housekeeping.forget(connection);
            });
        }
    }

    /// Tidies up. A clock that panics costs the connection and not the writer.
    fn tidy(&mut self, tidy: impl FnOnce(&mut Housekeeping, &mut Connection)) {
        let Self { connection: Some(connection), housekeeping, .. } = self else { return };
        if catch_unwind(AssertUnwindSafe(|| tidy(housekeeping, connection))).is_err() {
            self.lose();
        }
    }

    fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            connection::close(connection, self.setup.place.busy_timeout);
        }
    }
}

/// The first piece of work and all that was queued behind it.
fn gather(first: Queued, receiver: &Receiver<Message>) -> (Vec<Queued>, Option<oneshot::Sender<()>>) {
    let mut bytes = first.bytes;
    let mut batch = vec![first];
    while batch.len() < BATCH && bytes < BATCH_BYTES {
        match receiver.try_recv() {
            Ok(Message::Work(next)) => {
                bytes += next.bytes;
                batch.push(next);
            }
            Ok(Message::Wake | Message::Offered) => {}
            Ok(Message::Shutdown(done)) => return (batch, Some(done)),
            Err(_) => break,
        }
    }
    (batch, None)
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row((), |row| row.get(0))
}
