//! Finds the aggregates: the root messages, named by their services or by themselves.

use std::collections::HashMap;

use super::{Report, suggest::did_you_mean};
use crate::{
    diagnostic::Span,
    model::{
        Aggregate,
        declared::{At, Binding, Kind, Message, Protos, Root, Service},
    },
    names::{ProtoName, join_package},
};

/// An aggregate, with the places that reports about it point at.
#[derive(Debug)]
pub(super) struct Linked {
    pub(super) aggregate: Aggregate,
    /// Where its root message is declared.
    pub(super) span: Span,
    pub(super) file: String,
    /// Where what is stored as its stream type is said.
    type_span: Span,
    /// Its aliases and where they stand, by event.
    pub(super) aliases: Vec<(ProtoName, At<String>)>,
}

/// All aggregates, without events yet.
pub(super) fn link(protos: &Protos, report: &mut Report<'_>) -> Vec<Linked> {
    let names = names_by_services(protos, report);
    let mut linked = Vec::new();
    for message in &protos.messages {
        if let Some(root) = &message.root {
            check_id_field(message, root, report);
            let own_name = || own_name(protos, message, root);
            let name = names.get(&message.name).map_or_else(own_name, |name| name.as_str());
            linked.push(aggregate(message, root, name));
        }
    }
    check_names(&linked, report);
    check_stream_types(&linked, report);
    linked
}

fn aggregate(message: &Message, root: &Root, name: &str) -> Linked {
    let default_type = || join_package(&message.name.package, name);
    let stream_type = Some(root.type_name.value.clone()).filter(|name| !name.is_empty()).unwrap_or_else(default_type);
    Linked {
        aggregate: Aggregate {
            name: name.to_owned(),
            root: message.name.clone(),
            stream_type,
            id_field: root.id_field.value.clone(),
            events: Vec::new(),
            old_events: Vec::new(),
            external: message.external,
        },
        span: message.span.clone(),
        file: message.span.file.clone(),
        type_span: root.type_name.span.clone(),
        aliases: Vec::new(),
    }
}

/// What an aggregate is called that no service names: as its root message, or by its stream type where that is the name
/// its events use.
fn own_name<'a>(protos: &Protos, message: &'a Message, root: &'a Root) -> &'a str {
    let (simple, type_name) = (message.name.simple(), root.type_name.as_str());
    let is_root = |name: &str| protos.messages.iter().any(|m| m.root.is_some() && m.name.simple() == name);
    let by_type = !type_name.contains('.') && is_used(protos, type_name) && !is_used(protos, simple);
    if by_type && !is_root(type_name) { type_name } else { simple }
}

/// What services call the aggregate of a root message.
fn names_by_services<'a>(protos: &'a Protos, report: &mut Report<'_>) -> HashMap<ProtoName, &'a At<String>> {
    let mut names: HashMap<ProtoName, &At<String>> = HashMap::new();
    for service in &protos.services {
        let Binding::Aggregate { name, .. } = &service.binding else { continue };
        let Some(root) = bound_root(protos, service) else { continue };
        if name.is_empty() {
            continue;
        }
        // A misspelt name shows by the events, which use the root's own.
        if name.as_str() != root.simple() && !is_used(protos, name) && is_used(protos, root.simple()) {
            let hint = match did_you_mean(name, [root.simple()]) {
                hint if hint.is_empty() => format!("; the events of this root name the aggregate `{}`", root.simple()),
                hint => hint,
            };
            report.error(&name.span, format!("no event belongs to an aggregate `{}`{hint}", name.value));
            continue;
        }
        match names.get(root) {
            Some(first) if first.value != name.value => {
                let message = format!(
                    "the aggregate of root message `{root}` is called `{}` here and `{}` by another service; use one name",
                    name.value, first.value
                );
                report.error(&name.span, message);
            }
            Some(_) => {}
            None => {
                names.insert(root.clone(), name);
            }
        }
    }
    names
}

/// Whether an event belongs to an aggregate of this name.
fn is_used(protos: &Protos, aggregate: &str) -> bool {
    let mut events = protos.messages.iter().filter_map(|message| message.event.as_ref());
    events.any(|event| event.aggregate.as_str() == aggregate)
}

