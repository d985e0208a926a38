//! How far a projection is: moved in the transaction of its read model, and only from where it was.

use es_core::{Error, Timestamp};
use rusqlite::Connection;
use uuid::Uuid;

use super::{hooked::Hooked, owner::Claim};

/// How far a partition is, of which store, since which reset, by which hooks, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) partition: u32,
    pub(super) position: u64,
    pub(super) generation: u64,
    pub(super) store: Uuid,
    pub(super) hooked: Hooked,
    pub(super) owner: Option<Uuid>,
    pub(super) leased_until: Timestamp,
}

impl Checkpoint {
    /// The stored checkpoints of a projection: one for each partition, in order.
    pub(super) fn read(connection: &Connection, name: &str) -> rusqlite::Result<Vec<Self>> {
        connection
            .prepare_cached(
                "SELECT partition, position, generation, store_id, hooks, owner, leased_until FROM es_checkpoints
                 WHERE name = ?1 ORDER BY partition",
            )?
            .query_map([name], |row| {
                Ok(Self {
                    partition: row.get(0)?,
                    position: row.get(1)?,
                    generation: row.get(2)?,
                    store: Uuid::from_bytes(row.get(3)?),
                    hooked: Hooked::from_column(row.get(4)?),
                    owner: row.get::<_, Option<[u8; 16]>>(5)?.map(Uuid::from_bytes),
                    leased_until: Timestamp::from_micros(row.get(6)?),
                })
            })?
            .collect()
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

    /// Moves on and claims the partition, if nobody moved or claimed it meanwhile. A new owner raises the generation.
    pub(super) fn move_to(
        &self,
        connection: &Connection,
        name: &str,
        position: u64,
        claim: Claim,
    ) -> Result<(), Moving> {
        let bytes = |owner: Uuid| *owner.as_bytes();
        let generation = self.generation.saturating_add(u64::from(self.owner != Some(claim.owner)));
        let owner = claim.until.map(|_| bytes(claim.owner));
        let until = claim.until.unwrap_or_default().as_micros();
        let changed = connection
            .prepare_cached(
                "UPDATE es_checkpoints SET position = ?3, generation = ?4, owner = ?5, leased_until = ?6
                 WHERE name = ?1 AND partition = ?2 AND position = ?7 AND generation = ?8 AND store_id = ?9
                   AND owner IS ?10",
            )
            .and_then(|mut update| {
                let former = (self.position, self.generation, self.store.as_bytes(), self.owner.map(bytes));
                update.execute((
                    name,
                    self.partition,
                    position,
                    generation,
                    owner,
                    until,
                    former.0,
                    former.1,
                    former.2,
                    former.3,
                ))
            })
            .map_err(Moving::Failed)?;
        if changed == 1 { Ok(()) } else { Err(Moving::Moved) }
    }

    /// Gives back all partitions that an owner has.
    pub(super) fn release(connection: &Connection, name: &str, owner: Uuid) -> rusqlite::Result<()> {
        connection
            .prepare_cached("UPDATE es_checkpoints SET owner = NULL, leased_until = 0 WHERE name = ?1 AND owner = ?2")?
            .execute((name, owner.as_bytes()))?;
        Ok(())
    }

    /// Refuses a checkpoint of another store.
    pub(super) fn of_store(&self, name: &str, store: Uuid) -> Result<(), Error> {
        if self.store == store {
            return Ok(());
        }
        let (expected, actual) = (self.store.to_string(), store.to_string());
        Err(Error::StoreIdentityChanged { name: name.to_owned(), expected, actual })
    }
}

/// What the checkpoints of a projection's partitions have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registration<'r> {
    pub(super) name: &'r str,
    pub(super) store: Uuid,
    pub(super) hooked: &'r Hooked,
    pub(super) partitions: u32,
}

impl Registration<'_> {
    /// Whether the name is that of something else that follows the store's log.
    pub(super) fn is_taken(&self, connection: &Connection) -> rusqlite::Result<bool> {
        connection
            .prepare_cached("SELECT 1 FROM es_checkpoints WHERE name = ?1 AND kind <> 0 LIMIT 1")?
            .exists([self.name])
    }

    /// Checkpoints at the log's beginning, unless the projection has some that have moved on. Those that have not may
    /// have any hooks; whoever works with the former ones can't move them any more.
    pub(super) fn start(&self, connection: &Connection) -> rusqlite::Result<()> {
        let stored = Checkpoint::read(connection, self.name)?;
        let differs = |row: &Checkpoint| row.store != self.store || row.hooked != *self.hooked;
        let is_new = stored.is_empty() || stored.len() != self.partitions as usize || stored.iter().any(differs);
        if is_new && stored.iter().all(|row| row.position == 0) { self.put(connection, 0) } else { Ok(()) }
    }

    /// A checkpoint for each partition at one position, in place of those there were. They belong to nobody, and whoever
    /// still works from a former one can't move it any more.
    pub(super) fn put(&self, connection: &Connection, position: u64) -> rusqlite::Result<()> {
        let former: Option<u64> = connection
            .prepare_cached("SELECT max(generation) FROM es_checkpoints WHERE name = ?1")?
            .query_row([self.name], |row| row.get(0))?;
        let generation = former.unwrap_or(0).saturating_add(1);
        connection.prepare_cached("DELETE FROM es_checkpoints WHERE name = ?1")?.execute([self.name])?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO es_checkpoints (name, partition, kind, position, generation, store_id, hooks)
             VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6)",
        )?;
        for partition in 0..self.partitions {
            let hooks = self.hooked.column();
            insert.execute((self.name, partition, position, generation, self.store.as_bytes(), hooks))?;
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
