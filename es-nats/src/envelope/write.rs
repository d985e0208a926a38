//! From an event to bytes, field by field: payload and metadata go in as they are stored.

use bytes::{BufMut, Bytes, BytesMut};
use es_core::{Encoding, RecordedEvent, StoreIdentity, prost_types, wire};
use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint},
};
use xxhash_rust::xxh3::xxh3_64;

use super::{CHECKSUM_BYTES, CHECKSUM_KEY, field};

/// Memory is taken in pieces of this size, each for many events.
const PIECE: usize = 64 << 10;

/// More than all fields of fixed length need, keys and lengths included.
const FIXED: usize = 160;

/// Writes the envelopes of one store.
#[derive(Debug)]
pub(crate) struct EnvelopeWriter {
    /// Store id and epoch, encoded.
    store: Vec<u8>,
    buffer: BytesMut,
}

impl EnvelopeWriter {
    pub(crate) fn new(identity: &StoreIdentity) -> Self {
        let mut store = Vec::with_capacity(52);
        text(field::STORE_ID, &identity.id.to_string(), &mut store);
        number(field::EPOCH, identity.epoch, &mut store);
        Self { store, buffer: BytesMut::new() }
    }

    /// The envelope of an event.
    pub(crate) fn whole(&mut self, event: &RecordedEvent) -> Bytes {
        self.envelope(event, event.payload.len(), |buffer| binary(field::PAYLOAD, &event.payload, buffer), |_| {})
    }

    /// The envelope of an event, with its payload left out.
    pub(crate) fn stub(&mut self, event: &RecordedEvent) -> Bytes {
        let left_out = |buffer: &mut BytesMut| {
            number(field::PAYLOAD_SIZE, event.payload.len() as u64, buffer);
            encode_key(field::PAYLOAD_CHECKSUM, WireType::SixtyFourBit, buffer);
            buffer.put_u64_le(xxh3_64(&event.payload));
        };
        self.envelope(event, 0, |_| {}, left_out)
    }

    fn envelope(
        &mut self,
        event: &RecordedEvent,
        payload_bytes: usize,
        payload: impl FnOnce(&mut BytesMut),
        left_out: impl FnOnce(&mut BytesMut),
    ) -> Bytes {
        let meta = &event.meta;
        let (stream, buffer) = (&*meta.stream, &mut self.buffer);
        let tenant = stream.tenant.as_ref().map_or("", |tenant| tenant.as_str());
        let names = tenant.len() + stream.stream_type.len() + stream.id.as_str().len() + meta.event_type.len();
        let most = self.store.len() + names + payload_bytes + meta.stored_origin.len() + FIXED;
        if buffer.capacity() < most {
            buffer.reserve(most.max(PIECE));
        }
        buffer.extend_from_slice(&self.store);
        text(field::TENANT, tenant, buffer);
        text(field::STREAM_TYPE, &stream.stream_type, buffer);
        text(field::STREAM_ID, stream.id.as_str(), buffer);
        number(field::VERSION, meta.version, buffer);
        number(field::POSITION, meta.position, buffer);
        text(field::EVENT_TYPE, &meta.event_type, buffer);
        number(field::SCHEMA_VERSION, meta.schema_version.into(), buffer);
        number(field::ENCODING, encoding(meta.encoding), buffer);
        payload(buffer);
        let recorded_at = prost_types::Timestamp::from(meta.recorded_at);
        encode_key(field::RECORDED_AT, WireType::LengthDelimited, buffer);
        encode_varint(recorded_at.encoded_len() as u64, buffer);
        recorded_at.encode_raw(buffer);
        binary(field::METADATA, &meta.stored_origin, buffer);
        number(field::COMMIT_FIRST, meta.commit_first, buffer);
        number(field::COMMIT_LAST, meta.commit_last, buffer);
        left_out(buffer);
        let checksum = xxh3_64(buffer);
        buffer.extend_from_slice(&CHECKSUM_KEY);
        buffer.put_u64_le(checksum);
        debug_assert!(buffer.len() <= most && buffer.len() > CHECKSUM_BYTES, "the estimate holds");
        buffer.split().freeze()
    }
}

fn encoding(encoding: Encoding) -> u64 {
    match encoding {
        Encoding::Protobuf => wire::Encoding::Protobuf as u64,
        Encoding::Json => wire::Encoding::Json as u64,
    }
}

/// Appends a field; as in proto3, an empty one is left out.
fn text(tag: u32, text: &str, buffer: &mut impl BufMut) {
    binary(tag, text.as_bytes(), buffer);
}

fn binary(tag: u32, bytes: &[u8], buffer: &mut impl BufMut) {
    if !bytes.is_empty() {
        encode_key(tag, WireType::LengthDelimited, buffer);
        encode_varint(bytes.len() as u64, buffer);
        buffer.put_slice(bytes);
    }
}

fn number(tag: u32, number: u64, buffer: &mut impl BufMut) {
    if number != 0 {
        encode_key(tag, WireType::Varint, buffer);
        encode_varint(number, buffer);
    }
}
