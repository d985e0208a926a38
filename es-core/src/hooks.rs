//! Typed `on_*` hooks: one generated trait per aggregate serves every builder of projections.

use crate::Event;

/// A builder that takes hooks for events. Each generated `…Hooks` trait adds its `on_*` methods to all of them.
pub trait HookBuilder: Sized {
    /// Adds a hook for an event named by its type; for names that two packages share.
    ///
    /// ```
    /// # use es_core::{Event, Hook, HookBuilder};
    /// fn add<E: Event, F, B: Hook<E, F>>(builder: B, hook: F) -> B {
    ///     builder.on::<E, _>(hook)
    /// }
    /// ```
    #[must_use]
    fn on<E: Event, F>(self, hook: F) -> Self
    where
        Self: Hook<E, F>,
    {
        Hook::<E, F>::hook(self, hook)
    }

    /// What generated code knows of the aggregate whose events are hooked: the type of its streams, and the stored name
    /// of each of its events. A builder that wants to stop at an event it has never heard of keeps it.
    #[must_use]
    fn knows(self, stream_type: &'static str, event_types: &'static [&'static str]) -> Self {
        let _ = (stream_type, event_types);
        self
    }
}

/// A builder that takes a hook of this shape for this event.
#[diagnostic::on_unimplemented(
    message = "this is not a hook that `{Self}` takes for `{E}`",
    label = "a hook of the wrong shape",
    note = "a SqliteProjection's hook is a closure `|tx, event, meta| {{ ..; Ok(()) }}`",
    note = "a Projection's is `async |event, meta| {{ ..; Ok(()) }}`, a Reactor's `async |commands, event, meta| ..`"
)]
pub trait Hook<E: Event, F>: HookBuilder {
    /// Adds the hook. A second hook for one event runs after the first.
    #[must_use]
    fn hook(self, hook: F) -> Self;
}
