//! Names under which events and streams are stored.

use syn::LitStr;

use crate::errors::Errors;

/// The name, when a store can keep it; else a message that calls it `what` and shows an `example`.
pub(crate) fn stored_name(literal: &LitStr, what: &str, example: &str, errors: &mut Errors) -> Option<String> {
    let name = literal.value();
    let mistake = if name.is_empty() {
        "is empty"
    } else if name.len() > 256 {
        "is longer than 256 bytes"
    } else if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        "has whitespace or control characters"
    } else {
        return Some(name);
    };
    errors.at(literal, format_args!("{what} {mistake}: write it as in proto, \"{example}\""));
    None
}
