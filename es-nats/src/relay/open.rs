//! Where the stream ends, and whether what it has is ours: asked before anything is published.

use async_nats::jetstream::{
    self, ErrorCode,
    context::{CreateStreamErrorKind, GetStreamErrorKind},
    stream::{Config, RawMessageErrorKind, Stream},
};
use bytes::Bytes;
use es_core::{Error, EventLog, Filter, RecordedEvent, Result};

use super::{
    Inner,
    errors::{connection, diverged},
    session::{Session, connection_of},
    settings,
};
use crate::envelope::{Content, Envelope, EnvelopeWriter};

/// What to do about a stream that can't be gone on with.
const REMEDY: &str = "nothing was overwritten; restore a newer store, give the relay another stream name, or make the \
                      stream anew from this store: reseed(), then resume()";
const RESEED: &str = "make it anew from the store: reseed(), then resume()";

/// Answers that stay the same until someone changes something.
const SETTLED: [ErrorCode; 3] =
    [ErrorCode::STREAM_SUBJECT_OVERLAP, ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED, ErrorCode::STREAM_INVALID_CONFIG];

impl Inner {
    /// Begins to publish after what the stream has, if all of that is ours. `remembered` is how far the relay has been.
    pub(super) async fn open(&self, store: &dyn EventLog, head: u64, remembered: u64) -> Result<Session> {
        let client = self.nats.client();
        let connects = connection_of(client)?;
        if !client.is_server_compatible(2, 10, 0) {
            let version = client.server_info().version;
            let why = "a relay needs 2.10 or newer; update the server".into();
            return Err(Error::Refused { by: format!("nats-server {version}"), why });
        }
        let stream = self.stream(remembered).await?;
        let config = &stream.cached_info().config;
        let epoch = settings::epoch_of(config, &self.identity)?;
        settings::compare(&self.config, config)?;
        if epoch > self.identity.epoch {
            let ours = self.identity.epoch;
            let why = format!(
                "it is of epoch {epoch} of the store, this one is of epoch {ours}: the store was restored \
                               since, and this is a copy from before; {REMEDY}"
            );
            return Err(diverged(&config.name, why));
        }
        let last = self.end(store, head, remembered, &stream).await?;
        if epoch < self.identity.epoch {
            let metadata = settings::metadata(&self.identity);
            let updated = self.nats.jetstream().update_stream(&Config { metadata, ..config.clone() }).await;
            updated.map_err(connection)?;
        }
        if last < remembered {
            tracing::warn!(name = &*self.name, last, remembered, "the stream has lost its end; it is published again");
        }
        let writer = EnvelopeWriter::new(&self.identity);
        Session::begin(client, connects, writer, config, &self.prefix, last).await
    }

    /// The stream; made if there is none and there never was.
    async fn stream(&self, remembered: u64) -> Result<Stream> {
        let context = self.nats.jetstream();
        let name = &self.config.name;
        match self.find(&context).await? {
            Some(stream) => Ok(stream),
            None if remembered > 0 => {
                Err(diverged(name, format!("it is gone, though it had events up to {remembered}; {RESEED}")))
            }
            None => self.create(&context).await,
        }
    }

    pub(super) async fn find(&self, context: &jetstream::Context) -> Result<Option<Stream>> {
        match context.get_stream(&self.config.name).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
                _ => Err(connection(error)),
            },
        }
    }

    pub(super) async fn create(&self, context: &jetstream::Context) -> Result<Stream> {
        let created = context.create_stream(&self.config).await;
        let stream = created.map_err(|error| match error.kind() {
            CreateStreamErrorKind::JetStream(error) if SETTLED.contains(&error.error_code()) => {
                Error::Refused { by: "NATS".into(), why: format!("stream `{}`: {error}", self.config.name) }
            }
            _ => connection(error),
        })?;
        tracing::info!(name = &*self.name, stream = self.config.name, "made a stream");
        Ok(stream)
    }

    /// The stream's last sequence, once it is known that what stands there is ours.
    async fn end(&self, store: &dyn EventLog, head: u64, remembered: u64, stream: &Stream) -> Result<u64> {
        let info = stream.cached_info();
        let (state, name) = (&info.state, &info.config.name);
        let (first, last) = (state.first_sequence, state.last_sequence);
        if last > head {
            let why = format!(
                "it has events up to {last}, the store ends at {head}: the store was restored to an older \
                               state; {REMEDY}"
            );
            return Err(diverged(name, why));
        }
        if last == 0 {
            return match remembered {
                0 => Ok(0),
                _ => Err(diverged(name, format!("it is empty, though it had events up to {remembered}; {RESEED}"))),
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
        let message = match stream.get_raw_message(last).await {
            Ok(message) => message.payload,
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {
                return match expires {
                    true => Ok(last),
                    false => Err(diverged(name, format!("its last message was deleted; {RESEED}"))),
                };
            }
            Err(error) => return Err(connection(error)),
        };
        let event = event_at(store, last).await?;
        match self.differs(&message, &event) {
            None => Ok(last),
            Some(why) => Err(diverged(name, format!("at {last}, {why}; {REMEDY}"))),
        }
    }

    /// Why a message is not that of an event of this store, if it is not.
    pub(super) fn differs(&self, message: &Bytes, event: &RecordedEvent) -> Option<String> {
        let envelope = match Envelope::decode(message) {
            Ok(envelope) => envelope,
            Err(error) => return Some(format!("it has no envelope ({error})")),
        };
        let (theirs, ours) = (&envelope.store, &self.identity);
        if theirs.id != ours.id {
            return Some(format!("it has an event of store {}, this is store {}", theirs.id, ours.id));
        }
        if theirs.epoch > ours.epoch {
            return Some(format!("it has an event of epoch {} of the store, this is {}", theirs.epoch, ours.epoch));
        }
        // What was published before a restore is the same event still.
        let mut writer = EnvelopeWriter::new(theirs);
        let again = match envelope.content {
            Content::Whole(_) => writer.whole(event),
            Content::LeftOut { .. } => writer.stub(event),
        };
        (again != message).then(|| format!("it has another event than the store: {}", envelope.meta.stream))
    }
}

/// The event at a position that the store has.
pub(super) async fn event_at(store: &dyn EventLog, position: u64) -> Result<RecordedEvent> {
    let page = store.read_all(position - 1, 1, &Filter::all()).await?;
    let event = page.events.into_iter().next().filter(|event| event.meta.position == position);
    event.ok_or_else(|| Error::Corrupt { what: format!("event at position {position}"), why: "it is missing".into() })
}
