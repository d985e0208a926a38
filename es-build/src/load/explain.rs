//! Errors of the proto compiler in the form of our own.

use miette::Diagnostic as _;
use protox::Error;

use crate::diagnostic::{Diagnostic, Sources, Span};

/// Every mistake the error tells of.
pub(super) fn explain(error: &Error, sources: &Sources) -> Vec<Diagnostic> {
    let file = error.file().unwrap_or_default().to_owned();
    let mut found = vec![one(error, &file, sources)];
    found.extend(error.related().into_iter().flatten().map(|related| one(related, &file, sources)));
    found
}

fn one(error: &dyn miette::Diagnostic, file: &str, sources: &Sources) -> Diagnostic {
    let message = reworded(error);
    // Of several labels the last is where the mistake stands; those before say what it clashes with.
    match error.labels().and_then(Iterator::last) {
        Some(label) => {
            let (start, length) = (label.offset(), label.len());
            Diagnostic::at(sources, &Span { file: file.to_owned(), start, end: start + length }, message)
        }
        None => {
            let shown = sources.get(file).map_or(file, |source| source.path.as_str());
            Diagnostic::in_file(shown, message)
        }
    }
}

/// The message, with its cause and its advice.
fn reworded(error: &dyn miette::Diagnostic) -> String {
    let mut message = error.to_string();
    if let Some(name) = undefined(&message) {
        let own = name.starts_with("eventsourcing.");
        let known = if own { format!("; the options are {OPTIONS}") } else { String::new() };
        return format!("name '{name}' is not defined{known}");
    }
    if let Some(cause) = error.diagnostic_source() {
        message = format!("{message}: {cause}");
    }
    if let Some(help) = error.help() {
        message = format!("{message}; {help}");
    }
    message
}

const OPTIONS: &str = "(eventsourcing.service), (eventsourcing.aggregate_root), (eventsourcing.event), \
                       (eventsourcing.command) and (eventsourcing.field)";

/// The name in "'a.b' resolves to 'a.b', which is not defined", which says it twice.
fn undefined(message: &str) -> Option<&str> {
    let (name, found) =
        message.strip_prefix('\'')?.strip_suffix("', which is not defined")?.split_once("' resolves to '")?;
    (name == found).then_some(name)
}
