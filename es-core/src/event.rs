//! Events: facts that are stored permanently, and the set of them that one aggregate knows.

use std::fmt::Debug;

use crate::error::{DecodeError, EncodeError};

/// How a payload is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// A protobuf message.
    #[default]
    Protobuf,
    /// A JSON document.
    Json,
}

/// A stored event as a decoder gets it: what it is called, and its bytes exactly as they were encoded once.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    /// Full proto name of the payload's message.
    pub event_type: &'a str,
    /// The schema version it was emitted with.
    pub schema_version: u32,
    /// How the payload is encoded.
    pub encoding: Encoding,
    /// The encoded event.
    pub payload: &'a [u8],
}

/// A fact of the domain. Written by es-build for messages marked `(eventsourcing.event)`, by `#[derive(EventSet)]` for
/// events in plain Rust.
pub trait Event: Clone + Debug + Send + Sync + 'static {
    /// The name it is stored under: the full proto name.
    const TYPE: &'static str;
    /// Every name this event is found under: its own, former names, and older events that are read as this one.
    const TYPES: &'static [&'static str] = &[Self::TYPE];
    /// The schema version stored beside the payload.
    const SCHEMA_VERSION: u32 = 1;
    /// How the payload is encoded.
    const ENCODING: Encoding = Encoding::Protobuf;

    /// Appends the encoded event to `buffer`.
    ///
    /// # Errors
    /// Where the event has no form in its encoding (JSON without string keys, for example).
    fn encode(&self, buffer: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// Decodes a payload of this very type.
    ///
    /// # Errors
    /// Where the bytes are no such event.
    fn decode(payload: &[u8]) -> Result<Self, DecodeError>;

    /// Decodes what a store holds under any of [`TYPES`](Self::TYPES); the place where older events become this one.
    ///
    /// # Errors
    /// Where the stored event is of another type or encoding, or its bytes are no such event.
    fn decode_stored(event: Encoded<'_>) -> Result<Self, DecodeError> {
        if !Self::TYPES.contains(&event.event_type) {
            return Err(DecodeError::unknown_type(event.event_type));
        }
        DecodeError::expect_encoding(Self::ENCODING, event.encoding)?;
        Self::decode(event.payload)
    }
}

/// All events of one aggregate, as one enum. Written by es-build, or by `#[derive(EventSet)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of events",
    label = "this is not an enum of events",
    note = "name the enum that es-build generated (`AccountEvent`), or derive `EventSet` on one of your own"
)]
pub trait EventSet: Clone + Debug + Send + Sync + 'static {
    /// Every stored name the set can decode.
    const TYPES: &'static [&'static str];

    /// [`Event::TYPE`] of the event inside.
    fn event_type(&self) -> &'static str;

    /// [`Event::SCHEMA_VERSION`] of the event inside.
    fn schema_version(&self) -> u32;

    /// [`Event::ENCODING`] of the event inside.
    fn encoding(&self) -> Encoding;

    /// Appends the encoded event to `buffer`.
    ///
    /// # Errors
    /// As [`Event::encode`].
    fn encode(&self, buffer: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// Decodes a stored event of the set.
    ///
    /// # Errors
    /// Where the type is not of the set, or its bytes are no such event.
    fn decode(event: Encoded<'_>) -> Result<Self, DecodeError>;
}

/// Says that an event belongs to the set of an aggregate; nothing else can be emitted on its root.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event of `{Set}`",
    label = "this is not an event of the aggregate",
    note = "in proto, an event names its aggregate: option (eventsourcing.event) = {{ aggregate_name: \"..\" }}; in plain Rust, it is a variant of the `#[derive(EventSet)]` enum; an older form (`upcasts_to`) is only read: handle and emit the newest"
)]
pub trait EventOf<Set: EventSet>: Event + Into<Set> {}

/// Reads an older form of an event as the event it has become. There for everything that converts by `From`.
#[diagnostic::on_unimplemented(
    message = "event `{Old}` can't be read as `{Self}`",
    label = "no conversion from `{Old}`",
    note = "its proto says `upcasts_to`: write `impl From<{Old}> for {Self}`"
)]
pub trait UpcastFrom<Old> {
    /// The event that the older one is read as.
    fn upcast_from(old: Old) -> Self;
}

#[diagnostic::do_not_recommend]
impl<Old, New: From<Old>> UpcastFrom<Old> for New {
    fn upcast_from(old: Old) -> Self {
        old.into()
    }
}
