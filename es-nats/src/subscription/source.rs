//! The stream, and whose events it has.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::jetstream::{
    ErrorCode,
    consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
    context::GetStreamErrorKind,
    stream::{Config, Info, RawMessageErrorKind, State, Stream},
};
use bytes::Bytes;
use es_core::{Error, EventMeta, RecordedEvent, Result};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    Content, Envelope, Nats,
    errors::{diverged, no_stream, unavailable},
    relay::Origin,
    stored_event::stored_event,
};

/// The server's error code for a stream that is not there.
const NOT_FOUND: ErrorCode = ErrorCode::STREAM_NOT_FOUND;
/// For how long the server remembers where a reader was that does not ask.
pub(super) const REMEMBERED: Duration = Duration::from_secs(300);

/// The stream of one store. Cloning is cheap enough for a reader.
#[derive(Clone)]
pub(super) struct Source {
    nats: Nats,
    stream: String,
    prefix: String,
    store: Uuid,
    /// As the stream said the last time: a restore that the stream outlives begins another epoch.
    origin: Arc<Mutex<Origin>>,
    /// When the stream was made: another one of its name is not this one.
    created: i128,
    /// The first and the last position of the last commit that was seen.
    last_commit: Arc<Mutex<(u64, u64)>>,
}

/// What a stream has.
pub(super) struct Extent {
    pub(super) first: u64,
    pub(super) last: u64,
    /// What was deleted in between, in order.
    pub(super) deleted: Vec<u64>,
}

impl Source {
    /// The stream, and where it ends.
    pub(super) async fn open(nats: &Nats, name: String) -> Result<(Self, u64)> {
        let stream = nats.jetstream().get_stream(&name).await.map_err(|error| match error.kind() {
            GetStreamErrorKind::JetStream(error) if error.error_code() == NOT_FOUND => Error::Unavailable {
                why: format!("there is no stream `{name}` yet; it is made when its store's relay first runs"),
            },
            _ => no_stream(&error),
        })?;
        let Info { config, state, created, .. } = stream.cached_info();
        let created = created.unix_timestamp_nanos();
        let (origin, prefix) = described(config)?;
        let head = state.last_sequence;
        let (store, origin) = (origin.store.id, Arc::new(Mutex::new(origin)));
        let last_commit = Arc::default();
        Ok((Self { nats: nats.clone(), stream: name, prefix, store, origin, created, last_commit }, head))
    }

    pub(super) fn nats(&self) -> &Nats {
        &self.nats
    }

