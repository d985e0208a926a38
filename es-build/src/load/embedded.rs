//! The `.proto` files bundled with this crate.

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../proto/", $name)))),*]
    };
}

/// Name and text of each.
pub(crate) const FILES: &[(&str, &str)] = embedded![
    "buf/validate/validate.proto",
    "cqrs/options.proto",
    "eventsourcing/envelope.proto",
    "eventsourcing/options.proto",
    "eventsourcing/response.proto",
    "eventsourcing/schedule.proto",
    "google/api/annotations.proto",
    "google/api/client.proto",
    "google/api/field_behavior.proto",
    "google/api/field_info.proto",
    "google/api/http.proto",
    "google/api/httpbody.proto",
    "google/api/launch_stage.proto",
    "google/api/resource.proto",
    "google/api/routing.proto",
    "google/api/visibility.proto",
];

/// The well-known files, which are bundled with protox.
const WELL_KNOWN: &[&str] = &[
    "google/protobuf/any.proto",
    "google/protobuf/descriptor.proto",
    "google/protobuf/duration.proto",
    "google/protobuf/empty.proto",
    "google/protobuf/field_mask.proto",
    "google/protobuf/struct.proto",
    "google/protobuf/timestamp.proto",
    "google/protobuf/wrappers.proto",
];

/// Name of every file that needs no include folder.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name).chain(WELL_KNOWN.iter().copied())
}

/// Packages of annotations, which become no Rust of their own unless a message or rpc has a type of theirs.
pub(crate) const PACKAGES: &[&str] = &["buf.validate", "cqrs", "eventsourcing", "google.api", "google.protobuf"];

/// The text of an embedded file.
pub(crate) fn text(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(file, _)| *file == name).map(|(_, text)| *text)
}

/// The text of one of the two files of annotations that are this crate's own.
pub(crate) fn annotations(name: &str) -> Option<&'static str> {
    matches!(name, "eventsourcing/options.proto" | "cqrs/options.proto").then(|| text(name)).flatten()
}
