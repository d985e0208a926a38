//! Errors of the proto compiler in the form of our own.

use std::collections::HashSet;

use miette::Diagnostic as _;
use protox::Error;

use super::{resolver::Resolver, scope::Scope};
use crate::diagnostic::{Diagnostic, Sources, Span};

/// Every mistake in the error; a missing import is one mistake, however many names it would define.
pub(super) fn explain(error: &Error, resolver: &Resolver) -> Vec<Diagnostic> {
    let file = error.file().unwrap_or_default();
    let explainer = Explainer { file, sources: resolver.sources(), scope: Scope::new(file, resolver) };
    let mut found = vec![explainer.one(error)];
    found.extend(error.related().into_iter().flatten().map(|related| explainer.one(related)));
    found.sort_by(|(_, a), (_, b)| a.key().cmp(&b.key()));
    let mut missing = HashSet::new();
    found.retain(|(import, _)| import.as_ref().is_none_or(|import| missing.insert(import.clone())));
    found.into_iter().map(|(_, diagnostic)| diagnostic).collect()
}

struct Explainer<'a> {
    file: &'a str,
    sources: Sources,
    scope: Scope<'a>,
}

impl Explainer<'_> {
    /// One mistake, and the import that would fix it.
    fn one(&self, error: &dyn miette::Diagnostic) -> (Option<String>, Diagnostic) {
        let (import, message) = self.reworded(error);
        // Of several labels the last is where the mistake is; those before it mark what it conflicts with.
        let diagnostic = match error.labels().and_then(Iterator::last) {
            Some(label) => {
                let (start, end) = (label.offset(), label.offset() + label.len());
                Diagnostic::at(&self.sources, &Span { file: self.file.to_owned(), start, end }, message)
            }
            None => {
                let shown = self.sources.get(self.file).map_or(self.file, |source| source.path.as_str());
                Diagnostic::in_file(shown, message)
            }
        };
        (import, diagnostic)
    }

    /// The message, with its cause and its advice, and the import that would fix the mistake.
    fn reworded(&self, error: &dyn miette::Diagnostic) -> (Option<String>, String) {
        let mut message = error.to_string();
        let help = error.help().map(|help| help.to_string());
        if let Some((name, found)) = undefined(&message) {
            if self.scope.defines(name) {
                return (None, format!("`{name}` means `{found}` here, which is not defined; write `.{name}`"));
            }
            let import = help.as_deref().and_then(not_imported).or_else(|| self.scope.missing_import(name));
            let hint = match import {
                Some(import) => format!("; add `import \"{import}\";`"),
                None => self.known(name),
            };
            return (import.map(str::to_owned), format!("name `{name}` is not defined{hint}"));
        }
        if let Some(cause) = error.diagnostic_source() {
            message = format!("{message}: {cause}");
        }
        if let Some(help) = help {
            message = format!("{message}; {help}");
        }
        (None, backticked(&message))
    }

    /// What there is instead of a name.
    fn known(&self, name: &str) -> String {
        match name.trim_start_matches('.').split_once('.') {
            Some(("eventsourcing", option)) if option.starts_with(char::is_lowercase) => {
                format!("; the options are {OPTIONS}")
            }
            Some(("cqrs", option)) if option.starts_with(char::is_lowercase) => {
                "; the option is `(cqrs.service)`".to_owned()
            }
            _ => self.scope.similar(name).map_or_else(String::new, |known| format!("; did you mean `{known}`?")),
        }
    }
}

const OPTIONS: &str = "`(eventsourcing.service)`, `(eventsourcing.aggregate_root)`, `(eventsourcing.event)` and \
                       `(eventsourcing.command)`";

/// The name in "name 'a.b' is not defined", and both in "'a.b' resolves to 'c.a.b', which is not defined".
fn undefined(message: &str) -> Option<(&str, &str)> {
    if let Some(name) = message.strip_prefix("name '").and_then(|rest| rest.strip_suffix("' is not defined")) {
        return Some((name, name));
    }
    message.strip_prefix('\'')?.strip_suffix("', which is not defined")?.split_once("' resolves to '")
}

/// The file in "'a.b' is defined in 'a.proto', which is not imported by 'c.proto'".
fn not_imported(help: &str) -> Option<&str> {
    help.split_once("' is defined in '")?.1.split_once("', which is not imported by ").map(|(file, _)| file)
}

/// The message with names between backticks instead of quotes.
fn backticked(message: &str) -> String {
    let mut before = ' ';
    let quote_or_same = |(index, character): (usize, char)| {
        let after = message[index + character.len_utf8()..].chars().next().unwrap_or(' ');
        // Between two letters it is an apostrophe.
        let is_quote = character == '\'' && !(before.is_alphanumeric() && after.is_alphanumeric());
        before = character;
        if is_quote { '`' } else { character }
    };
    message.char_indices().map(quote_or_same).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_become_backticks_and_apostrophes_stay() {
        assert_eq!(
            backticked("can't read 'a.b': expected '=', but found '1'"),
            "can't read `a.b`: expected `=`, but found `1`"
        );
    }

    #[test]
    fn the_file_of_a_name_that_is_not_imported_is_found_in_the_advice() {
        let help = "'b.Money' is defined in 'b/money.proto', which is not imported by 'a.proto'";
        assert_eq!(not_imported(help), Some("b/money.proto"));
    }
}
