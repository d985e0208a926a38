//! What a name that is not defined was likely meant to be: a type with a similar name, or one of a file that is not
//! imported.

use prost_types::{DescriptorProto, FileDescriptorProto};
use protox::file::{File, FileResolver};

use super::{embedded, resolver::Resolver};
use crate::{check::suggest::closest, names::join_package};

const SCALARS: &[&str] = &[
    "bool", "bytes", "double", "fixed32", "fixed64", "float", "int32", "int64", "sfixed32", "sfixed64", "sint32",
    "sint64", "string", "uint32", "uint64",
];

/// The names a file can use.
pub(super) struct Scope<'a> {
    resolver: &'a Resolver,
    package: String,
    visible: Vec<File>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(file: &str, resolver: &'a Resolver) -> Self {
        let mut scope = Self { resolver, package: String::new(), visible: Vec::new() };
        if let Ok(file) = resolver.open_file(file) {
            let descriptor = file.file_descriptor_proto().clone();
            scope.package = descriptor.package().to_owned();
            scope.visible.push(file);
            for import in &descriptor.dependency {
                scope.add(import);
            }
        }
        scope
    }

    /// Adds a file, and what it imports publicly.
    fn add(&mut self, name: &str) {
        if self.visible.iter().any(|file| file.name() == name) {
            return;
        }
        let Ok(file) = self.resolver.open_file(name) else { return };
        let descriptor = file.file_descriptor_proto().clone();
        self.visible.push(file);
        let imports = descriptor.public_dependency.iter().filter_map(|&index| usize::try_from(index).ok());
        for import in imports.filter_map(|index| descriptor.dependency.get(index)) {
            self.add(import);
        }
    }

    /// Whether a visible file defines a full name.
    pub(super) fn defines(&self, name: &str) -> bool {
        self.visible.iter().any(|file| defined(file.file_descriptor_proto()).any(|defined| defined == name))
    }

    /// The bundled file that defines a name and is not imported.
    pub(super) fn missing_import(&self, name: &str) -> Option<&'static str> {
        let name = name.trim_start_matches('.');
        let defines = |file: &&str| {
            let file = self.resolver.open_file(file);
            file.is_ok_and(|file| defined(file.file_descriptor_proto()).any(|defined| defined == name))
        };
        let home = embedded::names().find(defines).or_else(|| match name.split_once('.')?.0 {
            "eventsourcing" => Some("eventsourcing/options.proto"),
            "cqrs" => Some("cqrs/options.proto"),
            _ => None,
        })?;
        self.visible.iter().all(|file| file.name() != home).then_some(home)
    }

    /// The visible type that is called similarly, as the file would write it.
    pub(super) fn similar(&self, name: &str) -> Option<String> {
        let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        let mut known: Vec<(String, String)> = Vec::new();
        for file in self.visible.iter().map(File::file_descriptor_proto) {
            for full in types(file) {
                let own = full.strip_prefix(&self.package).and_then(|rest| rest.strip_prefix('.'));
                known.push((last(&full), own.unwrap_or(&full).to_owned()));
            }
        }
        if !name.contains('.') {
            known.extend(SCALARS.iter().map(|scalar| ((*scalar).to_owned(), (*scalar).to_owned())));
        }
        let found = closest(&last(name), known.iter().map(|(simple, _)| simple.as_str()))?.to_owned();
        // Of several types of that name, the one written most like it.
        let written = known.iter().filter(|(simple, _)| *simple == found).map(|(_, written)| written);
        written.min_by_key(|written| strsim::osa_distance(written, name)).cloned()
    }
}

/// The full names of a file's messages, enums and extensions.
fn defined(file: &FileDescriptorProto) -> impl Iterator<Item = String> + '_ {
    let extensions = file.extension.iter().map(|extension| join_package(file.package(), extension.name()));
    types(file).into_iter().chain(extensions)
}

/// The full names of a file's messages and enums.
fn types(file: &FileDescriptorProto) -> Vec<String> {
    fn nested(message: &DescriptorProto, scope: &str, names: &mut Vec<String>) {
        let name = join_package(scope, message.name());
        names.extend(message.enum_type.iter().map(|enumeration| join_package(&name, enumeration.name())));
        let is_written =
            |message: &&DescriptorProto| !message.options.as_ref().is_some_and(|options| options.map_entry());
        for inner in message.nested_type.iter().filter(is_written) {
            nested(inner, &name, names);
        }
        names.push(name);
    }
    let mut names: Vec<String> =
        file.enum_type.iter().map(|enumeration| join_package(file.package(), enumeration.name())).collect();
    for message in &file.message_type {
        nested(message, file.package(), &mut names);
    }
    names
}
