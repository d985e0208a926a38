use std::sync::Arc;

use es_core::{
    AggregateId, ClaimChange, CommandId, Encoding, Error, Metadata, StreamKey, Tenant, Timestamp, prost_types, wire,
};
use proptest::{collection::vec, prelude::*};
use prost::Message;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::*;

fn identity() -> StoreIdentity {
    StoreIdentity { id: Uuid::from_u128(7), epoch: 3 }
}

prop_compose! {
    fn any_event()(
        ids in (proptest::option::of("[a-z]{1,9}"), "[a-z.A-Z]{1,20}", "[!-~]{1,40}", "[a-z.A-Z]{1,20}"),
        place in (1_u64.., 1_u64..1 << 40, 0_u64..1_000, 0_u64..1_000),
        form in (any::<u32>(), any::<bool>(), any::<i64>()),
        payload in vec(any::<u8>(), 0..400),
        origin in vec(any::<u8>(), 0..60),
    ) -> RecordedEvent {
        let (tenant, stream_type, id, event_type) = ids;
        let tenant = tenant.map(|tenant| Tenant::new(tenant).unwrap());
        let stream = StreamKey::new(tenant, stream_type, AggregateId::new(id).unwrap());
        let (version, position, before, after) = place;
        let mut meta = EventMeta::new(Arc::new(stream), version, position, event_type.into());
        (meta.commit_first, meta.commit_last) = (position.saturating_sub(before).max(1), position + after);
        (meta.schema_version, meta.recorded_at) = (form.0, Timestamp::from_micros(form.2));
        meta.encoding = if form.1 { Encoding::Json } else { Encoding::Protobuf };
        meta.stored_origin = origin.into();
        RecordedEvent { meta, payload: payload.into() }
    }
}

fn written(event: &RecordedEvent) -> Bytes {
    EnvelopeWriter::new(&identity()).whole(event)
}

/// The bytes with a right checksum at their end.
fn sealed(fields: &[u8]) -> Bytes {
    [fields, &CHECKSUM_KEY, &xxh3_64(fields).to_le_bytes()].concat().into()
}

fn fields(envelope: &Bytes) -> &[u8] {
    &envelope[..envelope.len() - CHECKSUM_BYTES]
}

