//! A stream made anew from the store.

use std::time::Duration;

use es_core::{Error, Result};
use tokio::time::sleep;

use super::{Inner, Relay, origin};
use crate::errors::unavailable;

/// Some servers need a moment between deleting a stream and making one of the same name.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

impl Relay {
    /// Deletes the stream, if there is one, and makes it anew; then the relay publishes the whole store, from position 1
    /// on. Where a relay has stopped, [`resume`](es_core::Running::resume) it afterwards.
    ///
    /// Readers that have the former stream open stop and say so; open the new one and run them again. Where the store was
    /// [restored](es_core::StoreIdentity::epoch) to an older state, those that have seen events that are gone then stop
    /// with [`StoreRestored`](Error::StoreRestored), also the ones that were not running meanwhile, and have to be rebuilt.
    /// The others go on.
    ///
    /// # Errors
    /// [`Diverged`](Error::Diverged) when the stream is another store's, which is left alone;
    /// [`CheckpointMoved`](Error::CheckpointMoved) while a relay in another process has the stream; or what the server or
    /// the storage reports.
    pub async fn reseed(&self) -> Result<()> {
        self.0.nats.link().explained(self.0.reseed()).await
    }
}

impl Inner {
    async fn reseed(&self) -> Result<()> {
        let work = &mut *self.work.lock().await;
        work.stop();
        let moved = |expected| Error::CheckpointMoved { name: self.name.to_string(), expected };
        if let Some(theirs) = self.hold(work, &*self.store).await? {
            return Err(moved(theirs.position));
        }
        let context = self.context();
        if let Some(stream) = self.find(&context).await? {
            origin::epoch_of(&stream.cached_info().config, &self.identity)?;
            context.delete_stream(&self.config.name).await.map_err(unavailable)?;
        }
        work.confirmed = 0;
        if let Some(held) = work.held.take() {
            // From here on there never was a stream: should we not come to make it, the relay does.
            work.held = Some(self.checkpoints.advance(&held, 0, None).await?);
        }
        for attempt in 1.. {
            match self.create(&context).await {
                Ok(_) => break,
                Err(error) if attempt == ATTEMPTS || matches!(error, Error::Refused { .. }) => return Err(error),
                Err(_) => sleep(PAUSE).await,
            }
        }
        tracing::info!(name = &*self.name, "the stream was made anew");
        Ok(())
    }
}
