//! From bytes to an event. Nothing that is missing or wrong is replaced by a default.

use std::{str, sync::Arc};

use bytes::{Buf, Bytes};
use es_core::{
    AggregateId, Encoding, Error, EventMeta, Result, StoreIdentity, StreamKey, Tenant, error::DecodeError, prost_types,
    wire,
};
use prost::{
    Message,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::{CHECKSUM_BYTES, CHECKSUM_KEY, Content, Envelope, field};

/// The fields as they were found.
#[derive(Default)]
struct Fields<'a> {
    store_id: &'a str,
    epoch: u64,
    tenant: &'a str,
    stream_type: &'a str,
    stream_id: &'a str,
    version: u64,
    position: u64,
    event_type: &'a str,
    schema_version: u64,
    encoding: u64,
    payload: &'a [u8],
    recorded_at: Option<&'a [u8]>,
    metadata: &'a [u8],
    commit_first: u64,
    commit_last: u64,
    payload_size: u64,
    payload_checksum: u64,
}

pub(super) fn envelope(bytes: &Bytes) -> Result<Envelope> {
    let (fields, checksum) = verified(bytes)?;
    let fields = Fields::read(fields)?;
    fields.check()?;
    let id = Uuid::try_parse(fields.store_id).map_err(|_| fields.wrong("its store id is no UUID"))?;
    let tenant = match fields.tenant {
        "" => None,
        tenant => Some(Tenant::new(tenant).map_err(|error| fields.wrong(error.to_string()))?),
    };
    let aggregate = AggregateId::new(fields.stream_id).map_err(|error| fields.wrong(error.to_string()))?;
    let stream = Arc::new(StreamKey::new(tenant, fields.stream_type, aggregate));
    let mut meta = EventMeta::new(stream, fields.version, fields.position, fields.event_type.into());
    (meta.commit_first, meta.commit_last) = (fields.commit_first, fields.commit_last);
    meta.schema_version =
        u32::try_from(fields.schema_version).map_err(|_| fields.wrong("its schema version is out of range"))?;
    meta.encoding = fields.encoding()?;
    meta.recorded_at = fields.recorded_at()?.into();
    meta.stored_origin = bytes.slice_ref(fields.metadata);
    let content = match fields.payload_size {
        0 => Content::Whole(bytes.slice_ref(fields.payload)),
        bytes => Content::LeftOut { bytes, checksum: fields.payload_checksum },
    };
    Ok(Envelope { store: StoreIdentity { id, epoch: fields.epoch }, meta, content, checksum })
}

/// The bytes in front of the checksum, which is theirs.
fn verified(bytes: &[u8]) -> Result<(&[u8], u64)> {
    let corrupt = |why: &str| Error::Corrupt { what: "envelope".into(), why: why.into() };
    let cut_off = || corrupt("it does not end with a checksum; it is cut off, or no envelope");
    let at = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or_else(cut_off)?;
    let (fields, end) = bytes.split_at(at);
    let mut checksum = end.strip_prefix(&CHECKSUM_KEY).ok_or_else(cut_off)?;
    let checksum = checksum.get_u64_le();
    if xxh3_64(fields) != checksum {
        return Err(corrupt("its checksum differs"));
    }
    Ok((fields, checksum))
}

impl<'a> Fields<'a> {
    fn read(mut rest: &'a [u8]) -> Result<Self> {
        let mut fields = Self::default();
        while !rest.is_empty() {
            fields.field(&mut rest)?;
        }
        Ok(fields)
    }

