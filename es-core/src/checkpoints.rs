//! Checkpoints of subscribers whose effects are not in the database of their checkpoint.

use std::{fmt, sync::Arc, time::Duration};

use uuid::Uuid;

use crate::{Error, Result, StoreIdentity, Timestamp, store::BoxFuture};

/// Keeps checkpoints for [projections](crate::Projection) and [reactors](crate::Reactor): how far each partition has
/// come, and who works on it.
///
/// A partition is leased to an owner. A lease is renewed when the owner moves the checkpoint and while hooks run, and not
/// while there is nothing to handle; when it is over, another owner may take the partition, which raises the generation, and what the
/// former owner does next fails with [`CheckpointMoved`](crate::Error::CheckpointMoved). Leases are told by the store's
/// own clock.
///
/// What every implementation guarantees is shown by
/// [`checkpoint_store_conformance!`](crate::checkpoint_store_conformance).
pub trait CheckpointStore: fmt::Debug + Send + Sync + 'static {
    /// Makes the checkpoints of a subscriber where it has none: one for each partition. Where it has some, they stay
    /// where they are, of the epoch they are of, however many; only the names of its events are replaced.
    ///
    /// # Errors
    /// [`StoreIdentityChanged`](crate::Error::StoreIdentityChanged) when they are of another store, or what the storage
    /// reports.
    fn register(&self, registration: Registration) -> BoxFuture<'_, Result<()>>;

    /// The checkpoints of a subscriber, in order of their partitions, as many as it has; none before it is registered.
    ///
    /// # Errors
    /// What the storage reports.
    fn checkpoints<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Checkpoint>>>;

    /// Leases a partition to an owner: renews its own lease, also one that is over, or takes a partition whose lease is
    /// over or that nobody has.
    ///
    /// A lease is taken for [`LONGEST_LEASE`](Checkpoint::LONGEST_LEASE) at most; one that ends later from now is over.
    ///
    /// # Errors
    /// [`CheckpointMoved`](crate::Error::CheckpointMoved) when there is no such partition any more, or what the storage
    /// reports.
    fn claim<'a>(
        &'a self,
        name: &'a str,
        partition: u32,
        owner: Uuid,
        lease: Duration,
    ) -> BoxFuture<'a, Result<Claimed>>;

    /// Moves a checkpoint, if it is where the owner left it, and renews the lease. It becomes one of the store and epoch
    /// that `held.at` names. The note of what is being sent is replaced by the one given.
    ///
    /// # Errors
    /// [`CheckpointMoved`](crate::Error::CheckpointMoved) when another owner has taken the partition, or what the
    /// storage reports.
    fn advance<'a>(&'a self, held: &'a Held, to: u64, sending: Option<Sending>) -> BoxFuture<'a, Result<Held>>;

    /// Gives back every partition the owner has, so that another need not wait for the leases to be over.
    ///
    /// # Errors
    /// What the storage reports.
    fn release<'a>(&'a self, name: &'a str, owner: Uuid) -> BoxFuture<'a, Result<()>>;

    /// Replaces all partitions of a subscriber, held by one owner and at one position, by as many others. They belong
    /// to nobody, and each keeps the oldest note of what was being sent.
    ///
    /// # Errors
    /// [`CheckpointMoved`](crate::Error::CheckpointMoved) when another owner has one of them, or there are others;
    /// [`InvalidRequest`](crate::Error::InvalidRequest) when they are not at one position; or what the storage reports.
    fn repartition<'a>(&'a self, held: &'a [Held], partitions: u32) -> BoxFuture<'a, Result<()>>;
}

/// A subscriber as it makes itself known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// The stored names of the events it has hooks for.
    pub events: Vec<String>,
    /// The store whose log it follows.
    pub store: StoreIdentity,
    /// The position it starts after, when it is new.
    pub start: u64,
}

