//! One page of events: handled in order, then the checkpoint moves.

use std::time::Duration;

use super::{Failure, Handler, Handling};
use crate::{
    Error, EventLog, Page, Progress, RecordedEvent, Result,
    backoff::Backoff,
    checkpoints::{Held, Sending},
};

/// How often the hook of the event that comes next has failed.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    position: u64,
    failed: u32,
}

impl Attempts {
    /// Counts a failure; the number of failures of this event so far.
    fn failed(&mut self, position: u64) -> u32 {
        if self.position != position {
            *self = Self { position, failed: 0 };
        }
        self.failed = self.failed.saturating_add(1);
        self.failed
    }
}

/// How far a page may go, and among how many partitions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Until {
    /// The log's end when the page was asked for.
    pub(super) head: u64,
    /// The last position to be handled; a commit ends there.
    pub(super) last: u64,
    /// How many partitions there are; a page is of one of them.
    pub(super) of: u32,
}

impl<H: Handler> Handling<H> {
    /// Handles the next page of the events of a partition.
    pub(super) async fn page(
        &self,
        store: &dyn EventLog,
        mut held: Held,
        until: Until,
        attempts: &mut Attempts,
    ) -> Result<Progress> {
        let filter = self.filter.clone().partition(held.at.partition, until.of);
        let Page { mut events, scanned_to } = store.read_all(held.at.position, H::PAGE, &filter).await?;
        held.at.store = held.at.follow(&self.name, store)?;
        let scanned_to = scanned_to.min(until.last);
        let progress = Progress::at(scanned_to).caught_up(scanned_to >= until.head);
        if scanned_to == held.at.position {
            return Ok(progress);
        }
        events.retain(|event| event.meta.position <= scanned_to);
        if let (true, Some(last)) = (H::NOTES, events.last()) {
            self.note(&mut held, last.meta.position, store).await?;
        }
        for (done, event) in events.iter().enumerate() {
            self.keep(&mut held, store).await?;
            if let Err(failure) = self.handle(&mut held, event, store).await? {
                let progress = |at| Progress::at(at).handled(done as u64, recorded_at(&events[..done]));
                let held = self.keep_commits_before(held, event).await?;
                return self.fail(event, failure, attempts).map(|pause| progress(held.at.position).again_after(pause));
            }
        }
        self.checkpoints.advance(&held, scanned_to, None).await?;
        Ok(progress.handled(events.len() as u64, recorded_at(&events)))
    }

    /// Has an event handled, while the lease is kept; one that the program does not know nobody can handle.
    async fn handle(
        &self,
        held: &mut Held,
        event: &RecordedEvent,
        store: &dyn EventLog,
    ) -> Result<Result<(), Failure>> {
        let meta = &event.meta;
        if self.filter.admits_type(&meta.event_type) {
            return self.keep_during(held, self.handler.handle(event, store.identity().id)).await;
        }
        let (stream, event_type) = ((*meta.stream).clone(), meta.event_type.to_string());
        let unknown = Error::UnknownEventType { stream, event_type, position: meta.position };
        Ok(Err(Failure::Settled(unknown.into())))
    }

    /// Notes what is about to be sent, unless it is noted; refuses to send again what was noted too long ago.
    async fn note(&self, held: &mut Held, to: u64, store: &dyn EventLog) -> Result<()> {
        let noted = held.at.sending;
        if let Some(Sending { to, since }) = noted
            && store.now().since(since) > crate::store::ANSWERS_ARE_KEPT
        {
            let (name, from) = (self.name.to_string(), held.at.position + 1);
            return Err(Error::SendingUnfinished { name, from, to, since });
        }
        let since = noted.map_or_else(|| store.now(), |noted| noted.since);
        let sending = Sending { to: to.max(noted.map_or(0, |noted| noted.to)), since };
        if noted != Some(sending) {
            *held = self.checkpoints.advance(held, held.at.position, Some(sending)).await?;
        }
        Ok(())
    }

    /// Moves the checkpoint right before the commit of an event that was not handled. The note stays: of that commit,
    /// something may have been sent.
    async fn keep_commits_before(&self, held: Held, event: &RecordedEvent) -> Result<Held> {
        let before = event.meta.commit_first.saturating_sub(1);
        if before <= held.at.position {
            return Ok(held);
        }
        self.checkpoints.advance(&held, before, held.at.sending).await
    }

    /// How long to wait before an event is tried again, or the error to stop with.
    fn fail(&self, event: &RecordedEvent, failure: Failure, attempts: &mut Attempts) -> Result<Duration> {
        let position = event.meta.position;
        let (source, failures) = match failure {
            Failure::Hook(source) => (source, Some(attempts.failed(position))),
            Failure::Settled(source) => (source, None),
            Failure::Passing(error) => return Err(error),
        };
        let Some(failures) = failures.filter(|failures| *failures <= self.retries) else {
            // Whoever resumes it gives it all its attempts again.
            *attempts = Attempts::default();
            return Err(Error::ProjectionFaulted { name: self.name.to_string(), position, source });
        };
        let pause = Backoff::SUBSCRIBER.pause(failures);
        tracing::warn!(name = &*self.name, position, error = %source, ?pause, "a hook failed; it will be tried again");
        Ok(pause)
    }
}

fn recorded_at(events: &[RecordedEvent]) -> Option<crate::Timestamp> {
    events.last().map(|event| event.meta.recorded_at)
}