    fn field(&mut self, rest: &mut &'a [u8]) -> Result<()> {
        let (tag, wire_type) = decode_key(rest).map_err(malformed)?;
        match tag {
            field::STORE_ID => self.store_id = text(tag, wire_type, rest)?,
            field::EPOCH => self.epoch = number(tag, wire_type, rest)?,
            field::TENANT => self.tenant = text(tag, wire_type, rest)?,
            field::STREAM_TYPE => self.stream_type = text(tag, wire_type, rest)?,
            field::STREAM_ID => self.stream_id = text(tag, wire_type, rest)?,
            field::VERSION => self.version = number(tag, wire_type, rest)?,
            field::POSITION => self.position = number(tag, wire_type, rest)?,
            field::EVENT_TYPE => self.event_type = text(tag, wire_type, rest)?,
            field::SCHEMA_VERSION => self.schema_version = number(tag, wire_type, rest)?,
            field::ENCODING => self.encoding = number(tag, wire_type, rest)?,
            field::PAYLOAD => self.payload = binary(tag, wire_type, rest)?,
            field::RECORDED_AT => self.recorded_at = Some(binary(tag, wire_type, rest)?),
            field::METADATA => self.metadata = binary(tag, wire_type, rest)?,
            field::COMMIT_FIRST => self.commit_first = number(tag, wire_type, rest)?,
            field::COMMIT_LAST => self.commit_last = number(tag, wire_type, rest)?,
            field::PAYLOAD_SIZE => self.payload_size = number(tag, wire_type, rest)?,
            field::PAYLOAD_CHECKSUM => self.payload_checksum = fixed(tag, wire_type, rest)?,
            // A newer program wrote it.
            _ => skip_field(wire_type, tag, rest, DecodeContext::default()).map_err(malformed)?,
        }
        Ok(())
    }

    /// Refuses what no relay writes.
    fn check(&self) -> Result<()> {
        let wrong = [
            (self.position == 0, "it has no position"),
            (self.version == 0, "it has no version"),
            (self.event_type.is_empty(), "it has no event type"),
            (self.stream_type.is_empty(), "it has no stream type"),
            (
                self.commit_first == 0 || self.commit_first > self.position || self.position > self.commit_last,
                "its position is not in its commit",
            ),
            (self.payload_size != 0 && !self.payload.is_empty(), "it has a payload that it says was left out"),
        ];
        wrong.iter().find(|(is_wrong, _)| *is_wrong).map_or(Ok(()), |(_, why)| Err(self.wrong(*why)))
    }

    fn encoding(&self) -> Result<Encoding> {
        match i32::try_from(self.encoding).ok().and_then(|encoding| wire::Encoding::try_from(encoding).ok()) {
            Some(wire::Encoding::Protobuf) => Ok(Encoding::Protobuf),
            Some(wire::Encoding::Json) => Ok(Encoding::Json),
            None => Err(self.wrong(format!("its encoding, {}, is not known here", self.encoding))),
        }
    }

    fn recorded_at(&self) -> Result<prost_types::Timestamp> {
        let encoded = self.recorded_at.ok_or_else(|| self.wrong("it has no time of recording"))?;
        let time = prost_types::Timestamp::decode(encoded).map_err(malformed)?;
        match time.nanos {
            0..1_000_000_000 => Ok(time),
            _ => Err(self.wrong("its time of recording is none")),
        }
    }

    fn wrong(&self, why: impl Into<String>) -> Error {
        let what = match self.position {
            0 => "envelope".into(),
            position => format!("envelope of the event at position {position}"),
        };
        Error::Corrupt { what, why: why.into() }
    }
}

fn malformed(source: impl Into<es_core::error::Source>) -> Error {
    Error::Decode { what: "envelope".into(), source: DecodeError::malformed(source) }
}

fn expect(tag: u32, expected: WireType, actual: WireType) -> Result<()> {
    match actual == expected {
        true => Ok(()),
        false => Err(malformed(format!("field {tag} is written as {actual:?}, not as {expected:?}"))),
    }
}

fn number(tag: u32, wire_type: WireType, rest: &mut &[u8]) -> Result<u64> {
    expect(tag, WireType::Varint, wire_type)?;
    decode_varint(rest).map_err(malformed)
}

fn fixed(tag: u32, wire_type: WireType, rest: &mut &[u8]) -> Result<u64> {
    expect(tag, WireType::SixtyFourBit, wire_type)?;
    rest.try_get_u64_le().map_err(malformed)
}

fn binary<'a>(tag: u32, wire_type: WireType, rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    expect(tag, WireType::LengthDelimited, wire_type)?;
    let length = decode_varint(rest).map_err(malformed)?;
    let past_the_end = || malformed(format!("field {tag} is longer than the message"));
    let length = usize::try_from(length).map_err(|_| past_the_end())?;
    let (bytes, after) = rest.split_at_checked(length).ok_or_else(past_the_end)?;
    *rest = after;
    Ok(bytes)
}

fn text<'a>(tag: u32, wire_type: WireType, rest: &mut &'a [u8]) -> Result<&'a str> {
    str::from_utf8(binary(tag, wire_type, rest)?).map_err(malformed)
}
