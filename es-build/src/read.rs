//! Second step: from descriptors to what the files declare.

pub(crate) mod locations;
mod options;

use prost_reflect::{
    Cardinality, EnumDescriptor, EnumValueDescriptor, FieldDescriptor, Kind as FieldKind, MessageDescriptor,
};
use prost_reflect::{FileDescriptor, MethodDescriptor, ServiceDescriptor};

use crate::{
    load::Loaded,
    model::declared::{EnumValue, Enumeration, Field, Kind, Message, Method, Protos, Service},
    names::ProtoName,
};
use locations::Locations;
use options::Options;

/// Reads what the files declare. `is_external` tells which names exist elsewhere already.
pub(crate) fn read(loaded: &Loaded, is_external: impl Fn(&ProtoName) -> bool) -> Protos {
    let mut reader = Reader { protos: Protos { sources: loaded.sources.clone(), ..Protos::default() }, is_external };
    for file in loaded.pool.files() {
        reader.file(&file, loaded);
    }
    reader.protos
}

struct Reader<F> {
    protos: Protos,
    is_external: F,
}

impl<F: Fn(&ProtoName) -> bool> Reader<F> {
    fn file(&mut self, file: &FileDescriptor, loaded: &Loaded) {
        let locations = Locations::new(file.file_descriptor_proto(), &loaded.sources);
        for message in file.messages() {
            self.message(&message, &locations);
        }
        for enumeration in file.enums() {
            self.enumeration(&enumeration, &locations);
        }
        for service in file.services() {
            let name = ProtoName::new(service.package_name(), service.full_name());
            // The service of a package that exists elsewhere is generated where its file is asked for, so that the
            // crate with the domain can have the server.
            if !(self.is_external)(&name) || loaded.inputs.contains(file.name()) {
                self.protos.services.push(read_service(&service, file, &locations));
            }
        }
        self.protos.visible.insert(file.name().to_owned(), visible(file));
    }

    fn message(&mut self, message: &MessageDescriptor, locations: &Locations<'_>) {
        if message.is_map_entry() {
            return;
        }
        let name = ProtoName::new(message.package_name(), message.full_name());
        let options = Options::of_message(message, locations);
        self.protos.messages.push(Message {
            span: locations.name_of(message.path()),
            docs: locations.docs(message.path()),
            fields: message.fields().map(|field| read_field(&field, locations)).collect(),
            oneofs: message.oneofs().filter(|oneof| !oneof.is_synthetic()).map(|o| o.name().to_owned()).collect(),
            root: options.root(),
            event: options.event(),
            external: (self.is_external)(&name),
            name,
        });
        for child in message.child_messages() {
            self.message(&child, locations);
        }
        for child in message.child_enums() {
            self.enumeration(&child, locations);
        }
    }

    fn enumeration(&mut self, enumeration: &EnumDescriptor, locations: &Locations<'_>) {
        let name = ProtoName::new(enumeration.package_name(), enumeration.full_name());
        let span = locations.name_of(enumeration.path());
        let value = |value: EnumValueDescriptor| EnumValue {
            name: value.name().to_owned(),
            number: value.number(),
            span: locations.name_of(value.path()),
        };
        let values = enumeration.values().map(value).collect();
        self.protos.enums.push(Enumeration { span, values, external: (self.is_external)(&name), name });
    }
}

/// The file itself, its imports, and what those import publicly.
fn visible(file: &FileDescriptor) -> Vec<String> {
    fn add(file: &FileDescriptor, names: &mut Vec<String>) {
        if !names.iter().any(|name| name == file.name()) {
            names.push(file.name().to_owned());
            for import in file.public_dependencies() {
                add(&import, names);
            }
        }
    }
    let mut names = vec![file.name().to_owned()];
    for import in file.dependencies() {
        add(&import, &mut names);
    }
    names
}

fn read_field(field: &FieldDescriptor, locations: &Locations<'_>) -> Field {
    let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic()).map(|oneof| oneof.name().to_owned());
    let kind = match field.kind() {
        FieldKind::String if field.is_list() => Kind::Other("repeated string".into()),
        FieldKind::String if oneof.is_some() => Kind::Other("string inside a oneof".into()),
        FieldKind::String if field.cardinality() == Cardinality::Required || !field.supports_presence() => Kind::Text,
        FieldKind::String => Kind::OptionalText,
        _ if field.is_map() => Kind::Other("map".into()),
        FieldKind::Message(message) => Kind::Other(message.full_name().to_owned()),
        FieldKind::Enum(enumeration) => Kind::Other(enumeration.full_name().to_owned()),
        scalar => Kind::Other(format!("{scalar:?}").to_lowercase()),
    };
    let reserved = Options::of_field(field, locations).reserved();
    Field { name: field.name().to_owned(), span: locations.name_of(field.path()), kind, oneof, reserved }
}

fn read_service(service: &ServiceDescriptor, file: &FileDescriptor, locations: &Locations<'_>) -> Service {
    Service {
        package: service.package_name().to_owned(),
        file: file.name().to_owned(),
        name: service.name().to_owned(),
        span: locations.name_of(service.path()),
        docs: locations.docs(service.path()),
        binding: Options::of_service(service, locations).binding(service.name()),
        methods: service.methods().map(|method| read_method(&method, locations)).collect(),
    }
}

fn read_method(method: &MethodDescriptor, locations: &Locations<'_>) -> Method {
    let (input, output) = (method.input(), method.output());
    Method {
        name: method.name().to_owned(),
        span: locations.name_of(method.path()),
        docs: locations.docs(method.path()),
        input: ProtoName::new(input.package_name(), input.full_name()),
        output: ProtoName::new(output.package_name(), output.full_name()),
        streaming: method.is_client_streaming() || method.is_server_streaming(),
        creates: Options::of_method(method, locations).creates(),
    }
}
