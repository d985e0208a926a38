//! Checkpoints in memory.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use uuid::Uuid;

use super::MemoryStore;
use crate::{
    CheckpointStore, Error, Result, Timestamp,
    checkpoints::{Checkpoint, Claimed, Held, Registration, Sending},
    store::BoxFuture,
};

/// The partitions of each subscriber, in order.
#[derive(Debug, Default)]
pub(super) struct Checkpoints(Mutex<HashMap<String, Vec<Checkpoint>>>);

impl Checkpoints {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Vec<Checkpoint>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryStore {
    /// Moves a subscriber back to the beginning of the log, as if it had lost its checkpoint.
    pub(crate) fn rewind(&self, name: &str) {
        for row in self.0.checkpoints.all().get_mut(name).into_iter().flatten() {
            *row = Checkpoint { partition: row.partition, ..Checkpoint::at(0, row.generation + 1, row.store) };
        }
    }
}

fn moved(name: &str, expected: u64) -> Error {
    Error::CheckpointMoved { name: name.to_owned(), expected }
}

/// The checkpoint of a partition, where it is still the owner's and where the owner left it.
fn find<'c>(all: &'c mut HashMap<String, Vec<Checkpoint>>, held: &Held) -> Result<&'c mut Checkpoint> {
    all.get_mut(&*held.name)
        .and_then(|rows| rows.iter_mut().find(|row| row.partition == held.at.partition))
        .filter(|row| (row.position, row.generation) == (held.at.position, held.at.generation))
        .filter(|row| row.owner == Some(held.owner))
        .ok_or_else(|| moved(&held.name, held.at.position))
}

impl CheckpointStore for MemoryStore {
    fn register(&self, registration: Registration) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let Registration { name, partitions, events: _, store, start } = registration;
            let mut all = self.0.checkpoints.all();
            let rows = all.entry(name.clone()).or_insert_with(|| {
                (0..partitions).map(|partition| Checkpoint { partition, ..Checkpoint::at(start, 1, store) }).collect()
            });
            match rows.iter().find(|row| row.store.id != store.id) {
                Some(row) => {
                    let (expected, actual) = (row.store.id.to_string(), store.id.to_string());
                    Err(Error::StoreIdentityChanged { name, expected, actual })
                }
                None => Ok(()),
            }
        })
    }

    fn checkpoints<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Checkpoint>>> {
        Box::pin(async move {
            let now = self.0.clock.now();
            let mut rows = self.0.checkpoints.all().get(name).cloned().unwrap_or_default();
            for row in &mut rows {
                row.leased = Checkpoint::holds(row.leased_until, now);
            }
            Ok(rows)
        })
    }

    fn claim<'a>(
        &'a self,
        name: &'a str,
        partition: u32,
        owner: Uuid,
        lease: Duration,
    ) -> BoxFuture<'a, Result<Claimed>> {
        Box::pin(async move {
            let now = self.0.clock.now();
            let mut all = self.0.checkpoints.all();
            let row = all
                .get_mut(name)
                .and_then(|rows| rows.iter_mut().find(|row| row.partition == partition))
                .ok_or_else(|| moved(name, 0))?;
            row.leased = Checkpoint::holds(row.leased_until, now);
            if row.owner.is_some_and(|other| other != owner) && row.leased {
                return Ok(Claimed::Taken(row.clone()));
            }
            row.generation += u64::from(row.owner != Some(owner));
            row.owner = Some(owner);
            row.leased_until = now.saturating_add(lease);
            row.leased = true;
            Ok(Claimed::Held(Held { name: name.into(), owner, lease, at: row.clone() }))
        })
    }

    fn advance<'a>(&'a self, held: &'a Held, to: u64, sending: Option<Sending>) -> BoxFuture<'a, Result<Held>> {
        Box::pin(async move {
            let now = self.0.clock.now();
            let mut all = self.0.checkpoints.all();
            let row = find(&mut all, held)?;
            (row.position, row.store, row.sending) = (to, held.at.store, sending);
            row.leased_until = now.saturating_add(held.lease);
            row.leased = true;
            Ok(Held { at: row.clone(), ..held.clone() })
        })
    }

    fn release<'a>(&'a self, name: &'a str, owner: Uuid) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            for row in self.0.checkpoints.all().get_mut(name).into_iter().flatten() {
                if row.owner == Some(owner) {
                    (row.owner, row.leased_until) = (None, Timestamp::default());
                }
            }
            Ok(())
        })
    }

    fn repartition<'a>(&'a self, held: &'a [Held], partitions: u32) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let merged = Held::merge(held)?;
            let mut all = self.0.checkpoints.all();
            for one in held {
                find(&mut all, one)?;
            }
            let rows = held.first().and_then(|one| all.get_mut(&*one.name)).filter(|rows| rows.len() == held.len());
            let rows = rows.ok_or_else(|| moved(held.first().map_or("", |one| &one.name), merged.position))?;
            *rows = (0..partitions).map(|partition| Checkpoint { partition, ..merged.clone() }).collect();
            Ok(())
        })
    }
}
