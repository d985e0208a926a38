//! Building a reactor.

use std::{fmt, future::Future, sync::Arc};

use super::{
    Commands, Reactor, Rejection,
    reacting::{OnRejected, Reacting},
};
use crate::{
    CheckpointStore, Event, EventLog, EventMeta, EventStore, Hook, HookBuilder, HookResult, Result, Transport,
    handling::{Hooks, Setup, handling_settings},
};

/// Where a new reactor starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// After the last event there is when it is first built: what has happened before has had its consequences.
    Now,
    /// At the beginning of the log: it reacts to everything that ever happened.
    Beginning,
}

/// Builds a [`Reactor`]; created by [`Reactor::builder`].
///
/// A hook is a closure `async |commands, event, meta| { ..; Ok(()) }` that owns all three. Each call gets a clone of the
/// closure, so what it captures must be cheap to clone.
#[must_use = "a builder does nothing until `build`"]
pub struct ReactorBuilder {
    setup: Setup,
    transport: Arc<dyn Transport>,
    hooks: Hooks<Commands>,
    on_rejected: Option<OnRejected>,
}

impl ReactorBuilder {
    pub(super) fn new(name: String, transport: Arc<dyn Transport>, start: StartFrom) -> Self {
        let mut setup = Setup::new(name);
        setup.at_head = start == StartFrom::Now;
        Self { setup, transport, hooks: Hooks::default(), on_rejected: None }
    }

    handling_settings!();

    /// Calls this when a hook passes on the refusal of one of its commands, by `?` for example; the hook then counts as
    /// done. A refusal that the hook deals with itself does not come here. Only refusals of the domain do: the state does
    /// not allow it, an argument or a value is out of range, there is no such aggregate, there is one already, a unique
    /// key is taken.
    ///
    /// ```
    /// # use es_core::ReactorBuilder;
    /// # fn example(builder: ReactorBuilder) -> ReactorBuilder {
    /// builder.on_rejected(async |rejection, meta| {
    ///     println!("{} refused {}: {}", rejection.route, meta.event_type, rejection.error);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn on_rejected<F, Fut>(mut self, hook: F) -> Self
    where
        F: FnOnce(Rejection, EventMeta) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = HookResult> + Send + 'static,
    {
        self.on_rejected = Some(Box::new(move |rejection, meta| Box::pin(hook.clone()(rejection, meta))));
        self
    }

    /// Registers the reactor with a store, whose log it will follow and which keeps its checkpoints.
    ///
    /// # Errors
    /// [`InvalidRequest`](crate::Error::InvalidRequest) without hooks or with a number of partitions that can't be,
    /// [`InvalidId`](crate::Error::InvalidId) for a name that can't be one,
    /// [`StoreIdentityChanged`](crate::Error::StoreIdentityChanged) when its checkpoint is of another store, or what the
    /// storage reports.
    pub async fn build<T>(self, store: &T) -> Result<Reactor>
    where
        T: EventStore + CheckpointStore + Clone,
    {
        self.build_over(store, store.clone()).await
    }

    /// As [`build`](Self::build), for a reactor that follows a log which can't keep its checkpoints: a copy of a store's
    /// log, in another process or on another machine.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub async fn build_over(self, log: &dyn EventLog, checkpoints: impl CheckpointStore) -> Result<Reactor> {
        let Self { setup, transport, hooks, on_rejected } = self;
        let events: Vec<_> = hooks.events().collect();
        let reacting = Reacting { name: setup.name().into(), transport, hooks, on_rejected };
        Ok(Reactor(Arc::new(setup.finish(reacting, events, log, checkpoints).await?)))
    }
}

impl HookBuilder for ReactorBuilder {
    fn knows(mut self, stream_type: &'static str, event_types: &'static [&'static str]) -> Self {
        self.setup.knows(stream_type, event_types);
        self
    }
}

impl<E, F, Fut> Hook<E, F> for ReactorBuilder
where
    E: Event,
    F: FnOnce(Commands, E, EventMeta) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = HookResult> + Send + 'static,
{
    fn hook(mut self, hook: F) -> Self {
        self.hooks.add(move |commands, event: E, meta| Box::pin(hook.clone()(commands, event, meta)));
        self
    }
}

impl fmt::Debug for ReactorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReactorBuilder")
            .field("setup", &self.setup)
            .field("transport", &self.transport)
            .field("hooks", &self.hooks)
            .finish_non_exhaustive()
    }
}
