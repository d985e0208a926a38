//! What generated code is made from: aggregates, events and services, without the descriptors they were read from.

pub(crate) mod declared;

use crate::names::ProtoName;

/// Everything that is generated, checked and linked.
#[derive(Debug, Default)]
pub(crate) struct System {
    pub(crate) aggregates: Vec<Aggregate>,
    pub(crate) services: Vec<Service>,
}

/// An aggregate: its state, and the events that make it.
#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    /// As events and services spell it: "Account".
    pub(crate) name: String,
    pub(crate) root: ProtoName,
    /// What its streams are stored under.
    pub(crate) stream_type: String,
    /// Name of the root's field that holds the id.
    pub(crate) id_field: String,
    /// The events that are emitted, in the order they are declared.
    pub(crate) events: Vec<Event>,
    /// Older forms of them, which are only read.
    pub(crate) old_events: Vec<Event>,
    /// Generated elsewhere, and only named here.
    pub(crate) external: bool,
}

impl Aggregate {
    /// The package that its enum of events, its repository and its hooks are generated in.
    pub(crate) fn package(&self) -> &str {
        &self.root.package
    }
}

/// An event of an aggregate.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) message: ProtoName,
    pub(crate) docs: Vec<String>,
    /// Schema version, where it is not the first.
    pub(crate) version: Option<u32>,
    /// What follows `on_` in the name of its hook: "account_opened".
    pub(crate) hook: String,
    /// The names it is stored under: its own first, then former ones.
    pub(crate) own_types: Vec<String>,
    /// Older events that are read as this one.
    pub(crate) upcasts: Vec<Upcast>,
    /// Generated elsewhere, and only named here.
    pub(crate) external: bool,
}

impl Event {
    /// Every name the event can be read from.
    pub(crate) fn all_types(&self) -> impl Iterator<Item = &String> {
        self.own_types.iter().chain(self.upcasts.iter().flat_map(|upcast| &upcast.types))
    }
}

/// An older event, and every name that one can be read from.
#[derive(Clone, Debug)]
pub(crate) struct Upcast {
    pub(crate) message: ProtoName,
    pub(crate) types: Vec<String>,
}

/// A service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) package: String,
    pub(crate) name: String,
    pub(crate) docs: Vec<String>,
    /// The aggregate a command service works on; none for a query service.
    pub(crate) aggregate: Option<Aggregate>,
    pub(crate) methods: Vec<Method>,
}

/// One rpc.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    pub(crate) name: String,
    pub(crate) docs: Vec<String>,
    pub(crate) input: ProtoName,
    pub(crate) output: ProtoName,
    pub(crate) target: Target,
}

/// Which aggregate a command is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Not a command.
    None,
    /// An aggregate that exists, named by this field of the command.
    Existing(IdField),
    /// A new one, named by this field.
    Create(IdField),
    /// A new one, whose id is minted.
    Mint,
}

/// The field of a command that holds the aggregate's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdField {
    pub(crate) name: String,
    /// Declared `optional`, so that it is read through prost's getter.
    pub(crate) optional: bool,
}
