//! What is done about events that a projection did not handle: looked at, handled after all, passed over.

use std::sync::Arc;

use es_core::{Error, Filter, RecordedEvent, StreamKey};

use super::{
    Inner, ParkedEvent, SqliteProjection, failure,
    parked::{Kind, Notes},
};

impl SqliteProjection {
    /// The events that are [parked](crate::OnFailure::ParkAggregate), in order of position.
    ///
    /// # Errors
    /// What the storage reports.
    pub async fn parked(&self) -> Result<Vec<ParkedEvent>, Error> {
        self.inner.look_up(|notes| notes.list(Kind::Parked)).await
    }

    /// The events that were passed over, in order of position: by [`OnFailure::Skip`](crate::OnFailure::Skip) or by
    /// [`skip`](Self::skip).
    ///
    /// # Errors
    /// What the storage reports.
    pub async fn skipped(&self) -> Result<Vec<ParkedEvent>, Error> {
        self.inner.look_up(|notes| notes.list(Kind::Skipped)).await
    }

    /// Handles the parked events of an aggregate in order, each in a transaction of its own, and returns how many there
    /// were. After the last one the aggregate's events are handled as they come again.
    ///
    /// # Errors
    /// [`ProjectionFaulted`](Error::ProjectionFaulted) for the first that fails again: it stays parked, and so do those
    /// behind it. [`ProjectionChanged`](Error::ProjectionChanged), or what the storage reports.
    pub async fn release(&self, aggregate: &StreamKey) -> Result<u64, Error> {
        self.inner.check_all().await?;
        let mut released = 0;
        while let Some(position) = self.inner.look_up(|notes| notes.first_parked(aggregate)).await? {
            // None: somebody else was first.
            if self.inner.release_one(position).await? {
                released += 1;
            }
        }
        Ok(released)
    }

    /// [Releases](Self::release) each aggregate with parked events, also after one that fails again; returns how many
    /// events were handled.
    ///
    /// # Errors
    /// The first of the errors that [`release`](Self::release) has met, after all aggregates were tried.
    pub async fn release_all(&self) -> Result<u64, Error> {
        let (mut released, mut failed) = (0, None);
        for aggregate in self.inner.look_up(|notes| notes.parked_streams()).await? {
            match self.release(&aggregate).await {
                Ok(count) => released += count,
                Err(error @ Error::ProjectionFaulted { .. }) => failed = failed.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        failed.map_or(Ok(released), Err)
    }

    /// Passes over one event for good, and notes that: the event that a projection has halted at, or one that is
    /// parked. The other parked events of its aggregate stay parked until they are [released](Self::release).
    ///
    /// ```
    /// # #![allow(dead_code)]
    /// # use es_core::{Error, Result};
    /// # async fn example(balances: es_sqlite::SqliteProjection) -> Result<()> {
    /// if let Err(Error::ProjectionFaulted { position, .. }) = balances.catch_up().await {
    ///     balances.skip(position).await?;
    ///     balances.catch_up().await?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidRequest`](Error::InvalidRequest) for a position that the projection has already handled, that is not
    /// in the log, or whose event it has no hook for; or what the storage reports.
    pub async fn skip(&self, position: u64) -> Result<(), Error> {
        let event = self.inner.event(position).await?;
        let inner = Arc::clone(&self.inner);
        self.inner.target.write(move |connection, _| inner.skip(&inner.notes(connection), &event)).await
    }
}

impl Inner {
    async fn look_up<T>(&self, read: impl FnOnce(Notes<'_>) -> rusqlite::Result<T>) -> Result<T, Error> {
        self.target
            .readers()
            .read(|reader| {
                read(self.notes(&reader.connection)).map_err(|error| reader.place.error("reading parked events", error))
            })
            .await
    }

    async fn check_all(&self) -> Result<(), Error> {
        let checkpoints = self.checkpoints(self.store_id()).await?;
        checkpoints.iter().try_for_each(|checkpoint| self.check(checkpoint, self.source.log()))
    }

    /// The event at a position of the log.
    async fn event(&self, position: u64) -> Result<RecordedEvent, Error> {
        let page = self.source.log().read_all(position.saturating_sub(1), 1, &Filter::all()).await?;
        page.events
            .into_iter()
            .find(|event| event.meta.position == position)
            .ok_or_else(|| Error::InvalidRequest { why: format!("there is no event at position {position}") })
    }

    /// Handles a parked event; false when it is not parked any more.
    async fn release_one(self: &Arc<Self>, position: u64) -> Result<bool, Error> {
        let event = self.event(position).await?;
        let inner = Arc::clone(self);
        let released = self.target.write(move |connection, guard| {
            // First of all: whoever else releases it finds it gone.
            let (notes, at) = (inner.notes(connection), |error| inner.noting(error));
            if notes.first_parked(&event.meta.stream).map_err(at)? != Some(position) {
                // An earlier one was parked again meanwhile, by a rebuild.
                return Ok(false);
            }
            let is_parked = notes.unpark(position).map_err(at)?;
            if is_parked {
                inner.apply(connection, guard, &event)?;
            }
            Ok(is_parked)
        });
        let error = match released.await {
            Err(error @ Error::ProjectionFaulted { .. }) => error,
            answer => return answer,
        };
        if let Error::ProjectionFaulted { source, .. } = &error {
            let (inner, why) = (Arc::clone(self), failure::in_words(&**source));
            let noted = self.target.write(move |connection, _| {
                inner.notes(connection).failed_again(position, &why).map_err(|error| inner.noting(error))
            });
            noted.await?;
        }
        Err(error)
    }

    /// Notes that an event is to be passed over, inside the caller's transaction.
    fn skip(&self, notes: &Notes<'_>, event: &RecordedEvent) -> Result<(), Error> {
        let (position, at) = (event.meta.position, |error| self.noting(error));
        if notes.skip_parked(position).map_err(at)? {
            return Ok(());
        }
        let refuse = |why: &str| {
            let why = format!("`{}` can't pass over position {position}: {why}", self.name);
            Err(Error::InvalidRequest { why })
        };
        if !self.filter.admits(&event.meta) {
            return refuse("it has no hook for that event");
        }
        let checkpoints = super::checkpoint::Checkpoint::read(notes.connection, &self.name).map_err(at)?;
        let partition =
            es_core::partition_of(event.meta.stream.id.as_str(), u32::try_from(checkpoints.len()).unwrap_or(u32::MAX));
        let checkpoint = checkpoints.into_iter().find(|checkpoint| checkpoint.partition == partition);
        if checkpoint.ok_or_else(|| self.no_checkpoint())?.position >= position {
            return refuse("it has handled that already");
        }
        if notes.is_skipped(position).map_err(at)? {
            return Ok(());
        }
        notes.add(Kind::Skipped, &event.meta, None, 0, self.source.log().now()).map_err(at)
    }
}
