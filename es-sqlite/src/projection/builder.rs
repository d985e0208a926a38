//! Building a projection: its tables, its hooks, its file.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use es_core::{
    Error, Event, EventLog, EventMeta, Filter, Hook, HookBuilder, HookResult, RecordedEvent, Tenant,
    subscriber::{check_name, check_partitions},
};
use rusqlite::Connection;

use super::{
    Guard, Inner, Migration, OnFailure, SqliteProjection, Tx,
    checkpoint::{Checkpoint, Registration},
    failure::Policy,
    hooked::Hooked,
    inline::InlineState,
    migrations::Migrations,
    owner::{self, Owner},
    source::Source,
    target::Target,
    turns::Turns,
};
use crate::{SqliteStore, blocking, names};

/// A hook with its event's type taken away: it decodes, then calls.
pub(super) type AnyHook = Arc<dyn Fn(&Tx<'_>, &RecordedEvent) -> HookResult + Send + Sync>;

/// Builds a [`SqliteProjection`]; created by [`SqliteProjection::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct SqliteProjectionBuilder {
    name: String,
    migrations: Vec<Migration>,
    hooks: HashMap<&'static str, Vec<AnyHook>>,
    /// What generated code knows of each stream type with hooks.
    known: BTreeMap<&'static str, BTreeSet<&'static str>>,
    ignored: Vec<String>,
    filter: Filter,
    policy: Policy,
    partitions: u32,
    lease: Duration,
}

