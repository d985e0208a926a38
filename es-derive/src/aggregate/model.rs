//! What `#[derive(Aggregate)]` knows about a state.

use syn::{Attribute, Ident, Type};

/// The state of an aggregate.
pub(crate) struct Aggregate<'a> {
    /// The struct or enum.
    pub(crate) state: &'a Ident,
    /// What it allows.
    pub(crate) lints: Vec<Attribute>,
    /// Its event set.
    pub(crate) event: Type,
    /// What its streams are stored under.
    pub(crate) stream_type: String,
    /// How it is kept.
    pub(crate) snapshot: Snapshot,
    /// Hash of its shape; 0 without snapshots.
    pub(crate) fingerprint: u64,
}

/// How the state is kept, so that a load need not replay every event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Snapshot {
    /// Not at all.
    #[default]
    None,
    /// As a protobuf message.
    Prost,
    /// As JSON.
    Serde,
}
