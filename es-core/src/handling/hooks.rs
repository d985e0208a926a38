//! Hooks with their events' types taken away.

use std::{collections::HashMap, fmt, sync::Arc};

use crate::{
    Error, Event, EventMeta, RecordedEvent, Result,
    guard::{guard, guard_call},
    store::BoxFuture,
};

/// What a hook returns. With `?` it passes on any error: one of this crate's, an [`AppError`](crate::AppError), a text.
pub type HookResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Decodes, then calls. `C` is what the hook is given beside the event.
pub(crate) type AnyHook<C> = Arc<dyn Fn(C, &RecordedEvent) -> Result<BoxFuture<'static, HookResult>> + Send + Sync>;

/// The hooks of a subscriber, by the names their events are stored under.
pub(crate) struct Hooks<C>(HashMap<&'static str, Vec<AnyHook<C>>>);

impl<C> Default for Hooks<C> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<C: 'static> Hooks<C> {
    pub(crate) fn add<E: Event>(
        &mut self,
        call: impl Fn(C, E, EventMeta) -> BoxFuture<'static, HookResult> + Send + Sync + 'static,
    ) {
        let any: AnyHook<C> = Arc::new(move |context, event| {
            let decoded = E::decode_stored(event.encoded()).map_err(|source| Error::Decode {
                what: format!("event at position {}", event.meta.position),
                source,
            })?;
            Ok(call(context, decoded, event.meta.clone()))
        });
        for stored_as in E::TYPES {
            self.0.entry(stored_as).or_default().push(Arc::clone(&any));
        }
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// The hooks of one event, in the order they were added.
    pub(crate) fn of(&self, event: &RecordedEvent) -> &[AnyHook<C>] {
        self.0.get(&*event.meta.event_type).map_or(&[], Vec::as_slice)
    }
}

/// Runs one hook to its end; a panic becomes an error.
pub(crate) async fn run<C>(hook: &AnyHook<C>, context: C, event: &RecordedEvent) -> HookResult {
    let what = || format!("a hook for {}", event.meta.event_type);
    let running = guard_call(what, || hook(context, event))??;
    match guard(running).await {
        Ok(ended) => ended,
        Err(_) => Err(Error::HandlerPanicked { what: what() }.into()),
    }
}

impl<C> fmt::Debug for Hooks<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
