//! The connection that transports, servers, relays and subscriptions share.

use std::fmt;

use async_nats::jetstream;
use es_core::{Error, Result};

use crate::NatsOptions;

/// A connection to NATS. Cloning is cheap, and clones share it.
#[derive(Clone)]
pub struct Nats {
    client: async_nats::Client,
}

impl Nats {
    /// Connects.
    ///
    /// # Errors
    /// [`Unavailable`](Error::Unavailable) when no server answers.
    pub async fn connect(options: impl Into<NatsOptions>) -> Result<Self> {
        let options = options.into();
        let connected = async_nats::ConnectOptions::new().connect(options.servers.as_str()).await;
        let client = connected.map_err(|error| Error::Unavailable { why: format!("NATS: {}", error.kind()) })?;
        Ok(Self { client })
    }

    /// The client below, for what this crate does not offer.
    pub fn client(&self) -> &async_nats::Client {
        &self.client
    }

    pub(crate) fn jetstream(&self) -> jetstream::Context {
        jetstream::new(self.client.clone())
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats").field("state", &self.client.connection_state()).finish_non_exhaustive()
    }
}
