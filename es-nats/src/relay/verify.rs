//! Whether the stream is equal to the store.

use std::ops::RangeInclusive;

use es_core::Result;

use super::{Inner, Relay, origin};
use crate::errors::diverged;

/// What [`Relay::verify`] has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The stream's first sequence.
    pub first: u64,
    /// The stream's last sequence; what the store has beyond it is not relayed yet.
    pub last: u64,
    /// Positions between the two of which the stream has no message. Readers ask the store for these.
    pub missing: Vec<RangeInclusive<u64>>,
    /// Positions at which the stream has something else than the store, and what.
    pub differing: Vec<(u64, String)>,
}

impl Verified {
    /// Whether every event from the first to the last is there, byte for byte.
    pub fn is_equal(&self) -> bool {
        self.missing.is_empty() && self.differing.is_empty()
    }

    pub(super) fn miss(&mut self, position: u64) {
        match self.missing.last_mut() {
            Some(range) if range.end() + 1 == position => *range = *range.start()..=position,
            _ => self.missing.push(position..=position),
        }
    }
}

impl Relay {
    /// Compares the whole stream with the store, byte for byte. Each message is asked for, so it takes its time.
    ///
    /// # Errors
    /// [`Diverged`](es_core::Error::Diverged) when the stream is gone or another store's, or what the server or the
    /// storage reports.
    pub async fn verify(&self) -> Result<Verified> {
        self.0.nats.link().explained(self.0.verify()).await
    }
}

impl Inner {
    async fn verify(&self) -> Result<Verified> {
        let name = &self.config.name;
        let stream = self.find(&self.context()).await?.ok_or_else(|| diverged(name, "it does not exist"))?;
        let info = stream.cached_info();
        origin::epoch_of(&info.config, &self.identity)?;
        let (first, last) = (info.state.first_sequence.max(1), info.state.last_sequence);
        let mut found = Verified { first, last, ..Verified::default() };
        self.compare(&*self.store, &stream, first..=last, &mut found).await?;
        Ok(found)
    }
}
