//! Holds a log against the history of those who wrote it. It knows what a store promises, and nothing of how it is
//! kept.
//!
//! What an acknowledged commit is: readable, byte for byte, where it was said to be (I1). A commit is there whole or
//! not at all (I2); versions (I3) and positions (I4) are dense, and what was read once stays as it is; a commit without
//! an answer is absent, or there once with its outcome under the command's id (I6); one that was refused is absent.

use std::collections::HashMap;

use es_core::{CommandId, EventStore, Filter, RecordedEvent, Timestamp};

use crate::{
    journal::Entry,
    work::{payload, stream},
};

/// What those who asked for a commit know of it.
#[derive(Debug, Default)]
struct Told {
    streams: Vec<(String, u64)>,
    stored: Option<u64>,
    refused: bool,
    /// Times it was asked for without an answer: it may be there whatever a later refusal says.
    unanswered: u32,
    settled: bool,
}

impl Told {
    /// The stream of an event of the commit.
    fn stream_of(&self, index: u64) -> Option<&str> {
        let mut end = 0;
        self.streams.iter().find_map(|(stream, events)| {
            end += events;
            (index < end).then_some(stream.as_str())
        })
    }

    fn events(&self) -> u64 {
        self.streams.iter().map(|(_, events)| events).sum()
    }
}

/// Reads a log as it grows.
#[derive(Debug, Default)]
pub struct Checker {
    told: HashMap<String, Told>,
    waiting: Vec<String>,
    versions: HashMap<String, u64>,
    stored: HashMap<String, u64>,
    last: Option<RecordedEvent>,
    acknowledged: u64,
    violations: Vec<String>,
}

impl Checker {
    /// A checker that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many commits were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// What was found to be wrong.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Notes something that is wrong.
    pub fn violated(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    /// Takes in a piece of history.
    pub fn learn(&mut self, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            match entry {
                Entry::Asked { id, streams } => {
                    let told = self.told.entry(id.clone()).or_default();
                    told.streams = streams;
                    // Asked once more, it may be carried out after all.
                    told.refused = false;
                    told.unanswered += 1;
                    told.settled = false;
                    self.waiting.push(id);
                }
                Entry::Stored { id, position } => {
                    let told = self.told.entry(id.clone()).or_default();
                    told.unanswered = 0;
                    let before = told.stored.replace(position);
                    self.acknowledged += u64::from(before.is_none());
                    if before.is_some_and(|before| before != position) {
                        self.violated(format!("{id} was said to be at {before:?}, then at {position}"));
                    }
                }
                Entry::Refused { id } => {
                    let told = self.told.entry(id).or_default();
                    told.unanswered = told.unanswered.saturating_sub(1);
                    told.refused = told.unanswered == 0;
                }
            }
        }
    }

    /// Reads the log from where it was left, and asks for the outcome of each command that was learned since.
    pub async fn check(&mut self, store: &dyn EventStore) {
        if let Err(error) = self.read(store).await {
            self.violated(format!("the log can't be read: {error}"));
        }
        for id in std::mem::take(&mut self.waiting) {
            if let Err(error) = self.settle(store, &id).await {
                self.violated(format!("the outcome of {id} can't be read: {error}"));
            }
        }
    }

    /// As [`check`](Self::check), and reads all of it once more from the start.
    pub async fn check_whole(&mut self, store: &dyn EventStore) {
        self.check(store).await;
        let told = self.told.iter_mut().map(|(id, told)| {
            told.settled = false;
            id.clone()
        });
        self.waiting = told.collect();
        self.versions.clear();
        self.stored.clear();
        self.last = None;
        self.check(store).await;
    }

    async fn read(&mut self, store: &dyn EventStore) -> es_core::Result<()> {
        let mut after = 0;
        if let Some(last) = &self.last {
            // What was read once stays: the last commit is read again.
            after = last.meta.commit_first - 1;
            let page = store.read_all(after, 1, &Filter::all()).await?;
            if page.events.last() != Some(last) {
                let what =
                    format!("position {} was {last:?} and now the log has {:?}", last.meta.position, page.events);
                self.violated(what);
            }
            after = after.max(page.scanned_to);
        }
        loop {
            let page = store.read_all(after, 1_000, &Filter::all()).await?;
            if page.scanned_to == after {
                let head = store.head().await?;
                if head != after {
                    self.violated(format!("the head is {head}, the log ends at {after}"));
                }
                return Ok(());
            }
            after = page.scanned_to;
            for event in page.events {
                self.event(event);
            }
        }
    }

    fn event(&mut self, event: RecordedEvent) {
        let meta = &event.meta;
        let at = meta.position;
        let mut wrong = Vec::new();
        let (previous, time) = self
            .last
            .as_ref()
            .map_or((0, Timestamp::from_micros(i64::MIN)), |last| (last.meta.position, last.meta.recorded_at));
        if at != previous + 1 {
            wrong.push(format!("position {at} follows {previous}"));
        }
        if meta.recorded_at < time {
            wrong.push(format!("time runs back at position {at}"));
        }
        let version = self.versions.entry(meta.stream.to_string()).or_default();
        *version += 1;
        if meta.version != *version {
            wrong.push(format!("position {at} is version {} of {}, not {version}", meta.version, meta.stream));
        }
        let id = match meta.origin() {
            Ok(origin) => origin.command_id.clone().unwrap_or_default(),
            Err(error) => {
                wrong.push(format!("the origin of position {at} can't be read: {error}"));
                String::new()
            }
        };
        match self.told.get(&id) {
            None => wrong.push(format!("position {at} is of command `{id}`, which nobody asked for")),
            Some(told) => {
                let (first, last) = (meta.commit_first, meta.commit_last);
                let index = at.wrapping_sub(first);
                if first > at || last < at || last + 1 - first != told.events() {
                    wrong.push(format!("position {at}: {id} is torn: {first} to {last} of {} events", told.events()));
                } else if told.stream_of(index).map(stream).as_ref() != Some(&meta.stream) {
                    wrong.push(format!("position {at} of {id} is in {}", meta.stream));
                } else if event.payload != payload(&id, index) {
                    wrong.push(format!("position {at} of {id} has other bytes than were written"));
                }
                if self.stored.insert(id.clone(), last).is_some_and(|before| before != last) {
                    wrong.push(format!("position {at}: {id} is stored twice"));
                }
            }
        }
        self.violations.append(&mut wrong);
        self.last = Some(event);
    }

    async fn settle(&mut self, store: &dyn EventStore, id: &str) -> es_core::Result<()> {
        let Some(told) = self.told.get_mut(id) else { return Ok(()) };
        if std::mem::replace(&mut told.settled, true) {
            return Ok(());
        }
        let (said, refused, events) = (told.stored, told.refused, told.events());
        let stored = self.stored.get(id).copied();
        let outcome = store.outcome(None, &CommandId::new(id)?).await?;
        if let Some(position) = said
            && stored != Some(position)
            && events > 0
        {
            self.violated(format!("LOST: {id} was acknowledged at {position}, and is at {stored:?}"));
        }
        if refused && said.is_none() && (stored.is_some() || outcome.is_some()) {
            self.violated(format!("{id} was refused, and is at {stored:?}"));
        }
        if events > 0 && outcome.as_ref().map(|outcome| outcome.position) != stored {
            self.violated(format!("the outcome of {id} is {outcome:?}, its events end at {stored:?}"));
        }
        if let Some(outcome) = outcome
            && outcome.record.answer != es_core::Answer::Accepted(payload(id, u64::MAX))
        {
            self.violated(format!("{id} was answered something else"));
        }
        Ok(())
    }
}
