//! One reader's place in the stream.

use std::{collections::VecDeque, ops::Range, time::Duration};

use async_nats::jetstream::consumer::PullConsumer;
use es_core::{Error, Filter, Page, RecordedEvent, Result};
use tokio::time::sleep;

use super::{
    batch::{Batch, Next},
    page::cut,
    source::Source,
};
use crate::errors::unavailable;

/// Messages asked for at once, at most.
const AT_ONCE: usize = 4_096;
/// Bytes of the messages asked for at once, at most, and one message more: well below what a server lets wait for a slow
/// connection before it cuts it.
const BYTES_AT_ONCE: usize = 8 << 20;
/// Waited when the stream is said to go on and nothing comes that can be handed over: at first, doubled each time up to
/// the second.
const REST: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(250)];

/// Why an answer ended.
enum End {
    /// There was no more.
    Exhausted,
    /// As much as was asked for had come.
    Full,
    /// The next event is not to be had. Those before it are.
    Stuck(Error),
}

/// A consumer of the stream, and what it has delivered beyond the last page.
pub(super) struct Cursor {
    source: Source,
    subjects: Vec<String>,
    /// The store's epoch when this was opened.
    epoch: u64,
    /// Everything up to here was handed over.
    at: u64,
    /// Everything up to here that is wanted was delivered, or fetched.
    delivered: u64,
    /// The first message the stream had when the consumer was made.
    begins: u64,
    consumer: PullConsumer,
    /// The consumer's own count of what it has delivered.
    count: u64,
    ahead: VecDeque<RecordedEvent>,
    /// What to wait before more is asked for once there was nothing.
    rest: Duration,
    is_over: bool,
}

impl Cursor {
    pub(super) async fn open(source: Source, after: u64, subjects: Vec<String>) -> Result<Self> {
        let consumer = source.consumer(after, &subjects, false).await?;
        let begins = source.extent().await?.first;
        Ok(Self {
            epoch: source.epoch(),
            source,
            subjects,
            at: after,
            delivered: after,
            begins,
            consumer,
            count: 0,
            ahead: VecDeque::new(),
            rest: REST[0],
            is_over: false,
        })
    }

    /// The next page: whole commits, with everything that was published of the filter's subjects up to where it ends.
    /// After an error, the cursor is not where its consumer is any more.
    pub(super) async fn page(&mut self, limit: usize, known_head: u64, filter: &Filter) -> Result<Page> {
        let page = self.next(limit, known_head, filter).await?;
        // The reader would take it for one of the present epoch.
        if self.source.epoch() != self.epoch {
            return Err(unavailable("the store was restored after this was read; reading it again"));
        }
        Ok(page)
    }

    async fn next(&mut self, limit: usize, known_head: u64, filter: &Filter) -> Result<Page> {
        loop {
            if let Some(page) = self.take(limit, filter) {
                return Ok(page);
            }
            match self.more(limit, known_head).await? {
                End::Full => {}
                End::Stuck(error) => {
                    self.is_over = true;
                    return self.take(limit, filter).ok_or(error);
                }
                End::Exhausted => {
                    if let Some(last) = self.ahead.back() {
                        self.source.note(&last.meta);
                    }
                    if let Some(page) = self.take(limit, filter) {
                        return Ok(page);
                    }
                    // What is left is the begin of a commit whose rest is on its way, or nothing.
                    if known_head > self.at {
                        sleep(self.rest).await;
                        self.rest = (self.rest * 2).min(REST[1]);
                    }
                    return Ok(Page { events: Vec::new(), scanned_to: self.at });
                }
            }
        }
    }

    /// Takes what may be there for the page after the last one: one answer, and only when the stream is said to go on.
    pub(super) async fn read_ahead(&mut self, limit: usize, known_head: u64) -> Result<()> {
        if self.delivered >= known_head || self.ahead.len() >= limit {
            return Ok(());
        }
        if let End::Stuck(error) = self.more(limit, known_head).await? {
            self.is_over = true;
            return if self.has_unread() { Ok(()) } else { Err(error) };
        }
        Ok(())
    }

    /// Whether a page is there already.
    pub(super) fn has_unread(&self) -> bool {
        cut(&self.ahead, self.delivered, usize::MAX).0 > 0
    }

    /// Whether it can't go on behind what was delivered: another cursor has to.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// A page of what was delivered.
    fn take(&mut self, limit: usize, filter: &Filter) -> Option<Page> {
        let (whole, scanned_to) = cut(&self.ahead, self.delivered, limit);
        if scanned_to <= self.at {
            return None;
        }
        (self.at, self.rest) = (scanned_to, REST[0]);
        let events = self.ahead.drain(..whole).filter(|event| filter.admits(&event.meta)).collect();
        Some(Page { events, scanned_to })
    }

    /// Takes what the stream has beyond what was delivered, up to about a page.
    async fn more(&mut self, limit: usize, known_head: u64) -> Result<End> {
        // A page ends where a commit does.
        let rest = self.ahead.back().map_or(0, |last| last.meta.commit_last.saturating_sub(self.delivered));
        let rest = usize::try_from(rest).unwrap_or(AT_ONCE);
        let asked = limit.saturating_sub(self.ahead.len()).max(rest).clamp(1, AT_ONCE);
        if self.delivered + 1 < self.begins {
            // The stream no longer has the begin of the log.
            let most = self.delivered.saturating_add(asked as u64);
            let filled = self.fill(self.delivered + 1..self.begins.min(most + 1)).await;
            return Ok(filled.map_or_else(End::Stuck, |()| End::Full));
        }
        if !self.has_all() {
            return self.fetch_filtered(asked).await;
        }
        let end = self.fetch(asked, &[]).await?;
        if !matches!(end, End::Exhausted) {
            return Ok(end);
        }
        let filled = self.fill_the_end(known_head).await;
        Ok(filled.map_or_else(End::Stuck, |is_any| if is_any { End::Full } else { end }))
    }

