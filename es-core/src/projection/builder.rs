//! Building a projection.

use std::{fmt, future::Future, sync::Arc};

use super::{Hooked, Projection};
use crate::{
    CheckpointStore, Event, EventLog, EventMeta, EventStore, Hook, HookBuilder, HookResult, Result,
    handling::{Hooks, Setup, handling_settings},
};

/// The hooks of a builder take `event` and `meta`.
#[derive(Clone, Copy, Debug)]
pub struct NoState;

/// The hooks of a builder take `state`, `event` and `meta`.
#[derive(Clone, Copy, Debug)]
pub struct State<S>(S);

/// Builds a [`Projection`]; created by [`Projection::builder`].
///
/// A hook is a closure `async |event, meta| { ..; Ok(()) }` that owns both, or `async |state, event, meta| ..` after
/// [`with`](Self::with). Each call gets a clone of the closure, so what it captures must be cheap to clone.
#[must_use = "a builder does nothing until `build`"]
pub struct ProjectionBuilder<S = NoState> {
    pub(super) setup: Setup,
    hooks: Hooks<()>,
    state: S,
}

impl ProjectionBuilder {
    pub(super) fn new(name: String) -> Self {
        Self { setup: Setup::new(name), hooks: Hooks::default(), state: NoState }
    }

    /// Hands a clone of this to each hook added from here on, as its first argument: a connection pool, a client.
    pub fn with<S: Clone + Send + Sync + 'static>(self, state: S) -> ProjectionBuilder<State<S>> {
        ProjectionBuilder { setup: self.setup, hooks: self.hooks, state: State(state) }
    }
}

impl<S> ProjectionBuilder<S> {
    handling_settings!();

    /// Registers the projection with a store, whose log it will follow and which keeps its checkpoints. A new one starts
    /// at the beginning of the log.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::Error::InvalidRequest) without hooks or with a number of partitions that can't be,
    /// [`InvalidId`](crate::Error::InvalidId) for a name that can't be one,
    /// [`StoreIdentityChanged`](crate::Error::StoreIdentityChanged) when its checkpoint is of another store, or what the
    /// storage reports.
    pub async fn build<T>(self, store: &T) -> Result<Projection>
    where
        T: EventStore + CheckpointStore + Clone,
    {
        self.build_over(store, store.clone()).await
    }

    /// As [`build`](Self::build), for a projection that follows a log which can't keep its checkpoints: a copy of a store's
    /// log, in another process or on another machine.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub async fn build_over(self, log: &dyn EventLog, checkpoints: impl CheckpointStore) -> Result<Projection> {
        let Self { setup, hooks, .. } = self;
        let events: Vec<_> = hooks.events().collect();
        Ok(Projection(Arc::new(setup.finish(Hooked(hooks), events, log, checkpoints).await?)))
    }
}

impl<S> HookBuilder for ProjectionBuilder<S> {
    fn knows(mut self, stream_type: &'static str, event_types: &'static [&'static str]) -> Self {
        self.setup.knows(stream_type, event_types);
        self
    }
}

impl<E, F, Fut> Hook<E, F> for ProjectionBuilder<NoState>
where
    E: Event,
    F: FnOnce(E, EventMeta) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = HookResult> + Send + 'static,
{
    fn hook(mut self, hook: F) -> Self {
        self.hooks.add(move |(), event: E, meta| Box::pin(hook.clone()(event, meta)));
        self
    }
}

impl<S, E, F, Fut> Hook<E, F> for ProjectionBuilder<State<S>>
where
    S: Clone + Send + Sync + 'static,
    E: Event,
    F: FnOnce(S, E, EventMeta) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = HookResult> + Send + 'static,
{
    fn hook(mut self, hook: F) -> Self {
        let State(state) = self.state.clone();
        self.hooks.add(move |(), event: E, meta| Box::pin(hook.clone()(state.clone(), event, meta)));
        self
    }
}

impl<S> fmt::Debug for ProjectionBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProjectionBuilder").field("setup", &self.setup).field("hooks", &self.hooks).finish()
    }
}