/// The root message that a service with `(eventsourcing.service)` names.
pub(super) fn bound_root<'a>(protos: &'a Protos, service: &Service) -> Option<&'a ProtoName> {
    let Binding::Aggregate { name, root, .. } = &service.binding else { return None };
    let wanted = if root.is_empty() { name.as_str() } else { root.as_str() };
    let message = named_message(protos, service, wanted).or_else(|| only_root(protos, service, wanted))?;
    message.root.as_ref().map(|_| &message.name)
}

/// The one root message of a name, whatever its package: among the files the service imports, then among all.
fn only_root<'a>(protos: &'a Protos, service: &Service, name: &str) -> Option<&'a Message> {
    let roots = || protos.messages.iter().filter(|message| message.root.is_some() && message.name.simple() == name);
    let visible = protos.visible.get(&service.file).map_or(&[][..], Vec::as_slice);
    let imported: Vec<&Message> = roots().filter(|message| visible.contains(&message.span.file)).collect();
    let found = if imported.is_empty() { roots().collect() } else { imported };
    match found[..] {
        [one] => Some(one),
        _ => None,
    }
}

/// The message a name means inside a service: in its package, then in those around it.
pub(super) fn named_message<'a>(protos: &'a Protos, service: &Service, name: &str) -> Option<&'a Message> {
    let named = |full: &str| protos.messages.iter().find(|message| message.name.full() == full);
    if let Some(full) = name.strip_prefix('.') {
        return named(full);
    }
    let mut package = service.package.as_str();
    loop {
        if let Some(message) = named(&join_package(package, name)) {
            return Some(message);
        }
        if package.is_empty() {
            return None;
        }
        package = package.rsplit_once('.').map_or("", |(outer, _)| outer);
    }
}

fn check_id_field(message: &Message, root: &Root, report: &mut Report<'_>) {
    let name = message.name.simple();
    let id_field = &root.id_field;
    if id_field.is_empty() {
        let text = format!(
            "aggregate root `{name}` does not say which field holds its id; add `id_field: \"..\"` with the name of a \
             string field"
        );
        return report.error(&root.span, text);
    }
    match message.fields.iter().find(|field| field.name == id_field.value) {
        None => {
            let hint = match did_you_mean(id_field, message.fields.iter().map(|field| field.name.as_str())) {
                hint if hint.is_empty() => format!("; add `string {}` to it", id_field.value),
                hint => hint,
            };
            report.error(&id_field.span, format!("message `{name}` has no field `{}`{hint}", id_field.value));
        }
        Some(field) => {
            if let Kind::Other(kind) = &field.kind {
                let text = format!(
                    "field `{}` holds the id of aggregate root `{name}` and must be a `string`, not `{kind}`",
                    field.name
                );
                report.error(&field.span, text);
            }
        }
    }
}

fn check_names(linked: &[Linked], report: &mut Report<'_>) {
    for (index, one) in linked.iter().enumerate() {
        let (package, name) = (one.aggregate.package(), &one.aggregate.name);
        let same = |other: &&Linked| other.aggregate.package() == package && other.aggregate.name == *name;
        if let Some(first) = linked[..index].iter().find(same) {
            let text = format!(
                "package `{package}` has two aggregates called `{name}`: `{}` and `{}`; rename one of the messages, or \
                 give it another name with `aggregate_name` in its service",
                first.aggregate.root, one.aggregate.root
            );
            report.error(&one.span, text);
        }
    }
}

fn check_stream_types(linked: &[Linked], report: &mut Report<'_>) {
    for (index, one) in linked.iter().enumerate() {
        let clash = |other: &&Linked| {
            other.aggregate.stream_type == one.aggregate.stream_type
                // Reported as two aggregates of one name already.
                && (other.aggregate.package(), &other.aggregate.name) != (one.aggregate.package(), &one.aggregate.name)
        };
        if let Some(first) = linked[..index].iter().find(clash) {
            let text = format!(
                "stream type `{}` is already used by aggregate `{}`; give one of the two another `type_name`",
                one.aggregate.stream_type, first.aggregate.root
            );
            report.error(&one.type_span, text);
        }
    }
}
