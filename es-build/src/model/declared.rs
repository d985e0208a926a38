//! What the `.proto` files say, with the place of each statement; nothing is linked yet.

use std::{collections::BTreeMap, ops::Deref};

use crate::{
    diagnostic::{Sources, Span},
    names::ProtoName,
};

/// All messages and services.
#[derive(Debug, Default)]
pub(crate) struct Protos {
    pub(crate) sources: Sources,
    /// In the order files are read and declare them.
    pub(crate) messages: Vec<Message>,
    pub(crate) enums: Vec<Enumeration>,
    pub(crate) services: Vec<Service>,
    /// For each file the files whose names it can use: itself, its imports, and what those import publicly.
    pub(crate) visible: BTreeMap<String, Vec<String>>,
}

impl Protos {
    pub(crate) fn message(&self, name: &ProtoName) -> Option<&Message> {
        self.messages.iter().find(|message| message.name == *name)
    }
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A message, at the top of a file or nested.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: ProtoName,
    /// Where its name stands.
    pub(crate) span: Span,
    pub(crate) docs: Vec<String>,
    pub(crate) fields: Vec<Field>,
    pub(crate) oneofs: Vec<String>,
    pub(crate) root: Option<Root>,
    pub(crate) event: Option<Event>,
    /// Not generated: an annotation, or mapped to a type that exists elsewhere.
    pub(crate) external: bool,
}

/// An enum.
#[derive(Debug)]
pub(crate) struct Enumeration {
    pub(crate) name: ProtoName,
    pub(crate) span: Span,
    pub(crate) values: Vec<EnumValue>,
    pub(crate) external: bool,
}

/// A value of an enum.
#[derive(Debug)]
pub(crate) struct EnumValue {
    pub(crate) name: String,
    pub(crate) number: i32,
    pub(crate) span: Span,
}

/// A field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) kind: Kind,
    /// The oneof it is a case of, which makes it no field of its own.
    pub(crate) oneof: Option<String>,
    /// The options of `(eventsourcing.field)` it sets, none of which is supported yet.
    pub(crate) reserved: Vec<At<&'static str>>,
}

/// As much of a field's type as matters for an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `string`
    Text,
    /// `optional string`
    OptionalText,
    /// Anything else, in the words of an error.
    Other(String),
}

/// `option (eventsourcing.aggregate_root)`
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) span: Span,
    pub(crate) id_field: At<String>,
    pub(crate) type_name: At<String>,
}

/// `option (eventsourcing.event)`
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) aggregate: At<String>,
    pub(crate) upcasts_to: Option<At<String>>,
    pub(crate) version: u32,
    pub(crate) aliases: Vec<At<String>>,
}

/// A service.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) package: String,
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) docs: Vec<String>,
    pub(crate) binding: Binding,
    pub(crate) methods: Vec<Method>,
}

/// What a service says of the aggregate it works on.
#[derive(Debug)]
pub(crate) enum Binding {
    /// Nothing.
    None,
    /// `(cqrs.service)` of type query, whatever other options there are.
    Query,
    /// `(eventsourcing.service)`
    Aggregate { span: Span, name: At<String>, root: At<String> },
    /// `(cqrs.service)` of type command, or without a type if its name ends with `CommandService`: the aggregate follows from its name.
    ByName,
}

/// One rpc.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) docs: Vec<String>,
    pub(crate) input: ProtoName,
    pub(crate) output: ProtoName,
    pub(crate) streaming: bool,
    /// `(eventsourcing.command) = { creates: .. }`, if it is set.
    pub(crate) creates: Option<At<bool>>,
}
