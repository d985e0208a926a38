//! What is wrong with a `.proto` file, and where.

use std::{collections::BTreeMap, fmt};

/// The text of every file that was read, by the name imports use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources(BTreeMap<String, Source>);

/// One file: where it came from, and its text.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Sources {
    pub(crate) fn insert(&mut self, name: &str, source: Source) {
        self.0.insert(name.to_owned(), source);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Source> {
        self.0.get(name)
    }
}

/// A piece of a file, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// The name imports use.
    pub(crate) file: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    /// What follows `word` in this span, or all of it.
    pub(crate) fn after(&self, sources: &Sources, word: &str) -> Self {
        let whole = sources.get(&self.file).and_then(|source| source.text.get(self.start..self.end));
        match whole.and_then(|whole| whole.find(word)) {
            Some(at) => Self { start: self.start + at, ..self.clone() },
            None => self.clone(),
        }
    }

    /// The first `word` in this span, or all of it.
    pub(crate) fn first(&self, sources: &Sources, word: &str) -> Self {
        let after = self.after(sources, word);
        if after == *self { after } else { Self { end: after.start + word.len(), ..after } }
    }

    /// The part of this span that holds `text` between quotes, or all of it: where in an option a value stands.
    pub(crate) fn narrowed(&self, sources: &Sources, text: &str) -> Self {
        let whole = sources.get(&self.file).and_then(|source| source.text.get(self.start..self.end));
        let found = ['"', '\''].iter().find_map(|quote| whole?.find(&format!("{quote}{text}{quote}")));
        match found {
            Some(at) => Self { start: self.start + at + 1, end: self.start + at + 1 + text.len(), ..self.clone() },
            None => self.clone(),
        }
    }
}

/// One mistake in a `.proto` file. `Display` prints `file:line:column: error: message`, the line, and a caret under the
/// place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    file: String,
    line: usize,
    column: usize,
    width: usize,
    text: Option<String>,
    message: String,
}

impl Diagnostic {
    /// A mistake at a place.
    pub(crate) fn at(sources: &Sources, span: &Span, message: impl Into<String>) -> Self {
        let Some(source) = sources.get(&span.file) else { return Self::in_file(&span.file, message) };
        let start = floor_boundary(&source.text, span.start);
        let before = &source.text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = source.text[line_start..].lines().next().unwrap_or_default();
        let end = floor_boundary(&source.text, span.end).min(line_start + line.len());
        let marked = source.text.get(start..end).unwrap_or_default();
        Self {
            file: source.path.clone(),
            line: before.matches('\n').count() + 1,
            column: source.text[line_start..start].chars().count() + 1,
            width: marked.trim_end().chars().count().max(1),
            text: Some(line.to_owned()),
            message: message.into(),
        }
    }

    /// A mistake without a place in the file, such as the file being missing.
    pub(crate) fn in_file(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: 1, column: 1, width: 0, text: None, message: message.into() }
    }

    /// Path of the file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Line in the file, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Column in the line, from 1, in characters.
    pub fn column(&self) -> usize {
        self.column
    }

    /// What is wrong, and how to fix it.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The order in which mistakes are reported: by file, then by place.
    pub(crate) fn key(&self) -> (&str, usize, usize, &str) {
        (&self.file, self.line, self.column, &self.message)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: error: {}", self.file, self.line, self.column, self.message)?;
        let Some(text) = &self.text else { return Ok(()) };
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        // A tab stays a tab, so that the caret stands under its character whatever a tab's width is.
        let lead: String = text.chars().take(self.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "\n{margin} |\n{number} | {text}\n{margin} | {lead}{}", "^".repeat(self.width))
    }
}

/// The start of the character that `at` is in.
fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&index| text.is_char_boundary(index)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> Sources {
        let mut sources = Sources::default();
        sources.insert("a.proto", Source { path: "proto/a.proto".into(), text: text.into() });
        sources
    }

    #[test]
    fn the_caret_stands_under_the_place_also_after_other_scripts_and_tabs() {
        let sources = sources("one\n\t/* größe */ two three\n");
        let start = "one\n\t/* größe */ ".len();
        let span = Span { file: "a.proto".into(), start, end: start + 3 };
        let shown = Diagnostic::at(&sources, &span, "no").to_string();
        assert_eq!(shown, "proto/a.proto:2:14: error: no\n  |\n2 | \t/* größe */ two three\n  | \t            ^^^");
    }

    #[test]
    fn a_value_is_found_inside_its_option() {
        let text = "option (x) = { name: \"Acount\" };";
        let span = Span { file: "a.proto".into(), start: 0, end: text.len() };
        let narrowed = span.narrowed(&sources(text), "Acount");
        assert_eq!(&text[narrowed.start..narrowed.end], "Acount");
        assert_eq!(span.narrowed(&sources(text), "Other"), span);
    }
}
