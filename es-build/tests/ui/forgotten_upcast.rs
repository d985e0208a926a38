//! `From<PersonRegisteredV1> for PersonRegisteredV2` is missing.

include!("../generated/history/_protos.rs");

use history::v1::*;

impl From<PersonRegisteredV2> for PersonRegistered {
    fn from(old: PersonRegisteredV2) -> Self {
        Self { person_id: old.person_id, name: old.names.join(" ") }
    }
}

fn main() {}
