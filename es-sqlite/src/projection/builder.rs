//! Building a projection: its tables, its hooks, its file.

use std::{collections::HashMap, fmt, path::Path, sync::Arc};

use es_core::{Error, Event, EventMeta, EventStore, Filter, Hook, HookBuilder, RecordedEvent};

use super::{Inner, SqliteProjection, Tx, checkpoint::Checkpoint, migrations::Migrations, target::Target};
use crate::{SqliteStore, blocking};

/// What a hook returns: `?` takes rusqlite's errors, an `AppError`, and plain text.
pub type HookResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A hook with its event's type taken away: it decodes, then calls.
pub(super) type AnyHook = Arc<dyn Fn(&Tx<'_>, &RecordedEvent) -> HookResult + Send + Sync>;

/// Builds a [`SqliteProjection`]; made by [`SqliteProjection::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct SqliteProjectionBuilder {
    name: String,
    migrations: Vec<String>,
    hooks: HashMap<&'static str, Vec<AnyHook>>,
}

impl SqliteProjectionBuilder {
    pub(super) fn new(name: String) -> Self {
        Self { name, migrations: Vec::new(), hooks: HashMap::new() }
    }

    /// Adds a migration: SQL that makes or changes the read model's tables. Migrations are numbered from 1 in the
    /// order they are added, and each is applied once; change a table by adding one, not by editing one.
    pub fn migration(mut self, sql: impl Into<String>) -> Self {
        self.migrations.push(sql.into());
        self
    }

    /// Opens the read model in the store's own file. Its pages are written by the store's writer, together with the
    /// commits that wait at that moment.
    ///
    /// # Errors
    /// [`InvalidRequest`](Error::InvalidRequest) for a migration that was changed after it was applied,
    /// [`Database`](Error::Database) for one that SQLite refuses, or what the storage reports.
    pub fn build(self, store: &SqliteStore) -> Result<SqliteProjection, Error> {
        self.finish(Target::Store(store.clone()), store)
    }

    /// Opens the read model in a file of its own, made when it does not exist. The store's writer is left alone.
    ///
    /// # Errors
    /// As [`build`](Self::build), and [`NotAStore`](Error::NotAStore) for a file that is no read model.
    pub fn build_in(self, path: impl AsRef<Path>, store: &SqliteStore) -> Result<SqliteProjection, Error> {
        self.finish(Target::open(path.as_ref(), store)?, store)
    }

    fn finish(self, target: Target, store: &SqliteStore) -> Result<SqliteProjection, Error> {
        let Self { name, migrations, hooks } = self;
        check_name(&name)?;
        let filter = Filter::all().event_types(hooks.keys().copied());
        let inner = Arc::new(Inner { name, migrations, hooks, filter, target, store: store.clone() });
        let registered = Arc::clone(&inner);
        blocking::wait(inner.target.write(move |connection, guard| {
            let Inner { name, migrations, target, store, .. } = &*registered;
            let place = target.place();
            Migrations { projection: name, sql: migrations, place }.apply(connection, guard)?;
            Checkpoint::start(connection, name, store.identity().id)
                .map_err(|error| place.error("registering a projection", error))
        }))?;
        Ok(SqliteProjection { inner, turn: Arc::default() })
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
