//! One page of events into the read model, with its checkpoint, in one transaction.

use std::sync::Arc;

use es_core::{Error, EventStore, Page, Progress, RecordedEvent, guard_call};
use rusqlite::Connection;

use super::{
    Guard, Inner, Tx,
    checkpoint::{Checkpoint, Moving},
    target::Target,
};
use crate::errors;

/// Events of a page, far from the head or in a file of its own: each page costs a sync.
const PAGE: usize = 1_000;
/// Events of a page near the head, written by the store's writer, which has others waiting.
const PAGE_NEAR_HEAD: usize = 200;

impl Inner {
    /// The checkpoint, if it is one of this store.
    pub(super) async fn checkpoint(&self, store: uuid::Uuid) -> Result<Checkpoint, Error> {
        let read = self.target.readers().read(|reader| {
            Checkpoint::read(&reader.connection, &self.name)
                .map_err(|error| reader.place.error("reading a checkpoint", error))
        });
        read.await?.ok_or_else(|| self.no_checkpoint())?.of_store(&self.name, store)
    }

    pub(super) fn no_checkpoint(&self) -> Error {
        Error::Corrupt { what: format!("checkpoint of `{}`", self.name), why: "it is missing".into() }
    }

    /// Handles the next page.
    pub(super) async fn advance(self: &Arc<Self>, store: &dyn EventStore) -> Result<Progress, Error> {
        let checkpoint = self.checkpoint(store.identity().id).await?;
        self.hooked.check(&self.name, &checkpoint.hooked)?;
        let head = store.head().await?;
        if checkpoint.position > head {
            let (name, checkpoint) = (self.name.clone(), checkpoint.position);
            return Err(Error::CheckpointAhead { name, checkpoint, head });
        }
        let limit = match self.target {
            Target::Store(_) if head - checkpoint.position <= PAGE as u64 => PAGE_NEAR_HEAD,
            Target::Store(_) | Target::File(_) => PAGE,
        };
        let Page { events, scanned_to } = store.read_all(checkpoint.position, limit, &self.filter).await?;
        let progress = Progress::at(scanned_to)
            .caught_up(scanned_to >= head)
            .handled(events.len() as u64, events.last().map(|event| event.meta.recorded_at));
        if scanned_to == checkpoint.position {
            return Ok(progress);
        }
        let events: Arc<[RecordedEvent]> = events.into();
        let Err(error) = self.keep(&checkpoint, &events, events.len(), scanned_to).await else { return Ok(progress) };
        // All whole commits before the one that failed are kept, so that the read model stands right before it.
        if let Error::ProjectionFaulted { position, .. } = &error
            && let Some(failed) = events.iter().find(|event| event.meta.position == *position)
        {
            let before = failed.meta.commit_first - 1;
            let count = events.partition_point(|event| event.meta.position <= before);
            if before > checkpoint.position {
                self.keep(&checkpoint, &events, count, before).await?;
            }
        }
        Err(error)
    }

    /// Applies the first events of a page and moves the checkpoint, or does neither.
    async fn keep(
        self: &Arc<Self>,
        checkpoint: &Checkpoint,
        events: &Arc<[RecordedEvent]>,
        count: usize,
        to: u64,
    ) -> Result<(), Error> {
        let (inner, events, checkpoint) = (Arc::clone(self), Arc::clone(events), checkpoint.clone());
        self.target
            .write(move |connection, guard| {
                // First of all: hooks that another owner has run before would fail for no reason of their own.
                checkpoint.move_to(connection, &inner.name, to).map_err(|moving| match moving {
                    Moving::Moved => Error::CheckpointMoved { name: inner.name.clone(), expected: checkpoint.position },
                    Moving::Failed(error) => inner.target.place().error("moving a checkpoint", error),
                })?;
                events[..count].iter().try_for_each(|event| inner.apply(connection, guard, event))
            })
            .await
    }

    /// Calls the hooks of one event, under watch.
    pub(super) fn apply(&self, connection: &Connection, guard: &Guard, event: &RecordedEvent) -> Result<(), Error> {
        let tx = Tx::new(connection, Some(guard));
        for hook in self.hooks.get(&*event.meta.event_type).into_iter().flatten() {
            let called =
                guard_call(|| format!("a hook for {}", event.meta.event_type), || guard.watch(|| hook(&tx, event)));
            let failure = match called {
                Ok(Ok(())) => continue,
                Ok(Err(source)) => match source.downcast::<rusqlite::Error>() {
                    // A full disk says nothing about the event: it can be handled once there is room.
                    Ok(error) if errors::is_of_the_storage(&error) => {
                        return Err(self.target.place().error("running a projection's hook", *error));
                    }
                    Ok(error) => error,
                    Err(source) => source,
                },
                Err(panicked) => panicked.into(),
            };
            let (name, position) = (self.name.clone(), event.meta.position);
            return Err(Error::ProjectionFaulted { name, position, source: failure });
        }
        Ok(())
    }
}
