//! Checkpoints of subscribers whose effects are elsewhere: kept in the store's file, moved through its writer.

use std::{sync::Arc, time::Duration};

use es_core::{
    CheckpointStore, Error, Result, Timestamp,
    checkpoints::{Checkpoint, Claimed, Held, Registration, Sending},
    store::BoxFuture,
};
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use uuid::Uuid;

use crate::{SqliteStore, projection::Guard, writer::Task};

/// The columns of a checkpoint, as [`read`] wants them.
macro_rules! columns {
    () => {
        "partition, position, generation, store_id, owner, leased_until, sending_to, sending_since"
    };
}

const ALL: &str = concat!("SELECT ", columns!(), " FROM es_checkpoints WHERE name = ?1 ORDER BY partition");
const ONE: &str = concat!("SELECT ", columns!(), " FROM es_checkpoints WHERE name = ?1 AND partition = ?2");

const CLAIM: &str = concat!(
    "UPDATE es_checkpoints SET generation = generation + (owner IS NOT :owner), owner = :owner, leased_until = :until
     WHERE name = :name AND partition = :partition AND (owner IS NULL OR owner = :owner OR leased_until <= :now)
     RETURNING ",
    columns!()
);

const ADVANCE: &str = concat!(
    "UPDATE es_checkpoints
     SET position = :to, leased_until = :until, sending_to = :sending_to, sending_since = :sending_since
     WHERE name = :name AND partition = :partition AND position = :position AND generation = :generation
       AND store_id = :store AND owner = :owner
     RETURNING ",
    columns!()
);

const REGISTER: &str = "INSERT INTO es_checkpoints
     (name, partition, kind, position, generation, store_id, hooks, owner, leased_until, sending_to, sending_since)
     VALUES (:name, :partition, 1, :position, :generation, :store, :hooks, NULL, 0, :sending_to, :sending_since)";

const OWNED: &str = "SELECT count(*) FROM es_checkpoints
     WHERE name = ?1 AND partition = ?2 AND position = ?3 AND generation = ?4 AND owner = ?5";

fn read(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<Checkpoint> {
    let leased_until = Timestamp::from_micros(row.get(5)?);
    let sending = match (row.get(6)?, row.get::<_, Option<i64>>(7)?) {
        (Some(to), Some(since)) => Some(Sending { to, since: Timestamp::from_micros(since) }),
        _ => None,
    };
    Ok(Checkpoint {
        partition: row.get(0)?,
        position: row.get(1)?,
        generation: row.get(2)?,
        store: Uuid::from_bytes(row.get(3)?),
        owner: row.get::<_, Option<[u8; 16]>>(4)?.map(Uuid::from_bytes),
        leased_until,
        leased: leased_until > now,
        sending,
    })
}

fn all(connection: &Connection, name: &str, now: Timestamp) -> rusqlite::Result<Vec<Checkpoint>> {
    connection.prepare_cached(ALL)?.query_map([name], |row| read(row, now))?.collect()
}

fn insert(connection: &Connection, name: &str, hooks: &str, at: &Checkpoint) -> rusqlite::Result<()> {
    connection.prepare_cached(REGISTER)?.execute(named_params! {
        ":name": name,
        ":partition": at.partition,
        ":position": at.position,
        ":generation": at.generation,
        ":store": at.store.as_bytes(),
        ":hooks": hooks,
        ":sending_to": at.sending.map(|sending| sending.to),
        ":sending_since": at.sending.map(|sending| sending.since.as_micros()),
    })?;
    Ok(())
}

fn claim(
    connection: &Connection,
    name: &str,
    partition: u32,
    owner: Uuid,
    lease: Duration,
    now: Timestamp,
) -> rusqlite::Result<Option<Claimed>> {
    let claimed = connection.prepare_cached(CLAIM)?.query_row(
        named_params! {
            ":name": name,
            ":partition": partition,
            ":owner": owner.as_bytes(),
            ":until": now.saturating_add(lease).as_micros(),
            ":now": now.as_micros(),
        },
        |row| read(row, now),
    );
    if let Some(at) = claimed.optional()? {
        return Ok(Some(Claimed::Held(Held { name: name.into(), owner, lease, at })));
    }
    let theirs = connection.prepare_cached(ONE)?.query_row((name, partition), |row| read(row, now));
    Ok(theirs.optional()?.map(Claimed::Taken))
}

fn advance(
    connection: &Connection,
    held: &Held,
    to: u64,
    sending: Option<Sending>,
    now: Timestamp,
) -> rusqlite::Result<Option<Checkpoint>> {
    let moved = connection.prepare_cached(ADVANCE)?.query_row(
        named_params! {
            ":to": to,
            ":until": now.saturating_add(held.lease).as_micros(),
            ":sending_to": sending.map(|sending| sending.to),
            ":sending_since": sending.map(|sending| sending.since.as_micros()),
            ":name": &*held.name,
            ":partition": held.at.partition,
            ":position": held.at.position,
            ":generation": held.at.generation,
            ":store": held.at.store.as_bytes(),
            ":owner": held.owner.as_bytes(),
        },
        |row| read(row, now),
    );
    moved.optional()
}

/// Whether the partitions were replaced: only all of them, and only by who has them.
fn repartition(connection: &Connection, held: &[Held], merged: &Checkpoint, partitions: u32) -> rusqlite::Result<bool> {
    let Some(Held { name, .. }) = held.first() else { return Ok(false) };
    let mut owned = connection.prepare_cached(OWNED)?;
    for Held { owner, at, .. } in held {
        let of = (&**name, at.partition, at.position, at.generation, owner.as_bytes());
        if owned.query_row(of, |row| row.get::<_, u64>(0))? != 1 {
            return Ok(false);
        }
    }
    let hooks: String = connection
        .prepare_cached("SELECT max(hooks) FROM es_checkpoints WHERE name = ?1")?
        .query_row([&**name], |row| row.get(0))?;
    let removed = connection.prepare_cached("DELETE FROM es_checkpoints WHERE name = ?1")?.execute([&**name])?;
    for partition in 0..partitions {
        insert(connection, name, &hooks, &Checkpoint { partition, ..merged.clone() })?;
    }
    Ok(removed == held.len())
}

/// Whether a projection in SQL has this name: its checkpoint says nothing of what others have handled.
fn is_read_model(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM es_checkpoints WHERE name = ?1 AND kind = 0 LIMIT 1")?.exists([name])
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
            if let Some(foreign) = stored.iter().find(|checkpoint| checkpoint.store != *store) {
                let (expected, actual) = (foreign.store.to_string(), store.to_string());
                return Ok(Err(Error::StoreIdentityChanged { name: name.clone(), expected, actual }));
            }
            if is_read_model(connection, name)? {
                let why = format!("`{name}` is the name of a read model in this file; give one of them another name");
                return Ok(Err(Error::InvalidRequest { why }));
            }
            if stored.is_empty() {
                for partition in 0..*partitions {
                    let at = Checkpoint { partition, ..Checkpoint::at(*start, 1, *store) };
                    insert(connection, name, &hooks, &at)?;
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
            connection
                .prepare_cached(
                    "UPDATE es_checkpoints SET owner = NULL, leased_until = 0 WHERE name = ?1 AND owner = ?2",
                )?
                .execute((&name, owner.as_bytes()))?;
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