/// How far one partition is, and who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The partition's number, from 0.
    pub partition: u32,
    /// Everything up to this position is handled.
    pub position: u64,
    /// Rises with each new owner.
    pub generation: u64,
    /// The store whose log this is a position of, and its epoch then.
    pub store: StoreIdentity,
    /// Who had it last, unless it was given back.
    pub owner: Option<Uuid>,
    /// When the owner's lease is over.
    pub leased_until: Timestamp,
    /// Whether the lease still holds, by the store's clock.
    pub leased: bool,
    /// What was being sent when the checkpoint was last written.
    pub sending: Option<Sending>,
}

impl Checkpoint {
    /// No lease is taken for longer. One that ends later than this from now is none: the clock was set back after it was
    /// taken, and would have everyone wait until it gets there again.
    pub const LONGEST_LEASE: Duration = Duration::from_secs(60);

    /// Whether a lease that ends then holds now.
    pub fn holds(leased_until: Timestamp, now: Timestamp) -> bool {
        leased_until > now && leased_until <= now.saturating_add(Self::LONGEST_LEASE)
    }

    /// The checkpoint of partition 0 at this position, in nobody's hands.
    pub fn at(position: u64, generation: u64, store: StoreIdentity) -> Self {
        Self {
            partition: 0,
            position,
            generation,
            store,
            owner: None,
            leased_until: Timestamp::default(),
            leased: false,
            sending: None,
        }
    }
}

/// What an owner notes before it sends commands: should it not come to move the checkpoint, whoever goes on knows that
/// some of them may have been carried out, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sending {
    /// The commands of the events after the checkpoint and up to this position.
    pub to: u64,
    /// When the first of them may have been sent.
    pub since: Timestamp,
}

/// A partition in the hands of its owner: what moving the checkpoint is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The subscriber.
    pub name: Arc<str>,
    /// The owner.
    pub owner: Uuid,
    /// For how long a lease is taken.
    pub lease: Duration,
    /// The checkpoint.
    pub at: Checkpoint,
}

impl Held {
    /// What each partition starts with that comes in the place of these: their position, the next generation, the
    /// oldest note of what was being sent.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::Error::InvalidRequest) when they are not at one position, or none.
    pub fn merge(held: &[Self]) -> Result<Checkpoint> {
        let [first, rest @ ..] = held else {
            return Err(Error::invalid_request("a subscriber without partitions has none to replace"));
        };
        let position = first.at.position;
        if let Some(other) = rest.iter().find(|other| other.at.position != position) {
            return Err(Error::invalid_request(format!(
                "the partitions of `{}` are not at one position: {position} and {}",
                first.name, other.at.position
            )));
        }
        let sending = held
            .iter()
            .filter_map(|one| one.at.sending)
            .reduce(|one, other| Sending { to: one.to.max(other.to), since: one.since.min(other.since) });
        let generation = held.iter().map(|one| one.at.generation).max().unwrap_or_default() + 1;
        Ok(Checkpoint { sending, ..Checkpoint::at(position, generation, first.at.store) })
    }
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The partition is the owner's.
    Held(Held),
    /// Someone else has it.
    Taken(Checkpoint),
}

impl<S: CheckpointStore + ?Sized> CheckpointStore for Arc<S> {
    fn register(&self, registration: Registration) -> BoxFuture<'_, Result<()>> {
        (**self).register(registration)
    }

    fn checkpoints<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Checkpoint>>> {
        (**self).checkpoints(name)
    }

    fn claim<'a>(
        &'a self,
        name: &'a str,
        partition: u32,
        owner: Uuid,
        lease: Duration,
    ) -> BoxFuture<'a, Result<Claimed>> {
        (**self).claim(name, partition, owner, lease)
    }

    fn advance<'a>(&'a self, held: &'a Held, to: u64, sending: Option<Sending>) -> BoxFuture<'a, Result<Held>> {
        (**self).advance(held, to, sending)
    }

    fn release<'a>(&'a self, name: &'a str, owner: Uuid) -> BoxFuture<'a, Result<()>> {
        (**self).release(name, owner)
    }

    fn repartition<'a>(&'a self, held: &'a [Held], partitions: u32) -> BoxFuture<'a, Result<()>> {
        (**self).repartition(held, partitions)
    }
}
