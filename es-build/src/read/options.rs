//! The annotations of a message, field, service or method.

use prost_reflect::{
    DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor, ReflectMessage, ServiceDescriptor, Value,
};

use super::locations::{Locations, join};
use crate::{
    diagnostic::Span,
    model::declared::{At, Binding, Event, Root},
};

/// Field number of `options` in the descriptors of messages, fields, services and methods.
mod number {
    pub(super) const MESSAGE_OPTIONS: i32 = 7;
    pub(super) const FIELD_OPTIONS: i32 = 8;
    pub(super) const SERVICE_OPTIONS: i32 = 3;
    pub(super) const METHOD_OPTIONS: i32 = 4;
}

/// Numbers of `cqrs.ServiceType`.
mod service_type {
    pub(super) const COMMAND: i32 = 1;
    pub(super) const QUERY: i32 = 2;
}

/// The options of one item, and where they stand.
pub(super) struct Options<'a> {
    options: DynamicMessage,
    path: Vec<i32>,
    locations: &'a Locations<'a>,
}

impl<'a> Options<'a> {
    pub(super) fn of_message(message: &MessageDescriptor, locations: &'a Locations<'a>) -> Self {
        Self { options: message.options(), path: join(message.path(), &[number::MESSAGE_OPTIONS]), locations }
    }

    pub(super) fn of_field(field: &FieldDescriptor, locations: &'a Locations<'a>) -> Self {
        Self { options: field.options(), path: join(field.path(), &[number::FIELD_OPTIONS]), locations }
    }

    pub(super) fn of_service(service: &ServiceDescriptor, locations: &'a Locations<'a>) -> Self {
        Self { options: service.options(), path: join(service.path(), &[number::SERVICE_OPTIONS]), locations }
    }

    pub(super) fn of_method(method: &MethodDescriptor, locations: &'a Locations<'a>) -> Self {
        Self { options: method.options(), path: join(method.path(), &[number::METHOD_OPTIONS]), locations }
    }

    pub(super) fn root(&self) -> Option<Root> {
        let option = self.get("eventsourcing.aggregate_root")?;
        Some(Root { span: option.span(), id_field: option.text("id_field"), type_name: option.text("type_name") })
    }

    pub(super) fn event(&self) -> Option<Event> {
        let option = self.get("eventsourcing.event")?;
        let version = option.value("version").and_then(|value| value.as_u32()).unwrap_or(0);
        let upcasts_to = Some(option.text("upcasts_to")).filter(|name| !name.is_empty());
        Some(Event { aggregate: option.text("aggregate_name"), upcasts_to, version, aliases: option.texts("aliases") })
    }

    /// The reserved options that a field sets.
    pub(super) fn reserved(&self) -> Vec<At<&'static str>> {
        let Some(option) = self.get("eventsourcing.field") else { return Vec::new() };
        let set = ["unique", "tag", "personal", "subject"].into_iter().filter(|name| option.value(name).is_some());
        set.map(|name| At { value: name, span: option.span_of(name).first(self.locations.sources, name) }).collect()
    }

    /// What the service called `service` works on.
    pub(super) fn binding(&self, service: &str) -> Binding {
        let number = |option: Annotation<'_>| option.value("service_type")?.as_enum_number();
        let service_type = self.get("cqrs.service").map(|option| number(option).unwrap_or_default());
        match (self.get("eventsourcing.service"), service_type) {
            (_, Some(service_type::QUERY)) => Binding::Query,
            (Some(option), _) => {
                let (name, root) = (option.text("aggregate_name"), option.text("aggregate_root_message"));
                Binding::Aggregate { span: option.span(), name, root }
            }
            (None, Some(service_type::COMMAND)) => Binding::ByName,
            (None, Some(_)) if service.ends_with("CommandService") => Binding::ByName,
            (None, Some(_)) => Binding::Query,
            (None, None) => Binding::None,
        }
    }

    pub(super) fn creates(&self) -> Option<At<bool>> {
        let option = self.get("eventsourcing.command")?;
        let value = option.value("creates")?.as_bool()?;
        let span = option.span_of("creates").first(self.locations.sources, "creates");
        Some(At { value, span })
    }

    /// The option of this full name, where it is set.
    fn get(&self, name: &str) -> Option<Annotation<'_>> {
        let (extension, value) = self.options.extensions().find(|(extension, _)| extension.full_name() == name)?;
        let path = join(&self.path, &[i32::try_from(extension.number()).ok()?]);
        Some(Annotation { message: value.as_message()?.clone(), path, locations: self.locations })
    }
}

/// One option that is a message.
struct Annotation<'a> {
    message: DynamicMessage,
    path: Vec<i32>,
    locations: &'a Locations<'a>,
}

impl Annotation<'_> {
    fn span(&self) -> Span {
        // Written field by field, the option has no place of its own; its first field has.
        let inner = self.message.fields().map(|(field, _)| self.path_of(field.number()));
        let paths = std::iter::once(self.path.clone()).chain(inner);
        let said = paths.into_iter().find(|path| self.locations.has(path));
        self.locations.span(&said.unwrap_or_else(|| self.path.clone()))
    }

    fn span_of(&self, field: &str) -> Span {
        let number = self.message.descriptor().get_field_by_name(field).map(|field| self.path_of(field.number()));
        match number.filter(|path| self.locations.has(path)) {
            Some(path) => self.locations.span(&path),
            None => self.span(),
        }
    }

    fn path_of(&self, number: u32) -> Vec<i32> {
        join(&self.path, &[i32::try_from(number).unwrap_or(0)])
    }

    /// The value of a field, where it is set.
    fn value(&self, field: &str) -> Option<Value> {
        let field = self.message.descriptor().get_field_by_name(field)?;
        self.message.has_field(&field).then(|| self.message.get_field(&field).into_owned())
    }

    fn text(&self, field: &str) -> At<String> {
        let value = self.value(field).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
        let span = self.span_of(field);
        let span = if value.is_empty() { span } else { self.place(field, &value) };
        At { value, span }
    }

    /// Where in the option the value of a field stands.
    fn place(&self, field: &str, value: &str) -> Span {
        let sources = self.locations.sources;
        self.span_of(field).after(sources, field).narrowed(sources, value)
    }

    fn texts(&self, field: &str) -> Vec<At<String>> {
        let values = self.value(field);
        let values = values.iter().filter_map(Value::as_list).flatten().filter_map(Value::as_str);
        let at = |value: &str| At { value: value.to_owned(), span: self.place(field, value) };
        values.map(at).collect()
    }
}
