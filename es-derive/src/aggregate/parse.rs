//! From the derive's input to the [`model`](super::model), with every mistake noted.

use syn::meta::ParseNestedMeta;
use syn::{Data, DeriveInput, Expr, Ident, LitStr, Path, Type};

use super::fingerprint;
use super::model::{Aggregate, Snapshot};
use crate::attribute::{self, Slot};
use crate::carried::lints;
use crate::errors::Errors;
use crate::name::stored_name;

/// The model, when enough is known for an impl. With some mistakes it is: then uses elsewhere do not fail as well.
pub(super) fn parse<'a>(input: &'a DeriveInput, errors: &mut Errors) -> Option<Aggregate<'a>> {
    let keys = Keys::read(input, errors);
    let has_a_usable_shape = check_shape(input, errors);
    if keys.are_complete {
        check_presence(input, &keys, errors);
    }

    let stream_type =
        keys.stream_type.value().and_then(|name| stored_name(&name, "the stream type", "bank.v1.Account", errors));
    let version = keys.snapshot_version.value();
    let has_unknown_snapshots = keys.snapshot.is_given();
    let snapshot = keys.snapshot.value();
    let is_without_snapshots = snapshot.map_or(!has_unknown_snapshots, |snapshot| snapshot == Snapshot::None);
    if let (true, Some((key, _))) = (is_without_snapshots, &version) {
        errors.at(key, "`snapshot_version` has no effect without `snapshot = prost` or `snapshot = serde`");
    }
    let snapshot = snapshot.unwrap_or_default();
    if !has_a_usable_shape {
        return None;
    }
    Some(Aggregate {
        state: &input.ident,
        lints: lints(&input.attrs),
        event: keys.event.value()?,
        stream_type: stream_type.unwrap_or_default(),
        snapshot,
        fingerprint: fingerprint::of(input, snapshot, version.map_or(0, |(_, version)| version)),
    })
}

/// What must be given.
fn check_presence(input: &DeriveInput, keys: &Keys, errors: &mut Errors) {
    let message = match (keys.event.is_given(), keys.stream_type.is_given()) {
        (true, true) => return,
        (false, false) => {
            "an aggregate needs its event set and the name its streams are stored under: \
             `#[aggregate(event = AccountEvent, type = \"bank.v1.Account\")]`"
        }
        (false, true) => "an aggregate needs its event set: `#[aggregate(event = AccountEvent, ..)]`",
        (true, false) => {
            "an aggregate needs the name its streams are stored under: `#[aggregate(type = \"bank.v1.Account\", ..)]`; \
             the name must survive renames in the code, so it is not derived from the code"
        }
    };
    errors.at(&input.ident, message);
}

/// Whether an impl can be written for the item at all.
fn check_shape(input: &DeriveInput, errors: &mut Errors) -> bool {
    let is_generic = !input.generics.params.is_empty();
    if is_generic {
        errors.at(&input.generics, "an aggregate can't be generic: it has one stream type");
    }
    if let Data::Union(union) = &input.data {
        errors.at(union.union_token, "an aggregate is a struct or an enum");
        return false;
    }
    !is_generic
}

/// The keys of `#[aggregate(..)]`, as far as they can be read.
struct Keys {
    event: Slot<Type>,
    stream_type: Slot<LitStr>,
    snapshot: Slot<Snapshot>,
    snapshot_version: Slot<(Path, u32)>,
    /// Whether there is nothing that could not be read.
    are_complete: bool,
}

impl Keys {
    fn read(input: &DeriveInput, errors: &mut Errors) -> Self {
        let mut keys = Self {
            event: Slot::new("event"),
            stream_type: Slot::new("type"),
            snapshot: Slot::new("snapshot"),
            snapshot_version: Slot::new("snapshot_version"),
            are_complete: true,
        };
        keys.are_complete =
            attribute::read_all(&input.attrs, "aggregate", errors, |meta, errors| keys.read_one(meta, errors));
        keys
    }

    fn read_one(&mut self, meta: &ParseNestedMeta<'_>, errors: &mut Errors) -> syn::Result<()> {
        if meta.path.is_ident("event") {
            let event = attribute::value(meta, "the event set is a type: `event = AccountEvent`")?;
            self.event.set(meta, Some(event), errors);
        } else if meta.path.is_ident("type") {
            let name = attribute::string(meta, "the stream type is a string: `type = \"bank.v1.Account\"`", errors)?;
            self.stream_type.set(meta, name, errors);
        } else if meta.path.is_ident("snapshot") {
            let snapshot = snapshot(meta, errors)?;
            self.snapshot.set(meta, snapshot, errors);
        } else if meta.path.is_ident("snapshot_version") {
            let version = attribute::version(meta, "snapshot_version", errors)?;
            self.snapshot_version.set(meta, version.map(|version| (meta.path.clone(), version)), errors);
        } else {
            attribute::unknown(meta, "`event`, `type`, `snapshot` or `snapshot_version`", errors)?;
        }
        Ok(())
    }
}

fn snapshot(meta: &ParseNestedMeta<'_>, errors: &mut Errors) -> syn::Result<Option<Snapshot>> {
    let wanted = "a snapshot is one of `prost`, `serde` or `none`: `snapshot = serde`";
    let value = attribute::ungrouped(attribute::value(meta, wanted)?);
    let kind = match &value {
        Expr::Path(kind) => kind.path.get_ident().map(Ident::to_string),
        _ => None,
    };
    Ok(match kind.as_deref() {
        Some("prost") => Some(Snapshot::Prost),
        Some("serde") => Some(Snapshot::Serde),
        Some("none") => Some(Snapshot::None),
        _ => {
            errors.at(value, wanted);
            None
        }
    })
}
