//! From a place in a descriptor to a place in the file.

use std::collections::HashMap;

use prost_types::{FileDescriptorProto, source_code_info::Location};

use crate::{
    comments::documentation,
    diagnostic::{Sources, Span},
};

/// Field number of `name` in the descriptors of messages, fields, enums, services and methods.
const NAME: i32 = 1;

/// Places and comments of one file.
pub(crate) struct Locations<'a> {
    file: &'a str,
    pub(crate) sources: &'a Sources,
    by_path: HashMap<&'a [i32], &'a Location>,
}

impl<'a> Locations<'a> {
    pub(crate) fn new(file: &'a FileDescriptorProto, sources: &'a Sources) -> Self {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        let mut by_path = HashMap::new();
        for location in locations {
            by_path.entry(location.path.as_slice()).or_insert(location);
        }
        Self { file: file.name(), sources, by_path }
    }

    /// Where the name of an item stands.
    pub(crate) fn name_of(&self, path: &[i32]) -> Span {
        self.span(&join(path, &[NAME]))
    }

    /// Where an item stands, or the closest item around it.
    pub(crate) fn span(&self, path: &[i32]) -> Span {
        let found = (0..=path.len()).rev().find_map(|length| self.by_path.get(&path[..length]));
        found.map_or_else(|| self.start(), |location| self.resolve(&location.span))
    }

    /// Whether the file says something at this very path.
    pub(crate) fn has(&self, path: &[i32]) -> bool {
        self.by_path.contains_key(path)
    }

    /// An item's comment as documentation.
    pub(crate) fn docs(&self, path: &[i32]) -> Vec<String> {
        let Some(location) = self.by_path.get(path) else { return Vec::new() };
        let mut lines = documentation(location.leading_comments());
        let trailing = documentation(location.trailing_comments());
        if !lines.is_empty() && !trailing.is_empty() {
            lines.push(String::new());
        }
        lines.extend(trailing);
        lines
    }

    fn start(&self) -> Span {
        Span { file: self.file.to_owned(), start: 0, end: 0 }
    }

    /// Lines and columns of source info, both from 0 and in bytes, as offsets.
    fn resolve(&self, span: &[i32]) -> Span {
        let (start, end) = match *span {
            [line, start, end] => ((line, start), (line, end)),
            [line, start, end_line, end] => ((line, start), (end_line, end)),
            _ => return self.start(),
        };
        let Some(source) = self.sources.get(self.file) else { return self.start() };
        let offset = |(line, column): (i32, i32)| {
            let starts = std::iter::once(0).chain(source.text.match_indices('\n').map(|(at, _)| at + 1));
            let line_start = starts.take(usize::try_from(line).unwrap_or(0) + 1).last().unwrap_or(0);
            line_start + usize::try_from(column).unwrap_or(0)
        };
        Span { file: self.file.to_owned(), start: offset(start), end: offset(end) }
    }
}

/// A path and what follows it.
pub(crate) fn join(path: &[i32], rest: &[i32]) -> Vec<i32> {
    path.iter().chain(rest).copied().collect()
}

/// Where the item at `path` stands in a file that is only parsed.
pub(crate) fn span_of_path(file: &FileDescriptorProto, sources: &Sources, path: &[i32]) -> Span {
    Locations::new(file, sources).span(path)
}