impl SqliteProjectionBuilder {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            migrations: Vec::new(),
            hooks: HashMap::new(),
            known: BTreeMap::new(),
            ignored: Vec::new(),
            filter: Filter::all(),
            policy: Policy::default(),
            partitions: 1,
            lease: owner::LEASE,
        }
    }

    /// Adds a migration: SQL that creates or changes the read model's tables, views, indexes and triggers. One migration
    /// may have several statements, separated by semicolons.
    ///
    /// Migrations are numbered from 1 in the order they are added, and each is applied once. To change a table later,
    /// add another migration; one that was applied must stay as it is. Names that begin with `es_` are reserved.
    ///
    /// Migrations that this program does not know were applied by a newer version of it. They are taken back, last
    /// first, if each has a [`down`](Migration::down).
    pub fn migration(mut self, migration: impl Into<Migration>) -> Self {
        self.migrations.push(migration.into());
        self
    }

    /// Adds several migrations, for example those of [`migrations!`](crate::migrations!).
    pub fn migrations<M: Into<Migration>>(mut self, migrations: impl IntoIterator<Item = M>) -> Self {
        self.migrations.extend(migrations.into_iter().map(Into::into));
        self
    }

    /// Handles events of one tenant only. A read model that was made without this, or for another tenant, has to be made
    /// again: [`ProjectionChanged`](Error::ProjectionChanged).
    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.filter = self.filter.tenant(tenant);
        self
    }

    /// Handles events of aggregates of these stream types only (`bank.v1.Account`), where an event is hooked that several
    /// have. What is said of [`tenant`](Self::tenant) holds for this, too.
    pub fn aggregates(mut self, stream_types: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.filter = self.filter.stream_types(stream_types);
        self
    }

    /// Passes over events of this stored type although the program does not know them.
    ///
    /// Otherwise such an event stops the projection when it was recorded by an aggregate whose other events have
    /// generated hooks here: a newer program wrote it, and the read model might need it.
    pub fn ignore(mut self, event_type: impl Into<String>) -> Self {
        self.ignored.push(event_type.into());
        self
    }

    /// What to do about an event that still fails after all retries. Default: [`OnFailure::Halt`].
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.policy.on_failure = on_failure;
        self
    }

    /// How often a page with an event that fails is run again, after a pause of 10 ms that doubles each time. Default: 3.
    /// An error that would be the same the next time (a payload that can't be decoded, a wrong statement, a panic) is
    /// not tried again.
    pub fn retries(mut self, retries: u32) -> Self {
        self.policy.retries = retries;
        self
    }

    /// Divides the projection: the events of one aggregate all belong to one of so many partitions
    /// ([`partition_of`](es_core::partition_of) its id), each with a checkpoint and an owner of its own. Default: 1.
    ///
    /// In one SQLite file this gives order within each aggregate and lets several processes share the work of a
    /// projection, not a higher write speed: a file has one writer at a time.
    ///
    /// The number can be changed from one start of the program to the next; nothing is lost or repeated. All processes
    /// should use the same number.
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = partitions;
        self
    }

    /// How long a process that was killed or hangs keeps its partitions from others. Default: 10 seconds, by the store's
    /// clock. Each page renews it, so it must be longer than the longest page takes. More than
    /// [a minute](es_core::checkpoints::Checkpoint::LONGEST_LEASE) is taken for a minute.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.min(es_core::checkpoints::Checkpoint::LONGEST_LEASE);
        self
    }

    /// Opens the read model in the store's own file and applies the migrations that were not applied yet. The store's
    /// writer also writes the read model, in the same transactions as commits that are waiting.
    ///
    /// Hooks for events that were never recorded can be added at any time. `build` does not fail when the projection has
    /// other hooks than its read model was made with, either:
    /// [`catch_up`](SqliteProjection::catch_up) and the runner do, until
    /// [`rebuild`](SqliteProjection::rebuild) was called.
    ///
    /// # Errors
    /// [`InvalidRequest`](Error::InvalidRequest) for a migration that was changed after it was applied, and for one that
    /// was applied, is not known here and can't be taken back;
    /// [`Database`](Error::Database) for one that SQLite refuses, [`InvalidId`](Error::InvalidId) for a name that can't
    /// be one, or what the storage reports.
    pub fn build(self, store: &SqliteStore) -> Result<SqliteProjection, Error> {
        self.finish(Target::Store(store.clone()), Source::Store(store.clone()))
    }

    /// As [`build`](Self::build), in another file than the store's; creates the file when it does not exist. Writing
    /// the read model then does not take the time of the store's writer. Several read models may share one such file.
    ///
    /// # Errors
    /// As [`build`](Self::build); [`InvalidRequest`](Error::InvalidRequest) for the store's own file, and for one that
    /// is not a file of read models; [`StoreIdentityChanged`](Error::StoreIdentityChanged) when the read model was made
    /// from another store: delete its file to make it from this one.
    pub fn build_in(self, path: impl AsRef<Path>, store: &SqliteStore) -> Result<SqliteProjection, Error> {
        let source = Source::Store(store.clone());
        self.finish(Target::open(path.as_ref(), &source)?, source)
    }

    /// As [`build_in`](Self::build_in), from a copy of a store's log: in another process, or on another machine.
    ///
    /// A program with hooks that the read model was made without asks for [`rebuild`](SqliteProjection::rebuild) also
    /// when their events were never recorded: a copy does not know that.
    ///
    /// # Errors
    /// As [`build_in`](Self::build_in).
    pub fn build_over(self, path: impl AsRef<Path>, log: impl EventLog) -> Result<SqliteProjection, Error> {
        let source = Source::Copy(Arc::new(log));
        self.finish(Target::open(path.as_ref(), &source)?, source)
    }

    /// As [`build`](Self::build), and each append also runs the hooks, in its own transaction: a read right after a
    /// command sees what the command did, without waiting. An event that a hook refuses is not recorded, and whoever
    /// sent its command gets [`ProjectionFaulted`](Error::ProjectionFaulted). All the store's appends take the time of
    /// the hooks, so keep them short, and give the projection to a runner like any other.
    ///
    /// This holds for appends of this process, as long as a clone of the projection lives, and while the read model is
    /// at most 200 events behind; a page or less is caught up on the way. One that is further behind, or that can't
    /// handle an earlier event, is left to the runner, which says so in its status.
    ///
    /// # Errors
    /// As [`build`](Self::build), and [`InvalidRequest`](Error::InvalidRequest) with several
    /// [partitions](Self::partitions).
    pub fn build_inline(self, store: &SqliteStore) -> Result<SqliteProjection, Error> {
        if self.partitions > 1 {
            let why = format!("`{}` is inline and can't have partitions: an append has one writer", self.name);
            return Err(Error::InvalidRequest { why });
        }
        let projection = self.build(store)?;
        let inner: Weak<Inner> = Arc::downgrade(&projection.inner);
        store.queue().follow(inner);
        Ok(projection)
    }

    fn finish(self, target: Target, source: Source) -> Result<SqliteProjection, Error> {
        let Self { name, migrations, hooks, known, ignored, filter, policy, partitions, lease } = self;
        check_name("projection name", &name)?;
        check_partitions(&name, partitions)?;
        let hooked = Hooked::new(hooks.keys().copied(), &filter);
        let filter = filter.event_types(hooks.keys().copied());
        let filter = known.into_iter().fold(filter, |filter, (stream_type, types)| {
            filter.or_unknown(stream_type, types.into_iter().map(str::to_owned).chain(ignored.iter().cloned()))
        });
        let owner = Owner::new(lease);
        let inline = InlineState::default();
        let inner =
            Inner { name, migrations, hooks, hooked, filter, policy, partitions, owner, target, source, inline };
        let inner = Arc::new(inner);
        inner.clear_scratch();
        // Who only starts again does not wait for others that write.
        let settled = blocking::wait(inner.target.readers().read(|reader| inner.is_settled(&reader.connection)))?;
        if !settled {
            let registered = Arc::clone(&inner);
            blocking::wait(inner.target.write(move |connection, guard| registered.register(connection, guard)))?;
        }
        let turns = Arc::new(Turns::new(Arc::clone(&inner)));
        Ok(SqliteProjection { inner, turns, rebuilding: Arc::default() })
    }
}

