//! Gives each event to its aggregate.

use std::collections::HashMap;

use super::{
    Report,
    aggregates::Linked,
    suggest::did_you_mean,
    upcasts::{self, Old},
};
use crate::{
    model::{
        Event,
        declared::{self, At, Message, Protos},
    },
    names::{join_package, snake_part, to_upper_camel},
};

/// Fills in the events of every aggregate.
pub(super) fn link(protos: &Protos, aggregates: &mut [Linked], report: &mut Report<'_>) {
    let mut of_aggregate: Vec<Vec<(&Message, &declared::Event)>> = aggregates.iter().map(|_| Vec::new()).collect();
    for message in &protos.messages {
        let Some(event) = &message.event else { continue };
        match owner(protos, aggregates, message, event) {
            Ok(index) => of_aggregate[index].push((message, event)),
            Err(text) => report.error(&event.aggregate.span, text),
        }
    }
    for (linked, events) in aggregates.iter_mut().zip(of_aggregate) {
        check_names(linked, &events, report);
        for (message, event) in &events {
            linked.aliases.extend(event.aliases.iter().map(|alias| (message.name.clone(), alias.clone())));
        }
        let old = upcasts::link(linked, &events, report);
        fill(linked, &events, &old);
    }
}

/// The aggregate an event belongs to, or what is wrong with the name it gives.
fn owner(protos: &Protos, aggregates: &[Linked], message: &Message, event: &declared::Event) -> Result<usize, String> {
    let name: &At<String> = &event.aggregate;
    if name.is_empty() {
        return Err(format!(
            "event `{}` does not say which aggregate it belongs to; add `aggregate_name: \"..\"`",
            message.name.simple()
        ));
    }
    let full_name = |linked: &Linked| join_package(linked.aggregate.package(), &linked.aggregate.name);
    let named = |linked: &(usize, &Linked)| {
        linked.1.aggregate.name == name.value || full_name(linked.1) == name.trim_start_matches('.')
    };
    let candidates: Vec<(usize, &Linked)> = aggregates.iter().enumerate().filter(named).collect();
    if let Some((index, _)) = candidates.iter().find(|(_, one)| one.aggregate.package() == message.name.package) {
        return Ok(*index);
    }
    if let [(index, _)] = candidates[..] {
        return Ok(index);
    }
    // Of several, the one whose file is imported by the event's, or imports it.
    let sees = |from: &str, to: &str| protos.visible.get(from).is_some_and(|files| files.iter().any(|f| f == to));
    let connected = |one: &Linked| sees(&message.span.file, &one.file) || sees(&one.file, &message.span.file);
    let near: Vec<usize> = candidates.iter().filter(|(_, one)| connected(one)).map(|(index, _)| *index).collect();
    match (near.as_slice(), candidates.as_slice()) {
        ([index], _) => Ok(*index),
        (_, []) => {
            let known = aggregates.iter().map(|one| one.aggregate.name.as_str());
            let hint = match did_you_mean(name, known) {
                hint if hint.is_empty() => {
                    "; mark its root message with `option (eventsourcing.aggregate_root)`, and compile its file too"
                        .into()
                }
                hint => hint,
            };
            Err(format!("no aggregate is called `{}`{hint}", name.value))
        }
        _ => {
            let names: Vec<String> = candidates.iter().map(|(_, one)| format!("`{}`", full_name(one))).collect();
            Err(format!("several aggregates are called `{}`; say which: {}", name.value, names.join(" or ")))
        }
    }
}

fn check_names(linked: &Linked, events: &[(&Message, &declared::Event)], report: &mut Report<'_>) {
    let mut seen: HashMap<String, &Message> = HashMap::new();
    for (message, _) in events {
        let variant = to_upper_camel(message.name.simple());
        if let Some(first) = seen.get(&variant) {
            if is_beside(first, message) {
                // Reported as two messages of one name.
                continue;
            }
            let text = format!(
                "aggregate `{}` has two events called `{variant}`: `{}` and `{}`; rename one of them and keep its old \
                 full name in `aliases`",
                linked.aggregate.name, first.name, message.name
            );
            report.error(&message.span, text);
        } else {
            seen.insert(variant, message);
        }
    }
}

/// Whether two messages stand in one Rust module.
fn is_beside(one: &Message, other: &Message) -> bool {
    let around = |message: &Message| message.name.parts.len() - 1;
    one.name.package == other.name.package && one.name.parts[..around(one)] == other.name.parts[..around(other)]
}

/// Writes the events into the aggregate, those that are still emitted apart from the older ones.
fn fill(linked: &mut Linked, events: &[(&Message, &declared::Event)], old: &Old) {
    let hooks = hook_names(events, old);
    for ((message, event), hook) in events.iter().zip(hooks) {
        let own_types = upcasts::own_types(message, event);
        let one = Event {
            message: message.name.clone(),
            docs: message.docs.clone(),
            version: Some(event.version).filter(|version| *version > 1),
            hook,
            own_types,
            upcasts: upcasts::into_event(message, events, old),
            external: message.external,
        };
        let is_old = old.contains_key(&message.name);
        let list = if is_old { &mut linked.aggregate.old_events } else { &mut linked.aggregate.events };
        list.push(one);
    }
}

/// What follows `on_`: the event's name without a trailing `Event`, unless two would be the same.
fn hook_names(events: &[(&Message, &declared::Event)], old: &Old) -> Vec<String> {
    let full = |message: &Message| snake_part(message.name.simple());
    let short = |message: &Message| match message.name.simple().strip_suffix("Event") {
        Some(rest) if !rest.is_empty() => snake_part(rest),
        _ => full(message),
    };
    let is_current = |message: &Message| !old.contains_key(&message.name);
    let mut names: Vec<String> = events.iter().map(|(message, _)| short(message)).collect();
    // A name given back its `Event` can be the short one of yet another event.
    loop {
        let mut count: HashMap<String, usize> = HashMap::new();
        for ((message, _), name) in events.iter().zip(&names) {
            *count.entry(name.clone()).or_default() += usize::from(is_current(message));
        }
        let mut changed = false;
        for ((message, _), name) in events.iter().zip(&mut names) {
            if count[name] > 1 && *name != full(message) {
                *name = full(message);
                changed = true;
            }
        }
        if !changed {
            return names;
        }
    }
}
