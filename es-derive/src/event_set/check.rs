//! Rules that span several variants.

use std::collections::HashMap;

use super::model::EventSet;
use crate::errors::Errors;
use crate::source::normalised;

/// Notes what breaks a rule, and takes out variants whose impls would only break it once more.
pub(super) fn check(set: &mut EventSet<'_>, errors: &mut Errors) {
    names_are_unique(set, errors);
    payloads_are_unique(set, errors);
}

/// One stored name decodes to one event.
fn names_are_unique(set: &EventSet<'_>, errors: &mut Errors) {
    let mut taken = HashMap::new();
    for event in &set.events {
        for name in event.names() {
            let text = name.value();
            let Some(first) = taken.insert(text.clone(), event.variant) else { continue };
            let message = if std::ptr::eq(first, event.variant) {
                format!("`{first}` is stored as \"{text}\" twice")
            } else {
                format!(
                    "`{first}` and `{}` are both stored as \"{text}\": a stored name belongs to one event",
                    event.variant
                )
            };
            errors.at(name, message);
        }
    }
}

/// One type is one event.
fn payloads_are_unique(set: &mut EventSet<'_>, errors: &mut Errors) {
    let mut taken = HashMap::new();
    set.events.retain(|event| {
        let first = *taken.entry(normalised(event.payload)).or_insert(event.variant);
        let is_first = std::ptr::eq(first, event.variant);
        if !is_first {
            let message =
                format!("`{first}` and `{}` hold the same type: each event needs a separate type", event.variant);
            errors.at(event.payload, message);
        }
        is_first
    });
}