    /// Takes what is there of a filter's subjects, and looks whether that was all.
    async fn fetch_filtered(&mut self, most: usize) -> Result<End> {
        // What the stream had before the messages are asked for, and while the consumer lived: so much was looked at when
        // no message is left.
        let (before, from) = (self.source.extent().await?, self.delivered);
        let end = self.fetch(most, &before.deleted).await?;
        let is_exhausted = matches!(end, End::Exhausted);
        if is_exhausted {
            // The answer may have ended because the connection did.
            let delivered = self.consumer.get_info().await.map_err(unavailable)?.delivered.consumer_sequence;
            if delivered != self.count {
                return Err(unavailable("messages were lost on the way; reading them again"));
            }
        }
        let now = self.source.extent().await?;
        let is_dropped = now.first > self.begins && now.first > from + 1;
        if is_dropped || now.deleted != before.deleted {
            return Err(unavailable("the stream dropped messages while they were read; reading them again"));
        }
        if is_exhausted {
            if let Err(error) = self.fill_deleted(before.last + 1, &before.deleted).await {
                return Ok(End::Stuck(error));
            }
            // Also what nobody wants of a commit is looked at with the whole of it.
            self.delivered = self.delivered.max(self.source.whole(before.last).await?);
        }
        Ok(end)
    }

    /// Takes what is there, at most so many messages.
    async fn fetch(&mut self, most: usize, deleted: &[u64]) -> Result<End> {
        let connection = self.source.nats().connection();
        let batch = Batch::request(&connection.client, &self.consumer, most, self.bytes_at_once()).await?;
        Ok(self.take_in(batch, deleted).await.unwrap_or_else(End::Stuck))
    }

    async fn take_in(&mut self, mut batch: Batch, deleted: &[u64]) -> Result<End> {
        let mut bytes = 0;
        loop {
            let (body, sequence, count) = match batch.next().await? {
                Next::Message { body, sequence, count } => (body, sequence, count),
                Next::Exhausted => return Ok(End::Exhausted),
                Next::Full => return Ok(End::Full),
            };
            if count != self.count + 1 {
                return Err(unavailable("a message was lost on the way; reading it again"));
            }
            self.count = count;
            // Older servers begin at the end of a stream that is shorter than where they are asked to begin.
            if sequence <= self.delivered {
                continue;
            }
            if self.has_all() {
                self.fill(self.delivered + 1..sequence).await?;
            } else {
                self.fill_deleted(sequence, deleted).await?;
            }
            let event = self.source.event(&body, sequence).await?;
            bytes += event.payload.len();
            let ends_a_commit = event.meta.commit_last == sequence;
            self.ahead.push_back(event);
            self.delivered = sequence;
            // Those that were left out of their messages count only now.
            if ends_a_commit && bytes > self.bytes_at_once() {
                return Err(unavailable("the events are too large to be read at once"));
            }
        }
    }

    /// When the stream is said to go on and nothing comes: fetches what was deleted at its end. Whether there was any.
    async fn fill_the_end(&mut self, known_head: u64) -> Result<bool> {
        if known_head <= self.delivered {
            return Ok(false);
        }
        let (extent, before) = (self.source.extent().await?, self.delivered);
        while extent.deleted.binary_search(&(self.delivered + 1)).is_ok() {
            self.fill(self.delivered + 1..self.delivered + 2).await?;
        }
        Ok(self.delivered > before)
    }

    /// Fetches what was deleted after what was delivered, and in front of a sequence.
    async fn fill_deleted(&mut self, before: u64, deleted: &[u64]) -> Result<()> {
        let from = deleted.partition_point(|sequence| *sequence <= self.delivered);
        for &sequence in deleted[from..].iter().take_while(|sequence| **sequence < before) {
            self.fill(sequence..sequence + 1).await?;
        }
        Ok(())
    }

    /// Fetches from the store what the stream should have and does not. When that is more than may be held at once, it
    /// ends earlier, with an error.
    async fn fill(&mut self, missing: Range<u64>) -> Result<()> {
        let (most, mut bytes) = (missing.start.saturating_add(AT_ONCE as u64), 0);
        let end = missing.end;
        for position in missing {
            let event = self.source.fetch(position).await.map_err(|error| Error::Unavailable {
                why: format!(
                    "stream `{}` has no message {position}, and it can't be fetched from its store: {error}",
                    self.source.stream()
                ),
            })?;
            bytes += event.payload.len();
            let ends_a_commit = event.meta.commit_last == position;
            self.ahead.push_back(event);
            self.delivered = position;
            let is_enough = position + 1 >= most || bytes > self.bytes_at_once();
            if ends_a_commit && is_enough && position + 1 < end {
                return Err(unavailable("the stream lacks more than is fetched at once"));
            }
        }
        Ok(())
    }

    fn bytes_at_once(&self) -> usize {
        BYTES_AT_ONCE + self.source.largest_message()
    }

    /// Whether it is sent every message.
    fn has_all(&self) -> bool {
        matches!(&*self.subjects, [one] if one.strip_suffix(".>") == Some(self.source.prefix()))
    }
}
