//! The events alone, for those who want no checkpoint kept for them.

use std::collections::VecDeque;

use es_core::{
    Encoded, Error, EventLog, EventMeta, EventSet, Filter, RecordedEvent, Result, Retry, subscriber::pause_before_retry,
};
use futures_util::{
    StreamExt,
    stream::{BoxStream, try_unfold},
};
use tokio::{sync::watch, time::sleep};

use super::Subscription;

/// Events read at once.
const PAGE: usize = 500;

struct Reading {
    log: Subscription,
    head: watch::Receiver<u64>,
    filter: Filter,
    after: u64,
    page: VecDeque<RecordedEvent>,
}

impl Subscription {
    /// The events after a position that a filter admits, those yet to come included: it never ends by itself, and waits
    /// while the server is away. After an error it has ended; go on after the position of the last event.
    ///
    /// ```
    /// # use es_core::{Filter, Result};
    /// # use es_nats::Subscription;
    /// use futures_util::TryStreamExt;
    /// # async fn example(log: Subscription) -> Result<()> {
    /// let mut events = log.events(0, Filter::all().stream_types(["bank.v1.Account"]));
    /// while let Some(event) = events.try_next().await? {
    ///     println!("{} {}", event.meta.position, event.meta.event_type);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn events(&self, after: u64, filter: Filter) -> BoxStream<'static, Result<RecordedEvent>> {
        let head = self.watch();
        let reading = Reading { log: self.clone(), head, filter, after, page: VecDeque::new() };
        Box::pin(try_unfold(reading, async |mut reading| {
            let event = reading.next().await?;
            Ok(Some((event, reading)))
        }))
    }

    /// The events of one aggregate, decoded: [`events`](Self::events) of the stream type it is stored under.
    ///
    /// An event that the set does not know is an error, [`UnknownEventType`](Error::UnknownEventType): a newer program
    /// wrote it.
    pub fn events_of<S: EventSet>(
        &self,
        stream_type: impl Into<String>,
        after: u64,
    ) -> BoxStream<'static, Result<(S, EventMeta)>> {
        let events = self.events(after, Filter::all().stream_types([stream_type.into()]));
        Box::pin(events.map(|event| event.and_then(decode)))
    }
}

impl Reading {
    async fn next(&mut self) -> Result<RecordedEvent> {
        let mut failures = 0;
        loop {
            if let Some(event) = self.page.pop_front() {
                return Ok(event);
            }
            self.head.borrow_and_update();
            let page = match self.log.read_all(self.after, PAGE, &self.filter).await {
                Err(error) if error.retry() == Retry::Safe => {
                    failures += 1;
                    let pause = pause_before_retry(failures);
                    tracing::warn!(stream = self.log.stream(), %error, ?pause, "a page was not read; will try again");
                    sleep(pause).await;
                    continue;
                }
                page => page?,
            };
            let moved = page.scanned_to > self.after;
            (self.after, self.page) = (page.scanned_to, page.events.into());
            if !moved && self.head.changed().await.is_err() {
                return Err(Error::ShuttingDown);
            }
        }
    }
}

fn decode<S: EventSet>(event: RecordedEvent) -> Result<(S, EventMeta)> {
    let RecordedEvent { meta, payload } = &event;
    if !S::TYPES.contains(&&*meta.event_type) {
        let (stream, event_type) = ((*meta.stream).clone(), meta.event_type.to_string());
        return Err(Error::UnknownEventType { stream, event_type, position: meta.position });
    }
    let encoded =
        Encoded { event_type: &meta.event_type, schema_version: meta.schema_version, encoding: meta.encoding, payload };
    let decoded = S::decode(encoded).map_err(|source| Error::Decode {
        what: format!("event `{}` at position {}", meta.event_type, meta.position),
        source,
    })?;
    Ok((decoded, event.meta))
}
