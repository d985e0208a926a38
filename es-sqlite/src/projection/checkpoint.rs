//! How far a projection is: moved in the transaction of its read model, and only from where it was.

use es_core::Error;
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::hooked::Hooked;

/// One partition is all there is so far.
const PARTITION: i64 = 0;

/// How far a projection is, of which store, since which reset, by which hooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) position: u64,
    pub(super) generation: u64,
    pub(super) store: Uuid,
    pub(super) hooked: Hooked,
}

impl Checkpoint {
    /// The stored checkpoint.
    pub(super) fn read(connection: &Connection, name: &str) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT position, generation, store_id, hooks FROM es_checkpoints
                 WHERE name = ?1 AND partition = ?2",
            )?
            .query_row((name, PARTITION), |row| {
                let store = Uuid::from_bytes(row.get(2)?);
                let hooked = Hooked::from_column(row.get(3)?);
                Ok(Self { position: row.get(0)?, generation: row.get(1)?, store, hooked })
            })
            .optional()
    }

    /// A checkpoint at the log's beginning, unless the projection has one that has moved on. One that has not may have
    /// any hooks; whoever works with the former ones can't move it any more.
    pub(super) fn start(connection: &Connection, name: &str, store: Uuid, hooked: &Hooked) -> rusqlite::Result<()> {
        connection.execute(
            "INSERT INTO es_checkpoints (name, partition, position, generation, store_id, hooks)
             VALUES (?1, ?2, 0, 1, ?3, ?4)
             ON CONFLICT DO UPDATE SET generation = generation + 1, store_id = excluded.store_id, hooks = excluded.hooks
             WHERE position = 0 AND (store_id <> excluded.store_id OR hooks <> excluded.hooks)",
            (name, PARTITION, store.as_bytes(), hooked.column()),
        )?;
        Ok(())
    }

    /// Back to the beginning, of this store, with these hooks. Whoever still works from an older checkpoint can't move
    /// it any more.
    pub(super) fn reset(connection: &Connection, name: &str, store: Uuid, hooked: &Hooked) -> rusqlite::Result<()> {
        Self::start(connection, name, store, hooked)?;
        connection.execute(
            "UPDATE es_checkpoints SET position = 0, generation = generation + 1, store_id = ?3, hooks = ?4
             WHERE name = ?1 AND partition = ?2",
            (name, PARTITION, store.as_bytes(), hooked.column()),
        )?;
        Ok(())
    }

    /// Stays where it is, with other hooks. Whoever works with the former ones can't move it any more.
    pub(super) fn adopt(connection: &Connection, name: &str, hooked: &Hooked) -> rusqlite::Result<()> {
        connection.execute(
            "UPDATE es_checkpoints SET generation = generation + 1, hooks = ?3 WHERE name = ?1 AND partition = ?2",
            (name, PARTITION, hooked.column()),
        )?;
        Ok(())
    }

    /// Moves on, if nobody moved it meanwhile.
    pub(super) fn move_to(&self, connection: &Connection, name: &str, position: u64) -> Result<(), Moving> {
        let changed = connection
            .prepare_cached(
                "UPDATE es_checkpoints SET position = ?3
                 WHERE name = ?1 AND partition = ?2 AND position = ?4 AND generation = ?5 AND store_id = ?6",
            )
            .and_then(|mut update| {
                let store = self.store.as_bytes();
                update.execute((name, PARTITION, position, self.position, self.generation, store))
            })
            .map_err(Moving::Failed)?;
        if changed == 1 { Ok(()) } else { Err(Moving::Moved) }
    }

    /// Refuses a checkpoint of another store.
    pub(super) fn of_store(self, name: &str, store: Uuid) -> Result<Self, Error> {
        if self.store == store {
            return Ok(self);
        }
        let (expected, actual) = (self.store.to_string(), store.to_string());
        Err(Error::StoreIdentityChanged { name: name.to_owned(), expected, actual })
    }
}

/// Why a checkpoint was not moved.
pub(super) enum Moving {
    /// It is no longer where it was.
    Moved,
    /// The statement failed.
    Failed(rusqlite::Error),
}
