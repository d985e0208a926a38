//! Which of the bundled packages the user's own messages and rpcs have types of.

use std::collections::BTreeSet;

use prost_reflect::{DescriptorPool, FileDescriptor, Kind, MessageDescriptor};

use super::embedded::PACKAGES;

/// The packages whose types are needed as Rust.
pub(super) fn packages(pool: &DescriptorPool) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let own = |file: &FileDescriptor| !PACKAGES.contains(&file.package_name());
    for message in pool.all_messages().filter(|message| own(&message.parent_file())) {
        used.extend(message.fields().filter_map(|field| package(field.kind())));
    }
    for service in pool.services().filter(|service| own(&service.parent_file())) {
        let types = service.methods().flat_map(|method| [method.input(), method.output()]);
        used.extend(types.map(|message: MessageDescriptor| message.package_name().to_owned()));
    }
    used.retain(|package| PACKAGES.contains(&package.as_str()));
    used
}

fn package(kind: Kind) -> Option<String> {
    match kind {
        Kind::Message(message) => Some(message.package_name().to_owned()),
        Kind::Enum(enumeration) => Some(enumeration.package_name().to_owned()),
        _ => None,
    }
}
