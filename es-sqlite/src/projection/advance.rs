//! The next page of a partition: who may handle it, how often, and what becomes of an event that fails.

use std::sync::Arc;

use es_core::{Error, EventLog, Page, Progress, subscriber::pause_before_retry};

use super::{
    Inner,
    checkpoint::Checkpoint,
    dangling::is_dangling,
    failure::{self, OnFailure},
    page::{Batch, Care},
    target::Target,
};
use crate::blocking;

/// Events of a page, far from the head or in a file of its own: each page costs a sync.
const PAGE: usize = 1_000;
/// Events of a page near the head, written by the store's writer, which has others waiting.
pub(super) const PAGE_NEAR_HEAD: usize = 200;

impl Inner {
    /// The checkpoints of all partitions, if they are of this store.
    pub(super) async fn checkpoints(&self, store: uuid::Uuid) -> Result<Vec<Checkpoint>, Error> {
        let read = self.target.readers().read(|reader| {
            Checkpoint::read(&reader.connection, &self.name)
                .map_err(|error| reader.place.error("reading a checkpoint", error))
        });
        let checkpoints = read.await?;
        if checkpoints.is_empty() {
            return Err(self.no_checkpoint());
        }
        checkpoints.iter().try_for_each(|checkpoint| checkpoint.of_store(&self.name, store))?;
        Ok(checkpoints)
    }

    /// The checkpoint of the partition that is the furthest behind.
    pub(super) async fn checkpoint(&self, store: uuid::Uuid) -> Result<Checkpoint, Error> {
        let all = self.checkpoints(store).await?;
        all.into_iter().min_by_key(|checkpoint| checkpoint.position).ok_or_else(|| self.no_checkpoint())
    }

    pub(super) fn no_checkpoint(&self) -> Error {
        Error::Corrupt { what: format!("checkpoint of `{}`", self.name), why: "it is missing".into() }
    }

    /// Refuses a checkpoint of a read model that is not what the hooks have made of the beginning of this log.
    pub(super) fn check(&self, checkpoint: &Checkpoint, log: &dyn EventLog) -> Result<(), Error> {
        checkpoint.follow(&self.name, log)?;
        self.hooked.check(&self.name, &checkpoint.hooked)
    }

    /// Handles the next page of a partition, unless it is somebody else's.
    pub(super) async fn advance(self: &Arc<Self>, log: &dyn EventLog, partition: u32) -> Result<Progress, Error> {
        if partition >= self.partitions {
            let why = format!("`{}` has {} partitions, there is no number {partition}", self.name, self.partitions);
            return Err(Error::InvalidRequest { why });
        }
        let checkpoints = self.checkpoints(log.identity().id).await?;
        checkpoints.iter().try_for_each(|checkpoint| self.check(checkpoint, log))?;
        if checkpoints.len() != self.partitions as usize {
            return self.repartition(log, checkpoints).await;
        }
        let checkpoint = checkpoints.into_iter().find(|checkpoint| checkpoint.partition == partition);
        let checkpoint = checkpoint.ok_or_else(|| self.no_checkpoint())?;
        if self.owner.must_wait(&checkpoint, self.source.log().now()) {
            return Ok(Progress::at(checkpoint.position).standby());
        }
        self.next_page(log, checkpoint, self.partitions, u64::MAX).await
    }

