//! The shape of a state: what decides whether an old snapshot still means the same.

use quote::ToTokens;
use syn::{Attribute, Data, DeriveInput, Fields};

use super::model::Snapshot;
use crate::fingerprint::fnv1a;
use crate::source::normalised;

/// FNV-1a over the state's name, the names and types of its fields in order, what its encoding is told about them in
/// attributes, and the version.
pub(super) fn of(input: &DeriveInput, snapshot: Snapshot, version: u32) -> u64 {
    let codec = match snapshot {
        Snapshot::None => return 0,
        Snapshot::Prost => "prost",
        Snapshot::Serde => "serde",
    };
    let mut shape = Shape { codec, text: format!("{codec} {version} {}", input.ident) };
    if snapshot == Snapshot::Serde {
        // `#[serde(rename_all = "..")]` shapes every field; prost's own attribute in this place shapes none.
        shape.attributes(&input.attrs);
    }
    match &input.data {
        Data::Struct(data) => shape.fields(&data.fields),
        Data::Enum(data) => {
            for variant in &data.variants {
                shape.attributes(&variant.attrs);
                shape.line("variant", &variant.ident);
                shape.fields(&variant.fields);
                if let Some((_, value)) = &variant.discriminant {
                    shape.line("=", value);
                }
            }
        }
        Data::Union(_) => {}
    }
    fnv1a(&shape.text)
}

/// The text that is hashed, one line per part.
struct Shape {
    codec: &'static str,
    text: String,
}

impl Shape {
    fn fields(&mut self, fields: &Fields) {
        for field in fields {
            self.attributes(&field.attrs);
            self.line("field", &field.ident);
            self.line(":", &field.ty);
        }
    }

    fn attributes(&mut self, attributes: &[Attribute]) {
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(self.codec)) {
            self.line("attribute", attribute);
        }
    }

    fn line(&mut self, what: &str, part: &impl ToTokens) {
        self.text.extend(["\n", what, " ", &normalised(part)]);
    }
}
