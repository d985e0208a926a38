//! Rules that span several methods.

use std::collections::HashMap;

use super::model::Applier;
use crate::errors::Errors;
use crate::source::{normalised, shown};

/// One method per event; a second one is noted and taken out, its impl would only conflict.
///
/// Methods under `#[cfg]` may be alternatives: whether they conflict, the compiler sees later.
pub(super) fn check(applier: &mut Applier<'_>, errors: &mut Errors) {
    let mut taken = HashMap::new();
    applier.handlers.retain(|handler| {
        if handler.is_conditional() {
            return true;
        }
        let first = *taken.entry(normalised(handler.event)).or_insert(handler.method);
        let is_first = std::ptr::eq(first, handler.method);
        if !is_first {
            let (second, event) = (handler.method, shown(handler.event));
            errors.at(
                handler.event,
                format_args!("`{first}` and `{second}` both handle `{event}`: an event has one handler; merge them"),
            );
        }
        is_first
    });
}