    /// Handles the next page of a partition of so many, and at most up to a position (where a commit ends).
    pub(super) async fn next_page(
        self: &Arc<Self>,
        log: &dyn EventLog,
        checkpoint: Checkpoint,
        partitions: u32,
        at_most: u64,
    ) -> Result<Progress, Error> {
        let (limit, known_head) = match self.target {
            Target::Store(_) => match self.head(log, &checkpoint).await? {
                head if head - checkpoint.position <= PAGE as u64 => (PAGE_NEAR_HEAD, Some(head)),
                head => (PAGE, Some(head)),
            },
            Target::File(_) => (PAGE, None),
        };
        let Page { mut events, scanned_to } = match partitions {
            1 => log.read_all(checkpoint.position, limit, &self.filter).await?,
            of => {
                let filter = self.filter.clone().partition(checkpoint.partition, of);
                log.read_all(checkpoint.position, limit, &filter).await?
            }
        };
        let restored_to = checkpoint.restored_to(log);
        let checkpoint = checkpoint.following(&self.name, log)?;
        // A log elsewhere takes its time to say where its head is, and behind a full page it hardly matters.
        let is_full = scanned_to > checkpoint.position && events.len() >= limit;
        let head = match known_head {
            None if is_full => u64::MAX,
            None => self.head(log, &checkpoint).await?,
            Some(head) => head,
        };
        let to = scanned_to.min(at_most);
        events.truncate(events.partition_point(|event| event.meta.position <= to));
        if to == checkpoint.position {
            return Ok(Progress::at(to).caught_up(to >= head));
        }
        let pass = to >= head && !self.owner.stays();
        let count = events.len();
        let Batch { events, count, to, .. } =
            self.handle(Batch { checkpoint, restored_to, events: events.into(), count, to, pass }).await?;
        let last = count.checked_sub(1).map(|last| events[last].meta.recorded_at);
        Ok(Progress::at(to).caught_up(to >= head).handled(count as u64, last))
    }

    /// Where the log ends: not in front of the checkpoint.
    async fn head(&self, log: &dyn EventLog, checkpoint: &Checkpoint) -> Result<u64, Error> {
        match log.head().await? {
            head if checkpoint.position > head => Err(log.ends_before(&self.name, checkpoint.position, head)),
            head => Ok(head),
        }
    }

    /// Handles a page, again and again if need be, until it is kept or stops the projection. Gives back as much of it as
    /// was kept.
    async fn handle(self: &Arc<Self>, mut batch: Batch) -> Result<Batch, Error> {
        let mut care: Option<Care> = None;
        let mut retry = 0;
        loop {
            let Err(mut error) = self.keep(&batch, care.clone()).await else { return Ok(batch) };
            if is_dangling(&error) {
                match batch.first_half() {
                    Some(half) => {
                        batch = half;
                        continue;
                    }
                    None => error = self.blame(&batch, care.clone(), error).await,
                }
            }
            let Error::ProjectionFaulted { position, source, .. } = &error else { return Err(error) };
            let (position, is_permanent) = (*position, failure::is_permanent(&**source));
            let is_last = retry >= self.policy.retries;
            match (self.policy.on_failure, &mut care) {
                (OnFailure::Halt, _) if is_permanent || is_last => {
                    self.keep_up_to(batch, position).await?;
                    return Err(error);
                }
                (OnFailure::Halt, _) => {}
                (_, None) => care = Some(Care { stopped_at: position, ..Care::default() }),
                (_, Some(care)) if is_permanent || is_last => {
                    care.given_up.insert(position, failure::in_words(&**source));
                    continue;
                }
                (_, Some(_)) => {}
            }
            retry += 1;
            if let Some(care) = &mut care {
                (care.attempts, care.last) = (retry, retry >= self.policy.retries);
            }
            if !is_permanent && retry <= self.policy.retries {
                tracing::warn!(projection = self.name, position, %error, retry, "will try again");
                blocking::pause(pause_before_retry(retry)).await;
            }
        }
    }

    /// Keeps all whole commits before the one that failed, so that the read model stands right before it.
    async fn keep_up_to(self: &Arc<Self>, mut batch: Batch, failed: u64) -> Result<(), Error> {
        let Some(event) = batch.events.iter().find(|event| event.meta.position == failed) else { return Ok(()) };
        batch.to = event.meta.commit_first.saturating_sub(1);
        batch.count = batch.events.partition_point(|event| event.meta.position <= batch.to);
        batch.pass = !self.owner.stays();
        if batch.to > batch.checkpoint.position { self.keep(&batch, None).await } else { Ok(()) }
    }

    /// Runs a page and moves the checkpoint, or does neither.
    pub(super) async fn keep(self: &Arc<Self>, batch: &Batch, care: Option<Care>) -> Result<(), Error> {
        let (inner, batch) = (Arc::clone(self), batch.clone());
        self.target.write(move |connection, guard| inner.run(connection, guard, &batch, care.as_ref())).await
    }
}
