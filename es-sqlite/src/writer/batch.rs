//! One transaction for all that was queued: group commit.

use es_core::{CommandId, Error};
use rusqlite::{CachedStatement, Connection};
use tokio::sync::watch;

use super::{inline::Followers, ledger::Ledger, queue::Queued};
use crate::{
    commands,
    errors::{self, Place},
    event_row,
    failpoint::reached,
    projection::Guard,
};

// The comments keep these apart from the same words in a hook, whose cached statement the authorizer has not seen.
const BEGIN: &str = "BEGIN IMMEDIATE -- es";
const COMMIT: &str = "COMMIT -- es";
const ROLLBACK: &str = "ROLLBACK -- es";

/// Runs of a batch in which single pieces of work are told apart from a storage that fails them all.
const RERUNS: usize = 8;

/// A piece of work for the writer.
pub(crate) trait Work: Send {
    /// Does the work in the open transaction and keeps the answer until it is committed. May be called again, on a
    /// fresh transaction, when another piece of work took the first one down. A refusal that wrote nothing is an
    /// answer like any other.
    fn apply(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Broken>;

    /// The transaction is committed: gives the answer.
    fn answer(self: Box<Self>);

    /// The transaction is not: gives this answer instead.
    fn fail(self: Box<Self>, error: Error);

    /// The id to ask by when nobody knows what became of the work.
    fn command(&self) -> Option<&CommandId> {
        None
    }
}

/// The database refused a statement where it should not have: the transaction can't be kept.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) what: &'static str,
    pub(crate) error: rusqlite::Error,
    /// What the culprit is told, when it knows better than the database.
    pub(crate) answer: Option<Box<Error>>,
}

impl Broken {
    pub(crate) fn by(what: &'static str) -> impl Fn(rusqlite::Error) -> Self {
        move |error| Self { what, error, answer: None }
    }

    /// The transaction is no longer there: a full disk, a read that failed or ON CONFLICT ROLLBACK ended it.
    pub(crate) fn ended(what: &'static str, answer: Option<Error>) -> Self {
        let error = rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK),
            Some("a statement ended the writer's transaction".into()),
        );
        Self { what, error, answer: answer.map(Box::new) }
    }
}

/// The writer's open transaction.
pub(crate) struct Transaction<'w> {
    pub(crate) connection: &'w Connection,
    pub(crate) place: &'w Place,
    pub(crate) guard: &'w Guard,
    pub(super) ledger: &'w mut Ledger,
    /// Where the head is told.
    pub(super) head: &'w watch::Sender<u64>,
    /// The store's clock when the transaction began.
    pub(super) now: i64,
    /// Read models that are kept in the append's own transaction.
    pub(super) followers: &'w Followers,
    pub(super) statements: Statements<'w>,
}

/// What each piece of work runs, looked up once for all of them.
#[derive(Default)]
pub(super) struct Statements<'w> {
    event: Option<CachedStatement<'w>>,
    command: Option<CachedStatement<'w>>,
}

impl<'w> Transaction<'w> {
    /// The statement that inserts an event.
    pub(super) fn event(&mut self) -> rusqlite::Result<&mut CachedStatement<'w>> {
        prepared(&mut self.statements.event, self.connection, event_row::INSERT)
    }

    /// The statement that records a command.
    pub(super) fn command(&mut self) -> rusqlite::Result<&mut CachedStatement<'w>> {
        prepared(&mut self.statements.command, self.connection, commands::INSERT)
    }
}

fn prepared<'s, 'w>(
    statement: &'s mut Option<CachedStatement<'w>>,
    connection: &'w Connection,
    sql: &str,
) -> rusqlite::Result<&'s mut CachedStatement<'w>> {
    match statement {
        Some(statement) => Ok(statement),
        none => Ok(none.insert(connection.prepare_cached(sql)?)),
    }
}

/// What became of a batch.
pub(super) enum Batch {
    /// Committed, told and answered.
    Committed,
    /// Nothing was written, and the connection is as good as before.
    Failed,
    /// The connection can't be trusted any more.
    Lost,
    /// Nobody knows what became of COMMIT, and nobody was told yet.
    Doubtful(Vec<Queued>, rusqlite::Error),
}

