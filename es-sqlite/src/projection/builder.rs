//! Building a projection: its tables, its hooks, its file.

use std::{
    collections::HashMap,
    fmt,
    path::Path,
    sync::{Arc, Weak},
};

use es_core::{Error, Event, EventMeta, EventStore, Filter, Hook, HookBuilder, RecordedEvent};

use rusqlite::Connection;

use super::{
    Inner, Migration, SqliteProjection, Tx, checkpoint::Checkpoint, hooked::Hooked, inline::InlineState,
    migrations::Migrations, target::Target,
};
use crate::{SqliteStore, blocking, names};

/// What a hook returns. With `?` it passes on any error: rusqlite's, an [`AppError`](es_core::AppError), or a text.
pub type HookResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A hook with its event's type taken away: it decodes, then calls.
pub(super) type AnyHook = Arc<dyn Fn(&Tx<'_>, &RecordedEvent) -> HookResult + Send + Sync>;

/// Builds a [`SqliteProjection`]; created by [`SqliteProjection::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct SqliteProjectionBuilder {
    name: String,
    migrations: Vec<Migration>,
    hooks: HashMap<&'static str, Vec<AnyHook>>,
}

impl SqliteProjectionBuilder {
    pub(super) fn new(name: String) -> Self {
        Self { name, migrations: Vec::new(), hooks: HashMap::new() }
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
        self.finish(Target::Store(store.clone()), store)
    }

    /// As [`build`](Self::build), in another file than the store's; creates the file when it does not exist. Writing
    /// the read model then does not take the time of the store's writer. Several read models may share one such file.
    ///
    /// # Errors
    /// As [`build`](Self::build); [`InvalidRequest`](Error::InvalidRequest) for the store's own file, and for one that
    /// is not a file of read models; [`StoreIdentityChanged`](Error::StoreIdentityChanged) when the read model was made
    /// from another store: delete its file to make it from this one.
    pub fn build_in(self, path: impl AsRef<Path>, store: &SqliteStore) -> Result<SqliteProjection, Error> {
        self.finish(Target::open(path.as_ref(), store)?, store)
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
    /// As [`build`](Self::build).
    pub fn build_inline(self, store: &SqliteStore) -> Result<SqliteProjection, Error> {
        let projection = self.build(store)?;
        let inner: Weak<Inner> = Arc::downgrade(&projection.inner);
        store.queue().follow(inner);
        Ok(projection)
    }

    fn finish(self, target: Target, store: &SqliteStore) -> Result<SqliteProjection, Error> {
        let Self { name, migrations, hooks } = self;
        check_name(&name)?;
        let filter = Filter::all().event_types(hooks.keys().copied());
        let hooked = Hooked::new(hooks.keys().copied());
        let inner = Arc::new(Inner {
            name,
            migrations,
            hooks,
            hooked,
            filter,
            target,
            store: store.clone(),
            inline: InlineState::default(),
        });
        inner.clear_scratch();
        let registered = Arc::clone(&inner);
        blocking::wait(inner.target.write(move |connection, guard| {
            let Inner { name, migrations, hooked, target, store, .. } = &*registered;
            let (place, store) = (target.place(), store.identity().id);
            let checkpoint = Checkpoint::start(connection, name, store, hooked)
                .and_then(|()| Checkpoint::read(connection, name))
                .map_err(|error| place.error("registering a projection", error))?;
            // Before the migrations: the tables of another store's read model stay as they are.
            let checkpoint = checkpoint.ok_or_else(|| registered.no_checkpoint())?.of_store(name, store)?;
            registered.adopt_new_events(connection, &checkpoint)?;
            Migrations { projection: name, known: migrations, place }.apply(connection, guard)
        }))?;
        Ok(SqliteProjection { inner, turn: Arc::default(), rebuilding: Arc::default() })
    }
}

impl Inner {
    /// Hooks for events that were never recorded have missed nothing, so the read model can go on with them. Inside
    /// the transaction that writes the checkpoint: until it ends, nobody moves on with the former hooks.
    fn adopt_new_events(&self, connection: &Connection, checkpoint: &Checkpoint) -> Result<(), Error> {
        let Self { name, hooked, target, store, .. } = self;
        let added = hooked.without(&checkpoint.hooked);
        if added.is_empty() || !checkpoint.hooked.without(hooked).is_empty() {
            return Ok(());
        }
        let recorded = |connection: &Connection| names::any_recorded(connection, &added);
        let recorded = match target {
            Target::Store(_) => {
                recorded(connection).map_err(|error| target.place().error("looking up events", error))?
            }
            Target::File(_) => blocking::wait(store.readers().read(|reader| {
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

impl HookBuilder for SqliteProjectionBuilder {}

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
            .finish()
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let invalid = |why: &str| Err(Error::InvalidId { what: "projection name", why: why.into() });
    match name {
        "" => invalid("it is empty"),
        name if name.len() > 256 => invalid("it is longer than 256 bytes"),
        name if name.chars().any(char::is_control) => invalid("it has a control character"),
        _ => Ok(()),
    }
}
