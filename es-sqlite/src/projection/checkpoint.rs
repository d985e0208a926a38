//! How far a projection is: moved in the transaction of its read model, and only from where it was.

use std::ops::Deref;

use es_core::{Error, EventLog, StoreIdentity, checkpoints};
use rusqlite::Connection;
use uuid::Uuid;

use super::{hooked::Hooked, owner::Claim};
use crate::checkpoint_rows::{self, Kind, Stored};

/// How far a partition is, of which store, since which reset, by which hooks, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    at: checkpoints::Checkpoint,
    pub(super) hooked: Hooked,
}

impl Deref for Checkpoint {
    type Target = checkpoints::Checkpoint;

    fn deref(&self) -> &Self::Target {
        &self.at
    }
}

impl Checkpoint {
    /// The stored checkpoints of a projection: one for each partition, in order.
    pub(super) fn read(connection: &Connection, name: &str) -> rusqlite::Result<Vec<Self>> {
        let hooked = |Stored { at, hooks }| Self { at, hooked: Hooked::from_column(hooks) };
        Ok(checkpoint_rows::all(connection, name)?.into_iter().map(hooked).collect())
    }

    /// The same one at another position.
    pub(super) fn with_position(mut self, position: u64) -> Self {
        self.at.position = position;
        self
    }

    /// Stays where it is, with other hooks. Whoever works with the former ones can't move it any more.
    pub(super) fn adopt(connection: &Connection, name: &str, hooked: &Hooked) -> rusqlite::Result<()> {
        connection.execute(
            "UPDATE es_checkpoints SET generation = generation + 1, hooks = ?2, owner = NULL, leased_until = 0
             WHERE name = ?1",
            (name, hooked.column()),
        )?;
        Ok(())
    }

    /// The same one, as it is to be moved on in this log.
    pub(super) fn following(mut self, name: &str, log: &dyn EventLog) -> Result<Self, Error> {
        self.at.store = self.at.follow(name, log)?;
        Ok(self)
    }

    /// Moves on and claims the partition, if nobody moved or claimed it meanwhile. A new owner raises the generation.
    pub(super) fn move_to(
        &self,
        connection: &Connection,
        name: &str,
        position: u64,
        claim: Claim,
    ) -> Result<(), Moving> {
        let next = checkpoints::Checkpoint {
            position,
            generation: self.generation.saturating_add(u64::from(self.owner != Some(claim.owner))),
            owner: claim.until.map(|_| claim.owner),
            leased_until: claim.until.unwrap_or_default(),
            ..self.at.clone()
        };
        match checkpoint_rows::replace(connection, name, &self.at, &next).map_err(Moving::Failed)? {
            true => Ok(()),
            false => Err(Moving::Moved),
        }
    }

    /// Refuses a checkpoint of another store.
    pub(super) fn of_store(&self, name: &str, store: Uuid) -> Result<(), Error> {
        if self.store.id == store {
            return Ok(());
        }
        let (expected, actual) = (self.store.id.to_string(), store.to_string());
        Err(Error::StoreIdentityChanged { name: name.to_owned(), expected, actual })
    }
}

/// What the checkpoints of a projection's partitions have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registration<'r> {
    pub(super) name: &'r str,
    pub(super) store: StoreIdentity,
    pub(super) hooked: &'r Hooked,
    pub(super) partitions: u32,
}

impl Registration<'_> {
    /// Whether the name is that of something else that follows the store's log.
    pub(super) fn is_taken(&self, connection: &Connection) -> rusqlite::Result<bool> {
        checkpoint_rows::is_taken(connection, self.name, Kind::ReadModel)
    }

    /// Checkpoints at the log's beginning, unless the projection has some that have moved on. Those that have not may
    /// have any hooks; whoever works with the former ones can't move them any more.
    pub(super) fn start(&self, connection: &Connection) -> rusqlite::Result<()> {
        let stored = Checkpoint::read(connection, self.name)?;
        let differs = |row: &Checkpoint| row.store.id != self.store.id || row.hooked != *self.hooked;
        let is_new = stored.is_empty() || stored.len() != self.partitions as usize || stored.iter().any(differs);
        if is_new && stored.iter().all(|row| row.position == 0) { self.put(connection, 0) } else { Ok(()) }
    }

    /// A checkpoint for each partition at one position, in place of those there were. They belong to nobody, and whoever
    /// still works from a former one can't move it any more.
    pub(super) fn put(&self, connection: &Connection, position: u64) -> rusqlite::Result<()> {
        let former = checkpoint_rows::all(connection, self.name)?;
        let generation = former.iter().map(|row| row.at.generation).max().unwrap_or(0).saturating_add(1);
        checkpoint_rows::remove(connection, self.name)?;
        for partition in 0..self.partitions {
            let at =
                checkpoints::Checkpoint { partition, ..checkpoints::Checkpoint::at(position, generation, self.store) };
            checkpoint_rows::insert(connection, self.name, Kind::ReadModel, self.hooked.column(), &at)?;
        }
        Ok(())
    }
}

/// Why a checkpoint was not moved.
pub(super) enum Moving {
    /// It is no longer where it was, or somebody else's.
    Moved,
    /// The statement failed.
    Failed(rusqlite::Error),
}
