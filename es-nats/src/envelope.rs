//! A recorded event as it leaves its store: the bytes of an `eventsourcing.Envelope`.

mod read;
#[cfg(test)]
mod tests;
mod write;

use bytes::Bytes;
use es_core::{EventMeta, RecordedEvent, Result, StoreIdentity};

pub(crate) use self::write::EnvelopeWriter;

/// The numbers of the fields in `proto/eventsourcing/envelope.proto`.
mod field {
    pub(super) const STORE_ID: u32 = 1;
    pub(super) const EPOCH: u32 = 2;
    pub(super) const TENANT: u32 = 3;
    pub(super) const STREAM_TYPE: u32 = 4;
    pub(super) const STREAM_ID: u32 = 5;
    pub(super) const VERSION: u32 = 6;
    pub(super) const POSITION: u32 = 7;
    pub(super) const EVENT_TYPE: u32 = 8;
    pub(super) const SCHEMA_VERSION: u32 = 9;
    pub(super) const ENCODING: u32 = 10;
    pub(super) const PAYLOAD: u32 = 11;
    pub(super) const RECORDED_AT: u32 = 12;
    pub(super) const METADATA: u32 = 13;
    pub(super) const COMMIT_FIRST: u32 = 14;
    pub(super) const COMMIT_LAST: u32 = 15;
    pub(super) const PAYLOAD_SIZE: u32 = 17;
    pub(super) const PAYLOAD_CHECKSUM: u32 = 18;
}

/// What stands in front of the checksum: field 16, fixed64.
const CHECKSUM_KEY: [u8; 2] = [0x81, 0x01];
/// Bytes of the checksum and what stands in front of it.
const CHECKSUM_BYTES: usize = CHECKSUM_KEY.len() + 8;

/// A recorded event and the store it is from: what a message of a relayed stream says.
///
/// ```
/// # use es_nats::{Content, Envelope};
/// # fn example(message: async_nats::Message) -> es_core::Result<()> {
/// let envelope = Envelope::decode(&message.payload)?;
/// println!("{} at position {}", envelope.meta.event_type, envelope.meta.position);
/// if let Content::LeftOut { bytes, .. } = envelope.content {
///     println!("its {bytes} bytes were more than the server takes");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope {
    /// The store the event was recorded in, with the epoch in which it was published.
    pub store: StoreIdentity,
    /// Everything except its content.
    pub meta: EventMeta,
    /// Its content.
    pub content: Content,
    /// XXH3-64 of all of the above, as it was published.
    pub checksum: u64,
}

/// The content of an event in an [`Envelope`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The payload, exactly as it was encoded once.
    Whole(Bytes),
    /// The event was larger than the server takes; the store has it.
    LeftOut {
        /// Bytes of the payload.
        bytes: u64,
        /// XXH3-64 of the payload.
        checksum: u64,
    },
}

impl Envelope {
    /// Decodes an envelope. Payload and metadata are slices of `bytes`, not copies.
    ///
    /// # Errors
    /// [`Corrupt`](es_core::Error::Corrupt) for bytes that were cut off or changed, or whose fields contradict each
    /// other; [`Decode`](es_core::Error::Decode) for bytes that are no envelope although their checksum is right.
    pub fn decode(bytes: &Bytes) -> Result<Self> {
        read::envelope(bytes)
    }

    /// The event, or `None` when its content was left out.
    pub fn into_event(self) -> Option<RecordedEvent> {
        match self.content {
            Content::Whole(payload) => Some(RecordedEvent { meta: self.meta, payload }),
            Content::LeftOut { .. } => None,
        }
    }
}
