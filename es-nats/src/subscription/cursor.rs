//! One reader's place in the stream.

use std::{collections::VecDeque, time::Duration};

use async_nats::jetstream::consumer::PullConsumer;
use es_core::{Error, Filter, Page, RecordedEvent, Result};
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use super::{
    page::cut,
    source::{Source, unavailable},
};

/// Messages asked for at once, at most.
const AT_ONCE: usize = 4_096;
/// A server that is silent for longer amid an answer is taken for gone.
const SILENCE: Duration = Duration::from_secs(5);
/// Waited for the rest of a commit that is not published whole yet.
const REST: Duration = Duration::from_millis(2);

/// A consumer of the stream, and what it has delivered beyond the last page.
pub(super) struct Cursor {
    source: Source,
    subjects: Vec<String>,
    /// Everything up to here was handed over.
    at: u64,
    /// The position of the last message that was delivered, or where the consumer began.
    delivered: u64,
    consumer: PullConsumer,
    /// The consumer's own count of what it has delivered.
    count: u64,
    ahead: VecDeque<RecordedEvent>,
}

impl Cursor {
    pub(super) async fn open(source: Source, after: u64, subjects: Vec<String>) -> Result<Self> {
        let consumer = source.consumer(after, &subjects, false).await?;
        Ok(Self { source, subjects, at: after, delivered: after, consumer, count: 0, ahead: VecDeque::new() })
    }

    pub(super) fn continues(&self, after: u64, subjects: &[String]) -> bool {
        self.at == after && self.subjects == subjects
    }

    /// The next page: whole commits, with everything that was published of the filter's subjects up to where it ends.
    pub(super) async fn page(&mut self, limit: usize, known_head: u64, filter: &Filter) -> Result<Page> {
        loop {
            // What the stream had before the messages are asked for, and while the consumer lived: a filtered reader has
            // looked at that much when no message is left. One that is sent everything counts what it has.
            let head = if self.has_all() { 0 } else { self.source.head().await? };
            let asked = limit.saturating_sub(self.ahead.len()).clamp(1, AT_ONCE);
            let exhausted = self.fetch(asked).await? < asked;
            let reached = if exhausted { self.delivered.max(head) } else { self.delivered };
            let (whole, scanned_to) = cut(&self.ahead, reached);
            if whole > 0 || scanned_to > self.at {
                self.at = scanned_to;
                let events = self.ahead.drain(..whole).filter(|event| filter.admits(&event.meta)).collect();
                return Ok(Page { events, scanned_to });
            }
            if exhausted {
                // What is left is the begin of a commit whose rest is on its way, or nothing.
                if known_head > self.at {
                    sleep(REST).await;
                }
                return Ok(Page { events: Vec::new(), scanned_to: self.at });
            }
        }
    }

    /// Takes what is there, at most so many messages; how many there were.
    async fn fetch(&mut self, most: usize) -> Result<usize> {
        let mut messages = self.consumer.fetch().max_messages(most).messages().await.map_err(unavailable)?;
        let mut fetched = 0;
        loop {
            let next = timeout(SILENCE, messages.next()).await;
            let Some(message) = next.map_err(|_| unavailable("the server has stopped amid an answer"))? else {
                return Ok(fetched);
            };
            let message = message.map_err(unavailable)?;
            let info = message.info().map_err(unavailable)?;
            let (sequence, count) = (info.stream_sequence, info.consumer_sequence);
            if count != self.count + 1 {
                return Err(unavailable("a message was lost on the way; reading it again"));
            }
            self.count = count;
            self.fill(sequence).await?;
            self.ahead.push_back(self.source.event(&message.message, sequence).await?);
            self.delivered = sequence;
            fetched += 1;
        }
    }

    /// Fetches from the store what the stream should have before a message and does not.
    async fn fill(&mut self, sequence: u64) -> Result<()> {
        if !self.has_all() {
            return Ok(());
        }
        while self.delivered + 1 < sequence {
            let missing = self.delivered + 1;
            let event = self.source.fetch(missing).await.map_err(|error| Error::Unavailable {
                why: format!(
                    "stream `{}` has no message {missing}, and it can't be fetched from its store: {error}",
                    self.source.stream()
                ),
            })?;
            self.ahead.push_back(event);
            self.delivered = missing;
        }
        Ok(())
    }

    /// Whether it is sent every message.
    fn has_all(&self) -> bool {
        matches!(&*self.subjects, [one] if one.strip_suffix(".>") == Some(self.source.prefix()))
    }
}