proptest! {
    #[test]
    fn every_event_comes_back_from_its_envelope(event in any_event()) {
        let envelope = Envelope::decode(&written(&event)).unwrap();
        prop_assert_eq!(&envelope.store, &identity());
        prop_assert_eq!(envelope.into_event(), Some(event));
    }

    #[test]
    fn a_stub_has_everything_but_the_payload(event in any_event(), payload in vec(any::<u8>(), 1..2_000)) {
        let event = RecordedEvent { payload: payload.into(), ..event };
        let stub = EnvelopeWriter::new(&identity()).stub(&event);
        prop_assert!(stub.len() < 400);
        let stub = Envelope::decode(&stub).unwrap();
        prop_assert_eq!(&stub.meta, &event.meta);
        let (bytes, checksum) = (event.payload.len() as u64, xxh3_64(&event.payload));
        prop_assert_eq!(&stub.content, &Content::LeftOut { bytes, checksum });
        prop_assert_eq!(stub.into_event(), None);
    }

    #[test]
    fn what_was_cut_off_or_changed_is_an_error(event in any_event(), at: prop::sample::Index, flip in 1..=u8::MAX) {
        let envelope = written(&event);
        let end = at.index(envelope.len());
        let corrupt = |bytes: &Bytes| matches!(Envelope::decode(bytes), Err(Error::Corrupt { .. }));
        prop_assert!(corrupt(&envelope.slice(..end)));
        prop_assert!(corrupt(&envelope.slice(end + 1..)));
        let mut flipped = envelope.to_vec();
        flipped[end] ^= flip;
        prop_assert!(corrupt(&flipped.into()));
    }

    #[test]
    fn bytes_with_a_right_checksum_are_read_or_refused(event in any_event(), noise in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)) {
        let mut bytes = fields(&written(&event)).to_vec();
        for (at, byte) in noise {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        match Envelope::decode(&sealed(&bytes)) {
            Ok(_) | Err(Error::Corrupt { .. } | Error::Decode { .. }) => {}
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}

#[test]
fn other_programs_read_an_envelope_by_its_proto() {
    let command = CommandId::new("c-1").unwrap();
    let claims = [ClaimChange { constraint: "email".into(), key: "ada@x".into(), release: false }];
    let stream =
        StreamKey::new(Some(Tenant::new("acme").unwrap()), "bank.v1.Account", AggregateId::new("acc-1").unwrap());
    let mut meta = EventMeta::new(Arc::new(stream), 2, 17, "bank.v1.Opened".into());
    (meta.commit_first, meta.commit_last) = (16, 18);
    meta.recorded_at = Timestamp::from_micros(1_500_001);
    meta.stored_origin = Metadata::default().principal("ada").to_stored(Some(&command), &claims).into();
    let event = RecordedEvent { meta, payload: Bytes::from_static(b"payload") };
    let bytes = written(&event);
    let message = wire::Envelope {
        store_id: identity().id.to_string(),
        epoch: 3,
        tenant: "acme".into(),
        stream_type: "bank.v1.Account".into(),
        stream_id: "acc-1".into(),
        version: 2,
        position: 17,
        event_type: "bank.v1.Opened".into(),
        schema_version: 1,
        encoding: wire::Encoding::Protobuf.into(),
        payload: b"payload".into(),
        recorded_at: Some(prost_types::Timestamp { seconds: 1, nanos: 500_001_000 }),
        metadata: Some(wire::EventMetadata {
            command_id: "c-1".into(),
            principal_id: "ada".into(),
            claims: claims.iter().map(Into::into).collect(),
            ..Default::default()
        }),
        commit_first: 16,
        commit_last: 18,
        checksum: xxh3_64(fields(&bytes)),
        ..Default::default()
    };
    assert_eq!(bytes, message.encode_to_vec());

    let stub = EnvelopeWriter::new(&identity()).stub(&event);
    let left_out = wire::Envelope {
        payload: Vec::new(),
        payload_size: 7,
        payload_checksum: xxh3_64(b"payload"),
        checksum: xxh3_64(fields(&stub)),
        ..message
    };
    assert_eq!(wire::Envelope::decode(stub).unwrap(), left_out);
}

#[test]
fn nothing_that_is_missing_is_made_up() {
    let message = || wire::Envelope {
        store_id: identity().id.to_string(),
        stream_type: "bank.v1.Account".into(),
        stream_id: "acc-1".into(),
        version: 1,
        position: 17,
        event_type: "bank.v1.Opened".into(),
        recorded_at: Some(prost_types::Timestamp::default()),
        commit_first: 17,
        commit_last: 17,
        ..Default::default()
    };
    let decode = |message: wire::Envelope| Envelope::decode(&sealed(&message.encode_to_vec()));
    assert!(decode(message()).is_ok());
    let broken = [
        ("store id", wire::Envelope { store_id: String::new(), ..message() }),
        ("aggregate id", wire::Envelope { stream_id: String::new(), ..message() }),
        ("aggregate id", wire::Envelope { stream_id: "a b".into(), ..message() }),
        ("tenant", wire::Envelope { tenant: "a\nb".into(), ..message() }),
        ("stream type", wire::Envelope { stream_type: String::new(), ..message() }),
        ("version", wire::Envelope { version: 0, ..message() }),
        ("position", wire::Envelope { position: 0, ..message() }),
        ("event type", wire::Envelope { event_type: String::new(), ..message() }),
        ("encoding", wire::Envelope { encoding: 9, ..message() }),
        ("time", wire::Envelope { recorded_at: None, ..message() }),
        ("time", wire::Envelope { recorded_at: Some(prost_types::Timestamp { seconds: 0, nanos: -1 }), ..message() }),
        ("commit", wire::Envelope { commit_first: 18, ..message() }),
        ("commit", wire::Envelope { commit_last: 0, ..message() }),
        ("left out", wire::Envelope { payload: vec![1], payload_size: 1, ..message() }),
    ];
    for (what, message) in broken {
        let error = decode(message).unwrap_err().to_string();
        assert!(error.contains(what), "{what}: {error}");
    }
}

#[test]
fn a_field_of_a_newer_program_is_passed_over() {
    let stream = StreamKey::new(None, "bank.v1.Account", AggregateId::new("acc-1").unwrap());
    let event = RecordedEvent {
        meta: EventMeta::new(Arc::new(stream), 1, 1, "bank.v1.Opened".into()),
        payload: Bytes::from_static(b"payload"),
    };
    let newer = [fields(&written(&event)), &[0xf2, 0x01, 0x01, b'x']].concat();
    assert_eq!(Envelope::decode(&sealed(&newer)).unwrap().into_event(), Some(event));
}
