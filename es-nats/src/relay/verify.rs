//! Whether the stream is equal to the store.

use std::{ops::RangeInclusive, time::Duration};

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use es_core::{Error, Filter, RecordedEvent, Result};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::{Inner, Relay, errors::connection, errors::diverged, settings};
use crate::event_subject::event_subject;

/// A message that does not come for so long does not come.
const PATIENCE: Duration = Duration::from_secs(5);
const PAGE: usize = 500;

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

    fn miss(&mut self, positions: RangeInclusive<u64>) {
        if !positions.is_empty() {
            self.missing.push(positions);
        }
    }
}

impl Relay {
    /// Compares the whole stream with the store, byte for byte. It takes as long as reading both.
    ///
    /// # Errors
    /// [`Diverged`](Error::Diverged) when the stream is gone or another store's, or what the server or the storage
    /// reports.
    pub async fn verify(&self) -> Result<Verified> {
        self.0.verify().await
    }
}

impl Inner {
    async fn verify(&self) -> Result<Verified> {
        let name = &self.config.name;
        let stream = self.find(&self.nats.jetstream()).await?.ok_or_else(|| diverged(name, "it does not exist"))?;
        let info = stream.cached_info();
        settings::epoch_of(&info.config, &self.identity)?;
        let (first, last) = (info.state.first_sequence.max(1), info.state.last_sequence);
        let mut found = Verified { first, last, ..Verified::default() };
        if info.state.messages == 0 {
            return Ok(found);
        }
        let all = pull::OrderedConfig { deliver_policy: DeliverPolicy::All, ..Default::default() };
        let consumer = stream.create_consumer(all).await.map_err(connection)?;
        let mut messages = consumer.messages().await.map_err(connection)?;
        let (mut next, mut store) = (first, Reader { inner: self, page: Vec::new().into_iter() });
        while next <= last {
            let Ok(Some(message)) = timeout(PATIENCE, messages.next()).await else {
                return Err(Error::Unavailable { why: format!("stream `{name}` gave nothing after {}", next - 1) });
            };
            let message = message.map_err(connection)?;
            let place = message.info().map_err(connection)?;
            let (sequence, left) = (place.stream_sequence, place.pending);
            if sequence > last {
                break;
            }
            found.miss(next..=sequence - 1);
            next = sequence + 1;
            let why = match store.event(sequence).await? {
                None => Some("the store has no such event".into()),
                Some(event) if *message.subject != *event_subject(&self.prefix, &event.meta) => {
                    Some(format!("it is under another subject: {}", message.subject))
                }
                Some(event) => self.differs(&message.payload, &event),
            };
            found.differing.extend(why.map(|why| (sequence, why)));
            if left == 0 {
                break;
            }
        }
        found.miss(next..=last);
        Ok(found)
    }
}

/// The events of the store, asked for in order.
struct Reader<'a> {
    inner: &'a Inner,
    page: std::vec::IntoIter<RecordedEvent>,
}

impl Reader<'_> {
    async fn event(&mut self, position: u64) -> Result<Option<RecordedEvent>> {
        if let Some(event) = self.page.find(|event| event.meta.position == position) {
            return Ok(Some(event));
        }
        self.page = self.inner.store.read_all(position - 1, PAGE, &Filter::all()).await?.events.into_iter();
        Ok(self.page.next().filter(|event| event.meta.position == position))
    }
}
