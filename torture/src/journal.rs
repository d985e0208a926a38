//! The history of a test: what was asked for, and what the store said.
//!
//! A line is written with one call, before the append and after its answer, so that a process that is killed leaves
//! what it knew.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    sync::{Mutex, PoisonError},
};

use es_core::{Appended, Error, Result};

/// A line of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A commit is asked for: events of each stream, in order.
    Asked {
        /// The command's id.
        id: String,
        /// Streams and how many events each gets.
        streams: Vec<(String, u64)>,
    },
    /// It is acknowledged.
    Stored {
        /// The command's id.
        id: String,
        /// Where its last event is said to stand.
        position: u64,
    },
    /// It is refused: nothing was stored.
    Refused {
        /// The command's id.
        id: String,
    },
}

impl Entry {
    fn line(&self) -> String {
        match self {
            Self::Asked { id, streams } => {
                let streams: Vec<_> = streams.iter().map(|(stream, events)| format!("{stream}={events}")).collect();
                format!("asked {id} {}\n", streams.join(","))
            }
            Self::Stored { id, position } => format!("stored {id} {position}\n"),
            Self::Refused { id } => format!("refused {id}\n"),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (kind, id) = (words.next()?, words.next()?.to_owned());
        Some(match kind {
            "asked" => {
                let stream = |part: &str| {
                    let (stream, events) = part.split_once('=')?;
                    Some((stream.to_owned(), events.parse().ok()?))
                };
                let streams = words.next()?.split(',').filter(|part| !part.is_empty());
                Self::Asked { id, streams: streams.map(stream).collect::<Option<_>>()? }
            }
            "stored" => Self::Stored { id, position: words.next()?.parse().ok()? },
            "refused" => Self::Refused { id },
            _ => return None,
        })
    }
}

/// Where a history is written.
#[derive(Debug)]
pub struct Journal {
    file: Option<File>,
    entries: Mutex<Vec<Entry>>,
}

impl Journal {
    /// A history that lasts as long as the process.
    pub fn in_memory() -> Self {
        Self { file: None, entries: Mutex::default() }
    }

    /// A history that outlives the process.
    pub fn in_file(path: impl AsRef<Path>) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path).expect("the history can be written");
        Self { file: Some(file), entries: Mutex::default() }
    }

    /// The history a process left. A line that was cut off was not said.
    pub fn read(path: impl AsRef<Path>) -> Vec<Entry> {
        // A process killed early has none.
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        whole.map(|line| Entry::parse(line).unwrap_or_else(|| panic!("a bad line: {line}"))).collect()
    }

    /// What was written so far, taken out.
    pub fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut *self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that a commit is asked for.
    pub fn asked(&self, id: &str, streams: &[(String, u64)]) {
        self.note(Entry::Asked { id: id.to_owned(), streams: streams.to_vec() });
    }

    /// Notes what was answered. An unknown outcome is no answer.
    pub fn answered(&self, id: &str, answer: &Result<Appended>) {
        let id = id.to_owned();
        match answer {
            Ok(Appended::Committed(committed)) => self.note(Entry::Stored { id, position: committed.position }),
            Ok(Appended::Replayed(outcome)) => self.note(Entry::Stored { id, position: outcome.position }),
            Err(Error::OutcomeUnknown { .. } | Error::Timeout { .. }) => {}
            Err(_) => self.note(Entry::Refused { id }),
        }
    }

    fn note(&self, entry: Entry) {
        match &self.file {
            // Appending needs no exclusive handle.
            Some(file) => (&*file).write_all(entry.line().as_bytes()).expect("the history can be written"),
            None => self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_it_was_written_and_half_a_line_was_not_said() {
        let entries = [
            Entry::Asked { id: "c-1".into(), streams: vec![("a".into(), 2), ("b".into(), 1)] },
            Entry::Stored { id: "c-1".into(), position: 3 },
            Entry::Refused { id: "c-2".into() },
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        let journal = Journal::in_file(&path);
        for entry in &entries {
            journal.note(entry.clone());
        }
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"stored c-3 1").unwrap();
        assert_eq!(Journal::read(&path), entries);
    }
}
