//! Checkpoints of subscribers whose effects are elsewhere: kept in the store's file, moved through its writer.

use std::{sync::Arc, time::Duration};

use es_core::{
    CheckpointStore, Error, Result, Timestamp,
    checkpoints::{Checkpoint, Claimed, Held, Registration, Sending},
    store::BoxFuture,
};
use rusqlite::Connection;
use uuid::Uuid;

use crate::{
    SqliteStore,
    checkpoint_rows::{self, Kind, Stored},
    projection::Guard,
    writer::Task,
};

/// The checkpoints of a subscriber, and whether they are leased now.
fn all(connection: &Connection, name: &str, now: Timestamp) -> rusqlite::Result<Vec<Checkpoint>> {
    let leased = |Stored { at, .. }| Checkpoint { leased: Checkpoint::holds(at.leased_until, now), ..at };
    Ok(checkpoint_rows::all(connection, name)?.into_iter().map(leased).collect())
}

/// What becomes of a claim; nothing where there is no such partition.
fn claim(
    connection: &Connection,
    name: &str,
    partition: u32,
    owner: Uuid,
    lease: Duration,
    now: Timestamp,
) -> rusqlite::Result<Option<Claimed>> {
    let stored = all(connection, name, now)?.into_iter().find(|stored| stored.partition == partition);
    let Some(stored) = stored else { return Ok(None) };
    let is_mine = stored.owner == Some(owner);
    if stored.owner.is_some() && !is_mine && stored.leased {
        return Ok(Some(Claimed::Taken(stored)));
    }
    let at = Checkpoint {
        generation: stored.generation + u64::from(!is_mine),
        owner: Some(owner),
        leased_until: now.saturating_add(lease),
        leased: true,
        ..stored.clone()
    };
    let held = checkpoint_rows::replace(connection, name, &stored, &at)?;
    Ok(held.then(|| Claimed::Held(Held { name: name.into(), owner, lease, at })))
}

/// The checkpoint that an owner must have left.
fn left(held: &Held) -> Checkpoint {
    Checkpoint { owner: Some(held.owner), ..held.at.clone() }
}

fn advance(
    connection: &Connection,
    held: &Held,
    to: u64,
    sending: Option<Sending>,
    now: Timestamp,
) -> rusqlite::Result<Option<Checkpoint>> {
    let former = left(held);
    let leased_until = now.saturating_add(held.lease);
    let next = Checkpoint { position: to, leased_until, leased: true, sending, ..former.clone() };
    Ok(checkpoint_rows::replace(connection, &held.name, &former, &next)?.then_some(next))
}

/// Whether the partitions were replaced: only all of them, and only by who has them.
fn repartition(connection: &Connection, held: &[Held], merged: &Checkpoint, partitions: u32) -> rusqlite::Result<bool> {
    let Some(Held { name, .. }) = held.first() else { return Ok(false) };
    let stored = checkpoint_rows::all(connection, name)?;
    let key = |at: &Checkpoint| (at.partition, at.position, at.generation, at.owner);
    let has = |one: &Held| stored.iter().any(|stored| key(&stored.at) == key(&left(one)));
    let hooks = stored.iter().map(|stored| &stored.hooks).max();
    let (Some(hooks), true) = (hooks, stored.len() == held.len() && held.iter().all(has)) else { return Ok(false) };
    checkpoint_rows::remove(connection, name)?;
    for partition in 0..partitions {
        let at = Checkpoint { partition, ..merged.clone() };
        checkpoint_rows::insert(connection, name, Kind::Elsewhere, hooks, &at)?;
    }
    Ok(true)
}

fn moved(name: &str, expected: u64) -> Error {
    Error::CheckpointMoved { name: name.to_owned(), expected }
}

