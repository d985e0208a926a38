//! A page of events in the transaction that moves the checkpoint over it.

use std::{collections::BTreeMap, sync::Arc};

use es_core::{Error, RecordedEvent, guard_call};
use rusqlite::Connection;

use super::{
    Guard, Inner, Tx,
    checkpoint::{Checkpoint, Moving},
    failure::{self, OnFailure},
    parked::{Kind, Notes},
};
use crate::{errors, savepoint::Savepoint};

/// Events to handle, and where the checkpoint is afterwards.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) checkpoint: Checkpoint,
    /// The position to which the store was restored since the checkpoint was last moved.
    pub(super) restored_to: Option<u64>,
    pub(super) events: Arc<[RecordedEvent]>,
    /// How many of the events there are to handle.
    pub(super) count: usize,
    pub(super) to: u64,
    /// Whether the partition is given back with this.
    pub(super) pass: bool,
}

/// How a page is run once one of its events has failed: each event behind a savepoint, so that one that fails leaves
/// nothing behind and the others are kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Care {
    /// How often the page was run with care, this time included.
    pub(super) attempts: u32,
    /// The event at which it stopped when it was run without care.
    pub(super) stopped_at: u64,
    /// Whether this is the last time: what fails now is given up.
    pub(super) last: bool,
    /// Events that are not tried again, and why: they end the transaction.
    pub(super) given_up: BTreeMap<u64, String>,
}

impl Care {
    /// Nothing is tried again.
    pub(super) fn last(stopped_at: u64) -> Self {
        Self { attempts: 1, stopped_at, last: true, given_up: BTreeMap::new() }
    }
}

impl Inner {
    /// Whether an event that fails is parked or passed over.
    pub(super) fn gives_up(&self) -> bool {
        self.policy.on_failure != OnFailure::Halt
    }

    /// Runs a page and moves the checkpoint, inside the caller's transaction.
    pub(super) fn run(
        &self,
        connection: &Connection,
        guard: &Guard,
        batch: &Batch,
        care: Option<&Care>,
    ) -> Result<(), Error> {
        let (checkpoint, now) = (&batch.checkpoint, self.source.log().now());
        let claim = if batch.pass { self.owner.pass() } else { self.owner.claim(now) };
        // First of all: hooks that another owner has run before would fail for no reason of their own.
        let moved = checkpoint.move_to(connection, &self.name, batch.to, claim);
        moved.map_err(|moving| self.not_moved(checkpoint.position, moving))?;
        if let Some(restored_to) = batch.restored_to {
            self.notes(connection).forget_skipped_after(restored_to).map_err(|error| self.noting(error))?;
        }
        let events = batch.events.get(..batch.count).unwrap_or(&batch.events);
        self.run_events(connection, guard, events, care)
    }

    pub(super) fn not_moved(&self, expected: u64, moving: Moving) -> Error {
        match moving {
            Moving::Moved => Error::CheckpointMoved { name: self.name.clone(), expected },
            Moving::Failed(error) => self.target.place().error("moving a checkpoint", error),
        }
    }

