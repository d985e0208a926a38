//! Who holds which unique key, by the events.

use std::collections::HashMap;

use es_core::{ClaimChange, Commit, Expected, NewEvent, StreamKey, wire};

use crate::schema;

/// Tenant (empty for none), constraint, key.
pub(super) type Key = (String, String, String);

/// The unique keys as the log says, commit by commit.
#[derive(Debug, Default)]
pub(super) struct Held {
    held: HashMap<Key, i64>,
    /// The changes of the commit that is being read.
    commit: Commit,
    numbers: HashMap<StreamKey, i64>,
}

impl Held {
    /// Notes what an event changes.
    pub(super) fn event(&mut self, number: i64, stream: &StreamKey, claims: Vec<wire::ClaimChange>) {
        if claims.is_empty() {
            return;
        }
        let mut event = NewEvent::raw("", Vec::new());
        event.claims = claims.into_iter().map(ClaimChange::from).collect();
        self.numbers.insert(stream.clone(), number);
        self.commit = std::mem::take(&mut self.commit).and(stream.clone(), Expected::Any, vec![event]);
    }

    /// The commit is over: what counts is its net effect, as when it was written.
    pub(super) fn commit(&mut self) {
        if self.numbers.is_empty() {
            return;
        }
        for (stream, change) in self.commit.claim_changes() {
            let tenant = schema::tenant(stream.tenant.as_ref()).to_owned();
            let (key, number) = ((tenant, change.constraint.clone(), change.key.clone()), self.numbers[stream]);
            match change.release {
                false => drop(self.held.insert(key, number)),
                true if self.held.get(&key) == Some(&number) => drop(self.held.remove(&key)),
                true => {}
            }
        }
        self.commit = Commit::default();
        self.numbers.clear();
    }

    /// All keys, with the numbers of their streams.
    pub(super) fn keys(&self) -> HashMap<&Key, i64> {
        self.held.iter().map(|(key, number)| (key, *number)).collect()
    }
}
