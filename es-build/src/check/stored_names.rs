//! A stored event is found by its name alone, so no two events may be stored under one.

use std::collections::BTreeMap;

use super::{Report, aggregates::Linked};

/// Checks the aliases of all events against all names events are stored under.
pub(super) fn check(aggregates: &[Linked], report: &mut Report<'_>) {
    let events =
        aggregates.iter().flat_map(|linked| linked.aggregate.events.iter().chain(&linked.aggregate.old_events));
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for event in events {
        taken.insert(event.message.full(), event.message.full());
    }
    for (event, alias) in aggregates.iter().flat_map(|linked| &linked.aliases) {
        if alias.is_empty() {
            let text = format!("an alias of event `{event}` is empty; write the full name it was stored under");
            report.error(&alias.span, text);
        } else if let Some(owner) = taken.get(&alias.value) {
            let text = if *owner == event.full() {
                format!("event `{event}` is stored under `{}` already; remove the alias", alias.value)
            } else {
                format!(
                    "`{}` is what event `{owner}` is stored under; an alias must be a name no other event has",
                    alias.value
                )
            };
            report.error(&alias.span, text);
        } else {
            taken.insert(alias.value.clone(), event.full());
        }
    }
}