impl Inner {
    /// Whether checkpoints and tables are there, and just as this program has them.
    fn is_settled(&self, connection: &Connection) -> Result<bool, Error> {
        let Self { name, migrations, target, hooked, .. } = self;
        let (place, store) = (target.place(), self.store_id());
        let at = |error| place.error("registering a projection", error);
        let checkpoints = Checkpoint::read(connection, name).map_err(at)?;
        Ok(!checkpoints.is_empty()
            && checkpoints.len() == self.partitions as usize
            && checkpoints.iter().all(|row| row.store.id == store && row.hooked == *hooked)
            && !self.registration().is_taken(connection).map_err(at)?
            && Migrations { projection: name, known: migrations, place }.are_applied(connection)?)
    }

    /// Makes checkpoints and tables, or changes them to what this program has.
    fn register(&self, connection: &Connection, guard: &Guard) -> Result<(), Error> {
        let Self { name, migrations, target, .. } = self;
        let (place, store) = (target.place(), self.store_id());
        let at = |error| place.error("registering a projection", error);
        let registration = self.registration();
        if registration.is_taken(connection).map_err(at)? {
            let why =
                format!("`{name}` is the name of a reactor or another projection here; give one of them another name");
            return Err(Error::InvalidRequest { why });
        }
        registration.start(connection).map_err(at)?;
        let checkpoints = Checkpoint::read(connection, name).map_err(at)?;
        // Before the migrations: the tables of another store's read model stay as they are.
        let checkpoint = checkpoints.first().ok_or_else(|| self.no_checkpoint())?;
        checkpoint.of_store(name, store)?;
        self.adopt_new_events(connection, checkpoint)?;
        Migrations { projection: name, known: migrations, place }.apply(connection, guard)
    }

    /// What its checkpoints have in common.
    pub(super) fn registration(&self) -> Registration<'_> {
        let (name, store, hooked) = (&self.name, self.source.log().identity(), &self.hooked);
        Registration { name, store, hooked, partitions: self.partitions }
    }

    /// Hooks for events that were never recorded have missed nothing, so the read model can go on with them. Inside
    /// the transaction that writes the checkpoint: until it ends, nobody moves on with the former hooks.
    fn adopt_new_events(&self, connection: &Connection, checkpoint: &Checkpoint) -> Result<(), Error> {
        let Self { name, hooked, target, source, .. } = self;
        let added = hooked.only_added(&checkpoint.hooked);
        if added.is_empty() {
            return Ok(());
        }
        let recorded = |connection: &Connection| names::any_recorded(connection, &added);
        let recorded = match (target, source) {
            (Target::Store(_), _) => {
                recorded(connection).map_err(|error| target.place().error("looking up events", error))?
            }
            (Target::File(_), Source::Copy(_)) => checkpoint.position > 0,
            (Target::File(_), Source::Store(store)) => blocking::wait(store.readers().read(|reader| {
                recorded(&reader.connection).map_err(|error| reader.place.error("looking up events", error))
            }))?,
        };
        if recorded {
            return Ok(());
        }
        Checkpoint::adopt(connection, name, hooked)
            .map_err(|error| target.place().error("registering a projection", error))
    }
}

impl HookBuilder for SqliteProjectionBuilder {
    fn knows(mut self, stream_type: &'static str, event_types: &'static [&'static str]) -> Self {
        self.known.entry(stream_type).or_default().extend(event_types);
        self
    }
}

impl<E, F> Hook<E, F> for SqliteProjectionBuilder
where
    E: Event,
    F: Fn(&Tx<'_>, &E, &EventMeta) -> HookResult + Send + Sync + 'static,
{
    fn hook(mut self, hook: F) -> Self {
        let any: AnyHook = Arc::new(move |tx, event| {
            let decoded = E::decode_stored(event.encoded()).map_err(|source| Error::Decode {
                what: format!("event at position {}", event.meta.position),
                source,
            })?;
            hook(tx, &decoded, &event.meta)
        });
        for stored_as in E::TYPES {
            self.hooks.entry(stored_as).or_default().push(Arc::clone(&any));
        }
        self
    }
}

impl fmt::Debug for SqliteProjectionBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events: Vec<_> = self.hooks.keys().collect();
        f.debug_struct("SqliteProjectionBuilder")
            .field("name", &self.name)
            .field("migrations", &self.migrations.len())
            .field("events", &events)
            .field("filter", &self.filter)
            .field("policy", &self.policy)
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}
