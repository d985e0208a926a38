//! A read model in the append's own transaction.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use es_core::Error;
use rusqlite::Connection;

use super::{
    Guard, Inner,
    advance::PAGE_NEAR_HEAD,
    checkpoint::{Checkpoint, Moving},
    owner::Claim,
    page::Care,
};
use crate::{errors::Place, log, names::Names, savepoint::Savepoint, writer::Inline};

/// Where the read model was left behind, so that not every append tries again; one more than its checkpoint there.
#[derive(Debug, Default)]
pub(super) struct InlineState(AtomicU64);

impl Inline for Inner {
    fn follow(
        &self,
        (connection, names, place): (&Connection, &mut Names, &Place),
        guard: &Guard,
        commit: Range<u64>,
    ) -> Result<(), Error> {
        let at = |error| place.error("reading a checkpoint", error);
        let checkpoints = Checkpoint::read(connection, &self.name).map_err(at)?;
        let [checkpoint] = checkpoints.as_slice() else { return Ok(()) };
        let near = checkpoint.position + PAGE_NEAR_HEAD as u64 >= commit.start && checkpoint.position < commit.end;
        let Ok(checkpoint) = checkpoint.clone().following(&self.name, self.source.log()) else { return Ok(()) };
        let usable = checkpoint.hooked == self.hooked;
        if !near || !usable || self.inline.0.load(Ordering::Relaxed) == checkpoint.position + 1 {
            return Ok(());
        }
        let control = |error| place.error("setting a savepoint", error);
        Savepoint::INLINE.set(connection).map_err(control)?;
        match self.keep_inline((connection, names, place), guard, &checkpoint, commit.end) {
            Ok(()) => {
                self.inline.0.store(0, Ordering::Relaxed);
                Savepoint::INLINE.release(connection).map_err(control)
            }
            Err(error) if connection.is_autocommit() || failed_at(&error).is_none_or(|at| at > commit.start) => {
                Err(error)
            }
            // An earlier event is to blame, and this commit is not the one to suffer.
            Err(error) => {
                tracing::error!(projection = self.name, %error, "left behind by appends");
                self.inline.0.store(checkpoint.position + 1, Ordering::Relaxed);
                Savepoint::INLINE.take_back(connection).map_err(control)
            }
        }
    }
}

impl Inner {
    fn keep_inline(
        &self,
        (connection, names, place): (&Connection, &mut Names, &Place),
        guard: &Guard,
        checkpoint: &Checkpoint,
        end: u64,
    ) -> Result<(), Error> {
        // Whoever owns it keeps it.
        let claim = match checkpoint.owner {
            Some(owner) => Claim { owner, until: Some(checkpoint.leased_until) },
            None => self.owner.pass(),
        };
        checkpoint.move_to(connection, &self.name, end, claim).map_err(|moving| match moving {
            Moving::Moved => Error::CheckpointMoved { name: self.name.clone(), expected: checkpoint.position },
            Moving::Failed(error) => place.error("moving a checkpoint", error),
        })?;
        let care = self.gives_up().then(|| Care::last(0));
        let mut after = checkpoint.position;
        while after < end {
            let page = log::read((connection, names, place), after, PAGE_NEAR_HEAD, &self.filter)?;
            self.run_events(connection, guard, &page.events, care.as_ref())?;
            if page.scanned_to == after {
                break;
            }
            after = page.scanned_to;
        }
        Ok(())
    }
}

/// The event that an error is about, if it is about one.
fn failed_at(error: &Error) -> Option<u64> {
    match error {
        Error::ProjectionFaulted { position, .. } => Some(*position),
        Error::Corrupt { .. } => Some(0),
        _ => None,
    }
}
