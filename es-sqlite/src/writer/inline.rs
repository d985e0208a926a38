//! Read models that are kept in the append's own transaction: a read right after a command sees it.

use std::{
    ops::Range,
    sync::{PoisonError, RwLock, Weak},
};

use es_core::{Appended, Error};
use rusqlite::Connection;

use super::{
    apply::Stop,
    batch::{Broken, Transaction},
};
use crate::{errors::Place, names::Names, projection::Guard, savepoint::Savepoint};

/// A read model that follows the log inside the transaction that appends to it.
pub(crate) trait Inline: Send + Sync {
    /// Handles the commit between two positions, and before it what little was not handled yet. A read model that can't
    /// keep up for another reason than this commit is left behind: then it is caught up from outside.
    fn follow(&self, log: (&Connection, &mut Names, &Place), guard: &Guard, commit: Range<u64>) -> Result<(), Error>;
}

/// The read models to keep. They are dropped with the last handle of theirs.
#[derive(Default)]
pub(super) struct Followers(RwLock<Vec<Weak<dyn Inline>>>);

impl Followers {
    pub(super) fn add(&self, inline: Weak<dyn Inline>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|inline| inline.strong_count() > 0);
        all.push(inline);
    }

    fn all(&self) -> Vec<Weak<dyn Inline>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs an append and brings the read models along: a hook that fails refuses the append, and all it wrote is taken
/// back.
pub(super) fn kept(
    transaction: &mut Transaction<'_>,
    append: impl FnOnce(&mut Transaction<'_>) -> Result<Appended, Stop>,
) -> Result<Appended, Stop> {
    let followers = transaction.followers.all();
    if followers.is_empty() {
        return append(transaction);
    }
    let connection = transaction.connection;
    let broken = Broken::by("setting a savepoint");
    let before = *transaction.ledger.end();
    Savepoint::APPEND.set(connection).map_err(&broken)?;
    let appended = match append(transaction) {
        Err(Stop::Broken(broken)) => return Err(Stop::Broken(broken)),
        answer => answer,
    };
    let commit = before.position..transaction.ledger.end().position;
    let wrote = !commit.is_empty();
    for inline in followers.iter().filter(|_| wrote).filter_map(Weak::upgrade) {
        let log = (connection, transaction.ledger.names(), transaction.place);
        let Err(error) = inline.follow(log, transaction.guard, commit.clone()) else { continue };
        if !connection.is_autocommit() {
            Savepoint::APPEND.take_back(connection).map_err(&broken)?;
            transaction.ledger.taken_back(before);
        }
        return Err(Stop::Refused(error));
    }
    // A read that failed may have ended the transaction, which the caller notices.
    if !connection.is_autocommit() {
        Savepoint::APPEND.release(connection).map_err(&broken)?;
    }
    appended
}