    /// Runs events inside the caller's transaction, except those that are not to be handled.
    pub(super) fn run_events(
        &self,
        connection: &Connection,
        guard: &Guard,
        events: &[RecordedEvent],
        care: Option<&Care>,
    ) -> Result<(), Error> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(()) };
        let (notes, at) = (self.notes(connection), |error| self.noting(error));
        let skipped = notes.skipped(first.meta.position, last.meta.position).map_err(at)?;
        let mut any_parked = notes.any_parked().map_err(at)?;
        let mut failed = None;
        for event in events {
            if skipped.contains(&event.meta.position) {
                continue;
            }
            if any_parked && notes.first_parked(&event.meta.stream).map_err(at)?.is_some() {
                notes.add(Kind::Parked, &event.meta, None, 0, self.source.log().now()).map_err(at)?;
                continue;
            }
            match care {
                None => self.apply(connection, guard, event)?,
                Some(care) => match self.apply_with_care(connection, guard, event, care)? {
                    Applied::Yes => {}
                    Applied::Noted => any_parked = true,
                    Applied::NotYet(error) => failed = failed.or(Some(error)),
                },
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Calls the hooks of one event behind a savepoint.
    fn apply_with_care(
        &self,
        connection: &Connection,
        guard: &Guard,
        event: &RecordedEvent,
        care: &Care,
    ) -> Result<Applied, Error> {
        let meta = &event.meta;
        let control = |error| self.target.place().error("setting a savepoint", error);
        let why = match care.given_up.get(&meta.position) {
            Some(why) => why.clone(),
            None => {
                Savepoint::EVENT.set(connection).map_err(control)?;
                match self.apply(connection, guard, event) {
                    Ok(()) => {
                        Savepoint::EVENT.release(connection).map_err(control)?;
                        return Ok(Applied::Yes);
                    }
                    // The hook has ended the transaction: there is nothing to go back to.
                    Err(error) if connection.is_autocommit() => return Err(error),
                    Err(Error::ProjectionFaulted { name, position, source }) => {
                        Savepoint::EVENT.take_back(connection).map_err(control)?;
                        if !care.last && !failure::is_permanent(&*source) {
                            return Ok(Applied::NotYet(Error::ProjectionFaulted { name, position, source }));
                        }
                        failure::in_words(&*source)
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let kind = match self.policy.on_failure {
            OnFailure::Skip => Kind::Skipped,
            OnFailure::ParkAggregate | OnFailure::Halt => Kind::Parked,
        };
        let attempts = care.attempts.saturating_add(u32::from(meta.position == care.stopped_at));
        tracing::warn!(projection = self.name, position = meta.position, ?kind, why, "an event failed");
        let noted = self.notes(connection).add(kind, meta, Some(&why), attempts, self.source.log().now());
        noted.map_err(|error| self.noting(error))?;
        Ok(Applied::Noted)
    }

    /// Calls the hooks of one event, under watch.
    pub(super) fn apply(&self, connection: &Connection, guard: &Guard, event: &RecordedEvent) -> Result<(), Error> {
        let faulted = |source| {
            let (name, position) = (self.name.clone(), event.meta.position);
            Err(Error::ProjectionFaulted { name, position, source })
        };
        let Some(hooks) = self.hooks.get(&*event.meta.event_type) else {
            return self.unknown(event).map_or(Ok(()), |unknown| faulted(unknown.into()));
        };
        let tx = Tx::new(connection, Some(guard));
        for hook in hooks {
            let called =
                guard_call(|| format!("a hook for {}", event.meta.event_type), || guard.watch(|| hook(&tx, event)));
            let failure = match called {
                // What came now would be kept statement by statement, whatever becomes of the page.
                Ok(Ok(())) if connection.is_autocommit() => "the hook ended the transaction it ran in".into(),
                Ok(Ok(())) => continue,
                Ok(Err(source)) => match source.downcast::<rusqlite::Error>() {
                    // A full disk says nothing about the event: it can be handled once there is room.
                    Ok(error) if errors::is_of_the_storage(&error) => {
                        return Err(self.target.place().error("running a projection's hook", *error));
                    }
                    Ok(error) => error,
                    Err(source) => source,
                },
                Err(panicked) => panicked.into(),
            };
            return faulted(failure);
        }
        Ok(())
    }

    /// What is wrong with an event without a hook, if its aggregate does not know it.
    fn unknown(&self, event: &RecordedEvent) -> Option<Error> {
        let (stream, event_type) = (&event.meta.stream, &event.meta.event_type);
        let is_unknown = self.filter.strangers_to(event_type).any(|stream_type| *stream_type == *stream.stream_type);
        is_unknown.then(|| Error::UnknownEventType {
            stream: (**stream).clone(),
            event_type: (**event_type).to_owned(),
            position: event.meta.position,
        })
    }

    pub(super) fn notes<'n>(&'n self, connection: &'n Connection) -> Notes<'n> {
        Notes { connection, projection: &self.name }
    }

    pub(super) fn noting(&self, error: rusqlite::Error) -> Error {
        self.target.place().error("noting parked events", error)
    }
}

/// What became of an event that was run with care.
enum Applied {
    Yes,
    /// It was given up, and that was noted.
    Noted,
    /// It may come through the next time.
    NotYet(Error),
}