impl SqliteStore {
    /// Runs a closure in the writer's transaction, with the time it is there.
    async fn write_checkpoints<T: Send + 'static>(
        &self,
        what: &'static str,
        mut write: impl FnMut(&Connection, Timestamp) -> rusqlite::Result<Result<T>> + Send + 'static,
    ) -> Result<T> {
        let store = self.clone();
        let run = move |connection: &Connection, _: &Guard| {
            write(connection, es_core::EventLog::now(&store)).map_err(|error| store.place().error(what, error))?
        };
        self.queue().submit_now(|reply| Box::new(Task::new(run, reply))).await
    }
}

impl CheckpointStore for SqliteStore {
    fn register(&self, registration: Registration) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.write_checkpoints("registering a subscriber", move |connection, now| {
            let Registration { name, partitions, events, store, start } = &registration;
            let (stored, hooks) = (all(connection, name, now)?, events.join("\n"));
            if let Some(foreign) = stored.iter().find(|checkpoint| checkpoint.store.id != store.id) {
                let (expected, actual) = (foreign.store.id.to_string(), store.id.to_string());
                return Ok(Err(Error::StoreIdentityChanged { name: name.clone(), expected, actual }));
            }
            if checkpoint_rows::is_taken(connection, name, Kind::Elsewhere)? {
                let why = format!("`{name}` is the name of a read model in this file; give one of them another name");
                return Ok(Err(Error::InvalidRequest { why }));
            }
            if stored.is_empty() {
                for partition in 0..*partitions {
                    let at = Checkpoint { partition, ..Checkpoint::at(*start, 1, *store) };
                    checkpoint_rows::insert(connection, name, Kind::Elsewhere, &hooks, &at)?;
                }
            } else {
                connection
                    .prepare_cached("UPDATE es_checkpoints SET hooks = ?2 WHERE name = ?1 AND hooks <> ?2")?
                    .execute((name, hooks))?;
            }
            Ok(Ok(()))
        }))
    }

    fn checkpoints<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Checkpoint>>> {
        let now = es_core::EventLog::now(self);
        Box::pin(self.readers().look_up(move |reader| {
            all(&reader.connection, name, now).map_err(|error| reader.place.error("reading checkpoints", error))
        }))
    }

    fn claim<'a>(
        &'a self,
        name: &'a str,
        partition: u32,
        owner: Uuid,
        lease: Duration,
    ) -> BoxFuture<'a, Result<Claimed>> {
        let name: Arc<str> = name.into();
        Box::pin(self.write_checkpoints("claiming a partition", move |connection, now| {
            Ok(claim(connection, &name, partition, owner, lease, now)?.ok_or_else(|| moved(&name, 0)))
        }))
    }

    fn advance<'a>(&'a self, held: &'a Held, to: u64, sending: Option<Sending>) -> BoxFuture<'a, Result<Held>> {
        let held = held.clone();
        Box::pin(self.write_checkpoints("moving a checkpoint", move |connection, now| {
            let at = advance(connection, &held, to, sending, now)?;
            Ok(at.map(|at| Held { at, ..held.clone() }).ok_or_else(|| moved(&held.name, held.at.position)))
        }))
    }

    fn release<'a>(&'a self, name: &'a str, owner: Uuid) -> BoxFuture<'a, Result<()>> {
        let name = name.to_owned();
        Box::pin(self.write_checkpoints("giving back partitions", move |connection, _| {
            checkpoint_rows::release(connection, &name, owner)?;
            Ok(Ok(()))
        }))
    }

    fn repartition<'a>(&'a self, held: &'a [Held], partitions: u32) -> BoxFuture<'a, Result<()>> {
        let (merged, held) = (Held::merge(held), held.to_vec());
        Box::pin(async move {
            let merged = merged?;
            let name = held.first().map(|one| one.name.to_string()).unwrap_or_default();
            self.write_checkpoints("changing the partitions", move |connection, _| {
                let done = repartition(connection, &held, &merged, partitions)?;
                Ok(if done { Ok(()) } else { Err(moved(&name, merged.position)) })
            })
            .await
        })
    }
}
