//! What is read from a store.

use bytes::Bytes;

use crate::{Encoded, EventMeta, Timestamp};

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
