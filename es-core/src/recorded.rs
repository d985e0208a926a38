//! What is read from a store.

use bytes::Bytes;

use crate::{Encoded, EventMeta, Tenant, Timestamp};

/// An event of one stream as a store hands it to a fold: borrowed from the store's buffer.
#[derive(Clone, Copy, Debug)]
pub struct RecordedRef<'a> {
    /// Its number in the stream, from 1.
    pub version: u64,
    /// Its number in the store, from 1.
    pub position: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// What it says.
    pub event: Encoded<'a>,
}

/// An event of the log, with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Everything except its content.
    pub meta: EventMeta,
    /// Its content, exactly as it was encoded once.
    pub payload: Bytes,
}

impl RecordedEvent {
    /// The event as a decoder wants it.
    pub fn encoded(&self) -> Encoded<'_> {
        Encoded {
            event_type: &self.meta.event_type,
            schema_version: self.meta.schema_version,
            encoding: self.meta.encoding,
            payload: &self.payload,
        }
    }
}

/// A piece of the log. It always ends where a commit ends, so no reader sees half a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The events that passed the filter, in order of position.
    pub events: Vec<RecordedEvent>,
    /// Everything up to this position was looked at; read on from here. When it reaches the head, all was seen.
    pub scanned_to: u64,
}

/// Which events of the log are wanted. Empty lists want everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// Only events of this tenant.
    pub tenant: Option<Tenant>,
    /// Only events of streams of these types.
    pub stream_types: Vec<String>,
    /// Only events stored under these names.
    pub event_types: Vec<String>,
}

impl Filter {
    /// Wants every event.
    pub fn all() -> Self {
        Self::default()
    }

    /// Wants events of this tenant only.
    #[must_use]
    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Wants events of streams of these types only.
    #[must_use]
    pub fn stream_types(mut self, types: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.stream_types.extend(types.into_iter().map(Into::into));
        self
    }

    /// Wants events stored under these names only.
    #[must_use]
    pub fn event_types(mut self, types: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.event_types.extend(types.into_iter().map(Into::into));
        self
    }

    /// Whether an event is wanted.
    pub fn admits(&self, meta: &EventMeta) -> bool {
        let listed = |list: &[String], name: &str| list.is_empty() || list.iter().any(|wanted| wanted == name);
        (self.tenant.is_none() || self.tenant == meta.stream.tenant)
            && listed(&self.stream_types, &meta.stream.stream_type)
            && listed(&self.event_types, &meta.event_type)
    }
}
