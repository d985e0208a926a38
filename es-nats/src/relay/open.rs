//! Where the stream ends, and whether what it has is ours: asked before anything is published.

use std::sync::Arc;

use async_nats::jetstream::{
    self, ErrorCode,
    context::{CreateStreamErrorKind, GetStreamErrorKind},
    stream::Stream,
};
use es_core::{Error, EventLog, Result};

use super::{
    Inner, Origin, origin,
    session::{PATIENCE, Session, as_long_as_connected, largest_envelope},
    settings,
    verify::Verified,
};
use crate::{
    connection::Connection,
    envelope::EnvelopeWriter,
    errors::{diverged, no_stream, unavailable},
};

/// What to do about a stream that can't be gone on with.
const REMEDY: &str = "nothing was overwritten; restore a newer store, give the relay another stream name, or make the \
                      stream anew from this store: reseed(), then resume()";
const RESEED: &str = "make it anew from the store: reseed(), then resume()";

/// What an envelope has beside payload and metadata, names of common length included.
const NAMES: usize = 1_024;

/// Answers that stay the same until someone changes something.
const SETTLED: [ErrorCode; 3] =
    [ErrorCode::STREAM_SUBJECT_OVERLAP, ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED, ErrorCode::STREAM_INVALID_CONFIG];

impl Inner {
    /// Begins to publish after what the stream has, if all of that is ours. Up to `confirmed`, it was.
    pub(super) async fn open(&self, store: &dyn EventLog, confirmed: u64) -> Result<Session> {
        let connection = self.nats.connection();
        let connects = connection.connects()?;
        as_long_as_connected(&connection, connects, self.open_over(store, confirmed, &connection, connects)).await
    }

    async fn open_over(
        &self,
        store: &dyn EventLog,
        confirmed: u64,
        connection: &Arc<Connection>,
        connects: u64,
    ) -> Result<Session> {
        let client = &connection.client;
        if !client.is_server_compatible(2, 10, 0) {
            let version = client.server_info().version;
            let why = "a relay needs 2.10 or newer; update the server".into();
            return Err(Error::Refused { by: format!("nats-server {version}"), why });
        }
        let stream = self.stream(confirmed).await?;
        let config = &stream.cached_info().config;
        let epoch = origin::epoch_of(config, &self.identity)?;
        settings::compare(&self.config, config)?;
        if epoch > self.identity.epoch {
            let ours = self.identity.epoch;
            let why = format!(
                "it is of epoch {epoch} of the store, this one is of epoch {ours}: the store was restored \
                               since, and this is a copy from before; {REMEDY}"
            );
            return Err(diverged(&config.name, why));
        }
        let last = self.end(store, confirmed, &stream).await?;
        if epoch < self.identity.epoch {
            // Before anything of this epoch is published, so that a reader hears of it first.
            let mut config = config.clone();
            config.metadata.extend(Origin::of(store).metadata());
            self.context().update_stream(&config).await.map_err(unavailable)?;
        }
        if last < confirmed {
            tracing::warn!(name = &*self.name, last, confirmed, "the stream has lost its end; it is published again");
        }
        let (limit, limits) = (largest_envelope(client, config), self.store.limits());
        if limit < limits.event_bytes + limits.metadata_bytes + NAMES {
            tracing::warn!(
                name = &*self.name,
                limit,
                event_bytes = limits.event_bytes,
                "the store takes larger events than the server; those are published without their payload"
            );
        }
        let writer = EnvelopeWriter::new(&self.identity);
        Session::begin(connection, connects, writer, config, &self.prefix, last).await
    }

    /// The stream; made if there is none and there never was.
    async fn stream(&self, confirmed: u64) -> Result<Stream> {
        let context = self.context();
        let name = &self.config.name;
        match self.find(&context).await? {
            Some(stream) => Ok(stream),
            None if confirmed > 0 => {
                Err(diverged(name, format!("it is gone, though it had events up to {confirmed}; {RESEED}")))
            }
            None => self.create(&context).await,
        }
    }

    pub(super) fn context(&self) -> jetstream::Context {
        let mut context = self.nats.jetstream();
        context.set_timeout(PATIENCE);
        context
    }

    pub(super) async fn find(&self, context: &jetstream::Context) -> Result<Option<Stream>> {
        match context.get_stream(&self.config.name).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
                _ => Err(no_stream(&error)),
            },
        }
    }

    pub(super) async fn create(&self, context: &jetstream::Context) -> Result<Stream> {
        let created = context.create_stream(&self.config).await;
        let stream = created.map_err(|error| match error.kind() {
            CreateStreamErrorKind::JetStream(error) if SETTLED.contains(&error.error_code()) => {
                Error::Refused { by: "NATS".into(), why: format!("stream `{}`: {error}", self.config.name) }
            }
            _ => unavailable(error),
        })?;
        tracing::info!(name = &*self.name, stream = self.config.name, "made a stream");
        Ok(stream)
    }

    /// The stream's last sequence, once it is known that what it has is ours.
    ///
    /// Everything up to `confirmed` is, if it is there. What comes behind it is compared: a message of someone else takes
    /// the place of ours, and the one after ours is taken all the same when both were under way.
    async fn end(&self, store: &dyn EventLog, confirmed: u64, stream: &Stream) -> Result<u64> {
        let info = stream.cached_info();
        let (state, name) = (&info.state, &info.config.name);
        let (first, last) = (state.first_sequence, state.last_sequence);
        // Not read earlier: another relay may have published what was recorded since.
        let head = store.head().await?;
        if last > head {
            let why = format!(
                "it has events up to {last}, the store ends at {head}: the store was restored to an older state; {REMEDY}"
            );
            return Err(diverged(name, why));
        }
        if last == 0 {
            return match confirmed {
                0 => Ok(0),
                _ => Err(diverged(name, format!("it is empty, though it had events up to {confirmed}; {RESEED}"))),
            };
        }
        let expires = !info.config.max_age.is_zero();
        if !expires && (first > 1 || state.messages == 0) {
            return Err(diverged(name, format!("its events before {first} were purged; {RESEED}")));
        }
        if !expires && state.messages < last {
            let missing = last - state.messages;
            tracing::warn!(name = &*self.name, missing, "messages of the stream were deleted; readers ask the store");
        }
        let mut found = Verified::default();
        let unsure = confirmed.saturating_add(1).min(last).max(first);
        self.compare(store, stream, unsure..=last, &mut found).await?;
        match found.differing.first() {
            None => Ok(last),
            Some((at, why)) => Err(diverged(name, format!("at {at}, {why}; {REMEDY}"))),
        }
    }
}
