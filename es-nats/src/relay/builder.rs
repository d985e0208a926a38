//! Building a relay.

use std::{fmt, sync::Arc, time::Duration};

use async_nats::jetstream::stream::Config;
use es_core::{
    CheckpointStore, Error, EventStore, Result,
    checkpoints::{Checkpoint, Registration},
    subscriber::check_name,
};
use uuid::Uuid;

use super::{Inner, Origin, Relay, RelayStatus, settings};
use crate::{
    Nats,
    event_subject::{PREFIX, check_prefix},
    store_endpoint::Endpoint,
};

const LEASE: Duration = Duration::from_secs(10);

/// A change to the stream's settings.
type Change = Box<dyn FnOnce(&mut Config) + Send>;

/// Builds a [`Relay`].
#[must_use = "a relay is made by `build`"]
pub struct RelayBuilder {
    nats: Nats,
    stream: String,
    prefix: String,
    lease: Duration,
    changes: Vec<Change>,
}

impl RelayBuilder {
    pub(super) fn new(nats: Nats) -> Self {
        Self { nats, stream: "events".into(), prefix: PREFIX.into(), lease: LEASE, changes: Vec::new() }
    }

    /// Sets the name of the stream. Default: `events`. It is made when it is not there, and only this store's relay may
    /// publish to it.
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.stream = name.into();
        self
    }

    /// Sets what the subjects of events begin with. Default: `evt`. Two stores in one account need two.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets on how many servers of a cluster the stream is kept. Default: 1: the stream is away while its server is, and
    /// gone with that server's disk. With 3, one server may be away.
    pub fn replicas(self, servers: usize) -> Self {
        self.config(move |config| config.num_replicas = servers)
    }

    /// Sets for how long the stream keeps an event. Default: for ever. Readers get older ones from the store.
    pub fn max_age(self, age: Duration) -> Self {
        self.config(move |config| config.max_age = age)
    }

    /// Changes other settings of the stream: its placement, its compression, the largest message.
    pub fn config(mut self, change: impl FnOnce(&mut Config) + Send + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Sets for how long a relay has the stream for itself, by the store's clock. Default: 10 seconds. So long another
    /// process waits before it goes on in the place of one that died. More than a minute is taken for a minute.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.min(Checkpoint::LONGEST_LEASE);
        self
    }

    /// Builds the relay. The stream is made, or looked at, when it runs, so the server may be away now.
    ///
    /// # Errors
    /// [`InvalidId`](Error::InvalidId) for a name or prefix that can't be one; [`InvalidRequest`](Error::InvalidRequest)
    /// for settings with which the stream could not be a copy of the store; or what the storage reports.
    pub async fn build<S>(self, store: &S) -> Result<Relay>
    where
        S: EventStore + CheckpointStore + Clone,
    {
        let Self { nats, stream, prefix, lease, changes } = self;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if stream.is_empty() || !stream.bytes().all(plain) {
            let why = format!("`{stream}` has something else than letters, digits, `-` and `_`, or nothing");
            return Err(Error::InvalidId { what: "stream name", why });
        }
        check_prefix(&prefix)?;
        let name = format!("relay:{stream}");
        check_name("stream name", &name)?;
        let (identity, mut config) = (store.identity(), settings::wanted(&stream, &prefix));
        changes.into_iter().for_each(|change| change(&mut config));
        (config.name, config.subjects) = (stream.clone(), vec![format!("{prefix}.>")]);
        config.metadata.extend(Origin::of(store).metadata());
        settings::check(&config)?;
        let registration =
            Registration { name: name.clone(), partitions: 1, events: Vec::new(), store: identity, start: 0 };
        store.register(registration).await?;
        let checkpoints = Arc::new(store.clone());
        let store: Arc<dyn EventStore> = Arc::new(store.clone());
        Ok(Relay(Arc::new(Inner {
            name: name.into(),
            endpoint: Arc::new(Endpoint::new(nats.clone(), store.clone())),
            nats,
            config,
            prefix,
            lease,
            owner: Uuid::now_v7(),
            identity,
            store,
            checkpoints,
            work: Default::default(),
            status: RelayStatus { stream, ..RelayStatus::default() }.into(),
        })))
    }
}

impl fmt::Debug for RelayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayBuilder")
            .field("stream", &self.stream)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
