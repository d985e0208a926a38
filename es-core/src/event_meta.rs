//! What is known of a recorded event beside its content.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use prost::Message;

use crate::{ClaimChange, Encoding, Error, Result, StreamKey, Timestamp, error::DecodeError, wire};

/// Everything known of a recorded event except its content.
#[derive(Clone)]
#[non_exhaustive]
pub struct EventMeta {
    /// The stream it was recorded in.
    pub stream: Arc<StreamKey>,
    /// Its number in the stream, from 1.
    pub version: u64,
    /// Its number in the store, from 1.
    pub position: u64,
    /// The position of the first event of its commit.
    pub commit_first: u64,
    /// The position of the last event of its commit.
    pub commit_last: u64,
    /// The name it is stored under.
    pub event_type: Arc<str>,
    /// The schema version it was emitted with.
    pub schema_version: u32,
    /// How its payload is encoded.
    pub encoding: Encoding,
    /// When it was recorded, by the store's clock; never earlier than the event before it.
    pub recorded_at: Timestamp,
    /// The stored form of its origin: an encoded [`wire::EventMetadata`].
    pub stored_origin: Bytes,
    origin: OnceLock<Box<Origin>>,
}

/// Where an event came from: the command, and what its caller said about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The command that caused the event, if it had an id.
    pub command_id: Option<String>,
    /// What the event belongs to.
    pub correlation_id: Option<String>,
    /// What caused the command.
    pub causation_id: Option<String>,
    /// Who sent the command.
    pub principal_id: Option<String>,
    /// W3C trace context of the command.
    pub traceparent: Option<String>,
    /// Anything else the caller stored.
    pub entries: BTreeMap<String, String>,
    /// Unique keys taken and given back with the event.
    pub claims: Vec<ClaimChange>,
}

impl EventMeta {
    /// The meta of an event of this stream, version, position and type; a store sets the rest.
    pub fn new(stream: Arc<StreamKey>, version: u64, position: u64, event_type: Arc<str>) -> Self {
        Self {
            stream,
            version,
            position,
            commit_first: position,
            commit_last: position,
            event_type,
            schema_version: 1,
            encoding: Encoding::Protobuf,
            recorded_at: Timestamp::default(),
            stored_origin: Bytes::new(),
            origin: OnceLock::new(),
        }
    }

    /// Where the event came from. Decoded when it is first asked for, since most readers never ask.
    ///
    /// # Errors
    /// [`Error::Decode`] when what is stored is no such message.
    pub fn origin(&self) -> Result<&Origin> {
        if let Some(origin) = self.origin.get() {
            return Ok(origin);
        }
        let stored = wire::EventMetadata::decode(&*self.stored_origin).map_err(|error| Error::Decode {
            what: format!("metadata of the event at position {}", self.position),
            source: DecodeError::malformed(error),
        })?;
        Ok(self.origin.get_or_init(|| Box::new(stored.into())))
    }
}

impl From<wire::EventMetadata> for Origin {
    fn from(stored: wire::EventMetadata) -> Self {
        let id = |text: String| if text.is_empty() { None } else { Some(text) };
        Self {
            command_id: id(stored.command_id),
            correlation_id: id(stored.correlation_id),
            causation_id: id(stored.causation_id),
            principal_id: id(stored.principal_id),
            traceparent: id(stored.traceparent),
            entries: stored.entries,
            claims: stored.claims.into_iter().map(Into::into).collect(),
        }
    }
}

/// Whether the origin was asked for makes no difference.
impl PartialEq for EventMeta {
    fn eq(&self, other: &Self) -> bool {
        let fields = |meta: &Self| {
            (meta.version, meta.position, meta.commit_first, meta.commit_last, meta.schema_version, meta.encoding)
        };
        fields(self) == fields(other)
            && self.stream == other.stream
            && self.event_type == other.event_type
            && self.recorded_at == other.recorded_at
            && self.stored_origin == other.stored_origin
    }
}

impl Eq for EventMeta {}

impl fmt::Debug for EventMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventMeta")
            .field("stream", &self.stream)
            .field("version", &self.version)
            .field("position", &self.position)
            .field("commit", &(self.commit_first..=self.commit_last))
            .field("event_type", &self.event_type)
            .field("schema_version", &self.schema_version)
            .field("encoding", &self.encoding)
            .field("recorded_at", &self.recorded_at)
            .field("origin", &self.origin())
            .finish_non_exhaustive()
    }
}
