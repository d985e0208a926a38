//! How far a projection is: moved in the transaction of its read model, and only from where it was.

use es_core::Error;
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

/// One partition is all there is so far.
const PARTITION: i64 = 0;

/// How far a projection is, of which store, since which reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) position: u64,
    pub(super) generation: u64,
    pub(super) store: Uuid,
}

impl Checkpoint {
    /// The stored checkpoint.
    pub(super) fn read(connection: &Connection, name: &str) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT position, generation, store_id FROM es_checkpoints WHERE name = ?1 AND partition = ?2",
            )?
            .query_row((name, PARTITION), |row| {
                let store = Uuid::from_bytes(row.get(2)?);
                Ok(Self { position: row.get(0)?, generation: row.get(1)?, store })
            })
            .optional()
    }

    /// A checkpoint at the log's beginning, unless the projection has one.
    pub(super) fn start(connection: &Connection, name: &str, store: Uuid) -> rusqlite::Result<()> {
        connection.execute(
            "INSERT INTO es_checkpoints (name, partition, position, generation, store_id) VALUES (?1, ?2, 0, 1, ?3)
             ON CONFLICT DO NOTHING",
            (name, PARTITION, store.as_bytes()),
        )?;
        Ok(())
    }

    /// Back to the beginning, of this store. Whoever still works from an older checkpoint can't move it any more.
    pub(super) fn reset(connection: &Connection, name: &str, store: Uuid) -> rusqlite::Result<()> {
        Self::start(connection, name, store)?;
        connection.execute(
            "UPDATE es_checkpoints SET position = 0, generation = generation + 1, store_id = ?3
             WHERE name = ?1 AND partition = ?2",
            (name, PARTITION, store.as_bytes()),
        )?;
        Ok(())
    }

    /// Moves on, if nobody moved it meanwhile.
    pub(super) fn move_to(self, connection: &Connection, name: &str, position: u64) -> Result<(), Moving> {
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
