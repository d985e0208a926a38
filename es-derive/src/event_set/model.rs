//! What `#[derive(EventSet)]` knows about an enum of events.

use syn::{Attribute, Ident, LitStr, Type};

/// All events of one aggregate.
pub(crate) struct EventSet<'a> {
    /// The enum.
    pub(crate) name: &'a Ident,
    /// What it and its variants allow.
    pub(crate) lints: Vec<Attribute>,
    /// Its variants.
    pub(crate) events: Vec<Event<'a>>,
}

/// One variant of the enum.
pub(crate) struct Event<'a> {
    /// The variant's name.
    pub(crate) variant: &'a Ident,
    /// The struct inside.
    pub(crate) payload: &'a Type,
    /// The name it is stored under.
    pub(crate) stored_as: LitStr,
    /// Its schema version, when it is not the first.
    pub(crate) version: Option<u32>,
    /// Former names.
    pub(crate) aliases: Vec<LitStr>,
}

impl Event<'_> {
    /// Every name a store may hold this event under.
    pub(crate) fn names(&self) -> impl Iterator<Item = &LitStr> {
        std::iter::once(&self.stored_as).chain(&self.aliases)
    }
}
