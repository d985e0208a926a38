//! Older events: each is read as a newer one of its aggregate, in chains without circles.

use std::collections::BTreeMap;

use super::{Report, aggregates::Linked, suggest::did_you_mean};
use crate::{
    model::{Upcast, declared},
    names::ProtoName,
};

type Declared<'a> = (&'a declared::Message, &'a declared::Event);

/// Each older event and the one it is read as.
pub(super) type Old = BTreeMap<ProtoName, ProtoName>;

/// Which events are older forms of which.
pub(super) fn link(linked: &Linked, events: &[Declared<'_>], report: &mut Report<'_>) -> Old {
    let mut old = Old::new();
    for (message, event) in events {
        let Some(to) = &event.upcasts_to else { continue };
        let wanted = to.trim_start_matches('.');
        let target = events.iter().find(|(other, _)| other.name.simple() == wanted || other.name.full() == wanted);
        match target {
            Some((other, _)) if other.name == message.name => report.error(
                &to.span,
                format!(
                    "event `{wanted}` upcasts to itself; name the newer event it is read as, or remove `upcasts_to`"
                ),
            ),
            Some((other, _)) => {
                old.insert(message.name.clone(), other.name.clone());
            }
            None => {
                let known = events.iter().map(|(other, _)| other.name.simple()).filter(|n| *n != message.name.simple());
                let hint = match did_you_mean(wanted, known) {
                    hint if hint.is_empty() => "; name an event of the same aggregate".to_owned(),
                    hint => hint,
                };
                report.error(&to.span, format!("aggregate `{}` has no event `{wanted}`{hint}", linked.aggregate.name));
            }
        }
    }
    break_circles(events, &mut old, report);
    old
}

/// Reports each circle once, and takes its events out.
fn break_circles(events: &[Declared<'_>], old: &mut Old, report: &mut Report<'_>) {
    for (message, event) in events {
        let mut chain = vec![message.name.clone()];
        let mut next = old.get(&message.name);
        while let Some(name) = next.filter(|name| !chain.contains(name)) {
            chain.push(name.clone());
            next = old.get(name);
        }
        if next == Some(&message.name) {
            let names: Vec<&str> = chain.iter().chain([&message.name]).map(ProtoName::simple).collect();
            let text = format!("upcasts form a cycle: {}; the newest event has no `upcasts_to`", names.join(" to "));
            report.error(event.upcasts_to.as_ref().map_or(&message.span, |to| &to.span), text);
            old.retain(|name, _| !chain.contains(name));
        }
    }
}

/// The names an event is stored under by itself.
pub(super) fn own_types(message: &declared::Message, event: &declared::Event) -> Vec<String> {
    let aliases = event.aliases.iter().map(|alias| alias.value.clone());
    std::iter::once(message.name.full()).chain(aliases).collect()
}

/// The older events read as this one, each with all names it can be read from.
pub(super) fn into_event(message: &declared::Message, events: &[Declared<'_>], old: &Old) -> Vec<Upcast> {
    let sources = events.iter().filter(|(other, _)| old.get(&other.name) == Some(&message.name));
    let upcast = |(source, event): &Declared<'_>| {
        let mut types = own_types(source, event);
        types.extend(into_event(source, events, old).into_iter().flat_map(|upcast| upcast.types));
        Upcast { message: source.name.clone(), types }
    };
    sources.map(upcast).collect()
}