/// Runs a batch until it is committed, or nothing of it is left.
pub(super) fn run(mut batch: Vec<Queued>, transaction: &mut Transaction<'_>) -> Batch {
    let Transaction { connection, place, .. } = *transaction;
    for rerun in 0.. {
        if let Err(error) = begin(transaction) {
            let lost = rollback(connection);
            fail_all(batch, place, "beginning a transaction", &error);
            return if lost || errors::is_of_the_storage(&error) { Batch::Lost } else { Batch::Failed };
        }
        match apply_all(&mut batch, transaction) {
            Ok(()) => return commit(batch, transaction),
            Err((culprit, broken)) => {
                let lost = rollback(connection);
                let Broken { what, error, answer } = broken;
                tracing::warn!(%error, what, "a statement failed inside the writer's transaction");
                let answer = answer.map_or_else(|| place.error(what, errors::again(&error)), |answer| *answer);
                batch.remove(culprit).work.fail(answer);
                if lost || (rerun >= RERUNS && errors::is_of_the_storage(&error)) {
                    fail_all(batch, place, what, &error);
                    return if lost { Batch::Lost } else { Batch::Failed };
                }
                if batch.is_empty() {
                    return Batch::Failed;
                }
            }
        }
    }
    unreachable!("every run ends the loop or takes a piece of work out of the batch")
}

fn begin(transaction: &mut Transaction<'_>) -> rusqlite::Result<()> {
    reached("before BEGIN");
    transaction.connection.prepare_cached(BEGIN)?.execute(())?;
    reached("after BEGIN");
    transaction.ledger.begin(transaction.connection)?;
    reached("after reading the end");
    Ok(())
}

fn apply_all(batch: &mut [Queued], transaction: &mut Transaction<'_>) -> Result<(), (usize, Broken)> {
    for (at, queued) in batch.iter_mut().enumerate() {
        queued.work.apply(transaction).map_err(|broken| (at, broken))?;
        if transaction.connection.is_autocommit() {
            return Err((at, Broken::ended("writing", None)));
        }
    }
    Ok(())
}

fn commit(batch: Vec<Queued>, transaction: &mut Transaction<'_>) -> Batch {
    let Transaction { connection, place, .. } = *transaction;
    reached("before COMMIT");
    match connection.prepare_cached(COMMIT).and_then(|mut commit| commit.execute(())) {
        Ok(_) => {
            reached("after COMMIT");
            tell(transaction.head, transaction.ledger.committed());
            reached("before the answer");
            for queued in batch {
                queued.work.answer();
            }
            Batch::Committed
        }
        Err(error) => {
            let lost = rollback(connection);
            tracing::error!(%error, path = %place.path.display(), "a commit failed");
            if errors::is_constraint(&error) && !lost {
                return one_by_one(batch, transaction, &error);
            }
            if errors::wrote_nothing(&error) && !lost {
                fail_all(batch, place, "committing", &error);
                return Batch::Lost;
            }
            Batch::Doubtful(batch, error)
        }
    }
}

/// A hook left a deferred foreign key behind that refers to nothing. It shows at COMMIT, where nobody knows whose it
/// is: each piece of work gets a transaction of its own, and only the culprit fails.
fn one_by_one(mut batch: Vec<Queued>, transaction: &mut Transaction<'_>, error: &rusqlite::Error) -> Batch {
    if batch.len() == 1 {
        fail_all(batch, transaction.place, "committing", error);
        return Batch::Failed;
    }
    let mut outcome = Batch::Failed;
    while !batch.is_empty() {
        match run(vec![batch.remove(0)], transaction) {
            lost @ (Batch::Lost | Batch::Doubtful(..)) => {
                let why = "the connection was lost before its turn";
                for queued in batch {
                    queued.work.fail(Error::Unavailable { why: why.into() });
                }
                return lost;
            }
            Batch::Failed => {}
            Batch::Committed => outcome = Batch::Committed,
        }
    }
    outcome
}

/// Tells those who watch where the log ends.
pub(super) fn tell(watched: &watch::Sender<u64>, head: u64) {
    watched.send_if_modified(|known| std::mem::replace(known, head) != head);
}

/// Takes back what is open, and says whether that failed.
fn rollback(connection: &Connection) -> bool {
    if !connection.is_autocommit() {
        let _ = connection.prepare_cached(ROLLBACK).and_then(|mut rollback| rollback.execute(()));
    }
    !connection.is_autocommit()
}

/// Tells all of a batch that nobody knows what became of it.
pub(super) fn doubt_all(batch: Vec<Queued>, error: &rusqlite::Error) {
    for queued in batch {
        let command_id = queued.work.command().cloned();
        queued.work.fail(Error::OutcomeUnknown { command_id, source: Some(errors::again(error).into()) });
    }
}

pub(super) fn fail_all(batch: Vec<Queued>, place: &Place, what: &str, error: &rusqlite::Error) {
    for queued in batch {
        queued.work.fail(place.error(what, errors::again(error)));
    }
}
