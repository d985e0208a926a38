//! Older events are read as the newest, through the conversions the user writes.
#![deny(warnings)]

include!("../generated/history/_protos.rs");

use es_core::codegen::{Encoded, Encoding, Event, EventSet};
use history::v1::*;

impl From<PersonRegisteredV1> for PersonRegisteredV2 {
    fn from(old: PersonRegisteredV1) -> Self {
        Self { person_id: old.person_id, names: vec![old.first, old.last] }
    }
}

impl From<PersonRegisteredV2> for PersonRegistered {
    fn from(old: PersonRegisteredV2) -> Self {
        Self { person_id: old.person_id, name: old.names.join(" ") }
    }
}

fn main() {
    let mut payload = Vec::new();
    let old = PersonRegisteredV1 { person_id: "p".into(), first: "Ada".into(), last: "L".into() };
    old.encode(&mut payload).unwrap();
    for event_type in ["history.v1.PersonRegisteredV1", "crm.Registered"] {
        let stored = Encoded { event_type, schema_version: 1, encoding: Encoding::Protobuf, payload: &payload };
        let PersonEvent::PersonRegistered(event) = PersonEvent::decode(stored).unwrap() else { panic!("{event_type}") };
        assert_eq!((event.name.as_str(), PersonRegistered::SCHEMA_VERSION), ("Ada L", 3));
        let wrong = Encoded { encoding: Encoding::Json, ..stored };
        assert!(PersonEvent::decode(wrong).is_err());
    }
    let stored = Encoded { event_type: "crm.Renamed", schema_version: 1, encoding: Encoding::Protobuf, payload: &[] };
    assert!(matches!(PersonEvent::decode(stored), Ok(PersonEvent::PersonRenamed(_))));
    assert!(PersonEvent::decode(Encoded { event_type: "crm.Unknown", ..stored }).is_err());
    assert_eq!(PersonEvent::TYPES.len(), 7);
    assert_eq!(PersonEvent::TYPES.len(), PersonRegistered::TYPES.len() + PersonRenamed::TYPES.len());
}
