//! The rows of `es_checkpoints`: how far each partition of a subscriber is, and whose it is.
//!
//! Read models in SQL and subscribers whose effects are elsewhere share the table. Each decides inside its writing
//! transaction what a row becomes; here it is written, and only in the place of the row the decision was made on.

use es_core::{
    StoreIdentity, Timestamp,
    checkpoints::{Checkpoint, Sending},
};
use rusqlite::{Connection, Row, named_params};
use uuid::Uuid;

/// What a subscriber is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A read model in the file of its checkpoint.
    ReadModel = 0,
    /// One whose effects are elsewhere.
    Elsewhere = 1,
}

/// A checkpoint, and what its subscriber has hooks for. Whether a lease holds is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) at: Checkpoint,
    pub(crate) hooks: String,
}

/// The checkpoints of a subscriber: one for each partition, in order.
pub(crate) fn all(connection: &Connection, name: &str) -> rusqlite::Result<Vec<Stored>> {
    connection
        .prepare_cached(
            "SELECT partition, position, generation, store_id, hooks, owner, leased_until, sending_to, sending_since, epoch
             FROM es_checkpoints WHERE name = ?1 ORDER BY partition",
        )?
        .query_map([name], read)?
        .collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let sending = match (row.get(7)?, row.get::<_, Option<i64>>(8)?) {
        (Some(to), Some(since)) => Some(Sending { to, since: Timestamp::from_micros(since) }),
        _ => None,
    };
    let at = Checkpoint {
        partition: row.get(0)?,
        position: row.get(1)?,
        generation: row.get(2)?,
        store: StoreIdentity { id: Uuid::from_bytes(row.get(3)?), epoch: row.get(9)? },
        owner: row.get::<_, Option<[u8; 16]>>(5)?.map(Uuid::from_bytes),
        leased_until: Timestamp::from_micros(row.get(6)?),
        leased: false,
        sending,
    };
    Ok(Stored { at, hooks: row.get(4)? })
}

/// Writes a new row, which belongs to nobody.
pub(crate) fn insert(
    connection: &Connection,
    name: &str,
    kind: Kind,
    hooks: &str,
    at: &Checkpoint,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO es_checkpoints
             (name, partition, kind, position, generation, store_id, epoch, hooks, sending_to, sending_since)
             VALUES
             (:name, :partition, :kind, :position, :generation, :store, :epoch, :hooks, :sending_to, :sending_since)",
        )?
        .execute(named_params! {
            ":name": name,
            ":partition": at.partition,
            ":kind": kind as i64,
            ":position": at.position,
            ":generation": at.generation,
            ":store": at.store.id.as_bytes(),
            ":epoch": at.store.epoch,
            ":hooks": hooks,
            ":sending_to": at.sending.map(|sending| sending.to),
            ":sending_since": at.sending.map(|sending| sending.since.as_micros()),
        })
        .map(drop)
}

/// Moves a checkpoint on, also into another epoch, unless it is no longer where it was, of the same generation, and the
/// same owner's. Says whether it has moved.
pub(crate) fn replace(
    connection: &Connection,
    name: &str,
    former: &Checkpoint,
    next: &Checkpoint,
) -> rusqlite::Result<bool> {
    let moved = connection
        .prepare_cached(
            "UPDATE es_checkpoints
             SET position = :to, generation = :next_generation, epoch = :epoch, owner = :next_owner, leased_until = :until,
                 sending_to = :sending_to, sending_since = :sending_since
             WHERE name = :name AND partition = :partition AND position = :position AND generation = :generation
               AND store_id = :store AND owner IS :owner",
        )?
        .execute(named_params! {
            ":to": next.position,
            ":next_generation": next.generation,
            ":epoch": next.store.epoch,
            ":next_owner": next.owner.as_ref().map(Uuid::as_bytes),
            ":until": next.leased_until.as_micros(),
            ":sending_to": next.sending.map(|sending| sending.to),
            ":sending_since": next.sending.map(|sending| sending.since.as_micros()),
            ":name": name,
            ":partition": former.partition,
            ":position": former.position,
            ":generation": former.generation,
            ":store": former.store.id.as_bytes(),
            ":owner": former.owner.as_ref().map(Uuid::as_bytes),
        })?;
    Ok(moved == 1)
}

/// Deletes all checkpoints of a subscriber.
pub(crate) fn remove(connection: &Connection, name: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM es_checkpoints WHERE name = ?1")?.execute([name]).map(drop)
}

/// Gives back all partitions that an owner has.
pub(crate) fn release(connection: &Connection, name: &str, owner: Uuid) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE es_checkpoints SET owner = NULL, leased_until = 0 WHERE name = ?1 AND owner = ?2")?
        .execute((name, owner.as_bytes()))
        .map(drop)
}

/// Whether the name is that of a subscriber of another kind: its checkpoint says nothing of what this one has handled.
pub(crate) fn is_taken(connection: &Connection, name: &str, kind: Kind) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM es_checkpoints WHERE name = ?1 AND kind <> ?2 LIMIT 1")?
        .exists((name, kind as i64))
}