    pub(super) fn stream(&self) -> &str {
        &self.stream
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Bytes of the largest message the server takes.
    pub(super) fn largest_message(&self) -> usize {
        self.nats.max_payload()
    }

    /// Whose events these are.
    pub(super) fn origin(&self) -> Origin {
        self.origin.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The store's epoch, as far as is known.
    pub(super) fn epoch(&self) -> u64 {
        self.origin.lock().unwrap_or_else(PoisonError::into_inner).store.epoch
    }

    /// Where the stream ends now. Fails when it is not the stream it was any more.
    pub(super) async fn end(&self) -> Result<u64> {
        Ok(self.info().await?.state.last_sequence)
    }

    /// Up to where the stream can be read now: its end, or that of the commit before when it is known to end amid one.
    pub(super) async fn head(&self) -> Result<u64> {
        Ok(self.whole_before(self.end().await?))
    }

    /// As [`head`](Self::head), when the stream ends here, and looks where a commit ends if that is not known.
    pub(super) async fn whole(&self, end: u64) -> Result<u64> {
        if end > self.last_commit().1 {
            match self.over().await?.get_raw_message(end).await {
                // What is no event of ours is told to readers that want it.
                Ok(message) => drop(Envelope::decode(&message.payload).map(|envelope| self.note(&envelope.meta))),
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {}
                Err(error) => return Err(unavailable(error)),
            }
        }
        Ok(self.whole_before(end))
    }

    /// Notes to which commit an event belongs.
    pub(super) fn note(&self, meta: &EventMeta) {
        let mut known = self.last_commit.lock().unwrap_or_else(PoisonError::into_inner);
        if known.1 < meta.commit_last {
            *known = (meta.commit_first, meta.commit_last);
        }
    }

    /// The commit amid which a stream that ends here does, if that is known.
    pub(super) fn half_published(&self, end: u64) -> Option<(u64, u64)> {
        Some(self.last_commit()).filter(|(first, last)| (*first..*last).contains(&end))
    }

    fn whole_before(&self, end: u64) -> u64 {
        self.half_published(end).map_or(end, |(first, _)| first - 1)
    }

    fn last_commit(&self) -> (u64, u64) {
        *self.last_commit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From where to where the stream goes, and what it has lost in between.
    pub(super) async fn extent(&self) -> Result<Extent> {
        let State { first_sequence, last_sequence, deleted_count, .. } = self.info().await?.state;
        let mut deleted = Vec::new();
        if deleted_count.is_some_and(|count| count > 0) {
            let details = self.over().await?.info_builder().with_deleted(true).fetch().await.map_err(unavailable)?;
            deleted = details.info.state.deleted.unwrap_or_default();
            deleted.sort_unstable();
        }
        Ok(Extent { first: first_sequence, last: last_sequence, deleted })
    }

    /// The stream over the present connection. Nothing is asked.
    async fn over(&self) -> Result<Stream<()>> {
        self.nats.jetstream().get_stream_no_info(&self.stream).await.map_err(unavailable)
    }

    async fn info(&self) -> Result<Info> {
        let info = self.over().await?.get_info().await.map_err(unavailable)?;
        let (origin, _) = described(&info.config)?;
        if origin.store.id != self.store || info.created.unix_timestamp_nanos() != self.created {
            let why = format!(
                "it was made again, with the events of store {}; open it anew: what has seen events that are gone says so",
                origin.store.id
            );
            return Err(diverged(self.stream(), why));
        }
        *self.origin.lock().unwrap_or_else(PoisonError::into_inner) = origin;
        Ok(info)
    }

    /// A consumer that begins after a position.
    pub(super) async fn consumer(&self, after: u64, subjects: &[String], headers_only: bool) -> Result<PullConsumer> {
        let everything = matches!(subjects, [one] if *one == format!("{}.>", self.prefix));
        let filter_subjects = if everything { Vec::new() } else { subjects.to_vec() };
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after + 1 },
            // The reader's checkpoint is in its own database; what it has seen is no matter of the server's.
            ack_policy: AckPolicy::None,
            inactive_threshold: REMEMBERED,
            num_replicas: 1,
            memory_storage: true,
            filter_subjects: filter_subjects.clone(),
            headers_only,
            ..pull::Config::default()
        };
        let consumer = self.over().await?.create_consumer(config).await.map_err(unavailable)?;
        let echoed = &consumer.cached_info().config;
        // A server that does not know several filters leaves them out, and would send everything.
        if echoed.filter_subjects != filter_subjects && [echoed.filter_subject.clone()] != *filter_subjects {
            let why = "it does not filter by several subjects; update it to 2.10 or newer".into();
            return Err(Error::Refused { by: "the NATS server".into(), why });
        }
        Ok(consumer)
    }

    /// The event of a message, which has to be the one of its place.
    pub(super) async fn event(&self, body: &Bytes, sequence: u64) -> Result<RecordedEvent> {
        let envelope = Envelope::decode(body)?;
        let (position, store) = (envelope.meta.position, envelope.store.id);
        if store != self.store || position != sequence {
            let why = format!("message {sequence} is the event of store {store} at position {position}");
            return Err(diverged(self.stream(), why));
        }
        match envelope.content {
            Content::Whole(payload) => Ok(RecordedEvent { meta: envelope.meta, payload }),
            Content::LeftOut { bytes, checksum } => {
                let event = self.fetch(position).await?;
                if event.payload.len() as u64 != bytes || xxh3_64(&event.payload) != checksum {
                    let why = format!("its store has another event at position {position} than it says");
                    return Err(diverged(self.stream(), why));
                }
                Ok(event)
            }
        }
    }

    /// An event that the stream does not have, from its store.
    pub(super) async fn fetch(&self, position: u64) -> Result<RecordedEvent> {
        let envelope = stored_event(&self.nats.connection().client, &self.origin().store, position).await?;
        envelope.into_event().ok_or_else(|| Error::Corrupt {
            what: format!("event at position {position}"),
            why: "its store has answered without its content".into(),
        })
    }
}

fn described(config: &Config) -> Result<(Origin, String)> {
    let origin = Origin::in_stream(config)?;
    match config.subjects.as_slice() {
        [subject] if subject.ends_with(".>") => Ok((origin, subject[..subject.len() - 2].to_owned())),
        subjects => {
            Err(diverged(&config.name, format!("its subjects are {}, not those of a relay", subjects.join(", "))))
        }
    }
}
