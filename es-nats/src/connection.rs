//! The connection that transports, servers, relays and subscriptions share.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use async_nats::{Client, connection::State, jetstream};
use es_core::{Error, Result};
use tokio::sync::watch;

use crate::{NatsOptions, connect, healing, link::Link, patience::until_there};

/// A connection to NATS. Cloning is cheap, and clones share it.
///
/// A connection that is lost is made again, with growing pauses at random, and one to a server that has been silent for
/// half a minute is given up for another. So is one on which something came that is no NATS message; all who share this go
/// on with the new one. A server that refuses us is asked again after a second, and then less and less often, down to once
/// a minute; meanwhile everything fails with [`Refused`](Error::Refused).
///
/// Where the servers are, and who we are to them, say the [`NatsOptions`]; a URL alone will do.
#[derive(Clone)]
pub struct Nats(Arc<Shared>);

pub(crate) struct Shared {
    present: watch::Sender<Arc<Connection>>,
    link: Arc<Link>,
    options: Arc<NatsOptions>,
}

/// A client of `async-nats`, until it can't be used any more: another one then takes its place.
pub(crate) struct Connection {
    pub(crate) client: Client,
    jetstream: jetstream::Context,
    ended: Ended,
}

/// Tells when a client below has ended for good. Having it does not keep the client.
#[derive(Clone, Debug)]
pub(crate) struct Ended(watch::Receiver<()>);

/// Held by the task that is the client below, and dropped with it, also when it panics.
#[derive(Debug)]
pub(crate) struct Alive(#[expect(dead_code, reason = "what it tells, it tells by being dropped")] watch::Sender<()>);

impl Nats {
    /// Connects, or fails when no server answers. [`connect_when_there`](Self::connect_when_there) waits for one.
    ///
    /// # Errors
    /// [`Unavailable`](Error::Unavailable) when no server answers; [`Refused`](Error::Refused) when one does and does not
    /// take us in (a wrong password, a certificate that expired or is not trusted) or is too old;
    /// [`InvalidRequest`](Error::InvalidRequest) for options that can't be right.
    pub async fn connect(options: impl Into<NatsOptions>) -> Result<Self> {
        Self::kept(Arc::new(options.into())).await
    }

    /// As [`connect`](Self::connect), and waits for a server as long as none answers. What is waited for is logged.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), but for [`Unavailable`](Error::Unavailable).
    pub async fn connect_when_there(options: impl Into<NatsOptions>) -> Result<Self> {
        let options = Arc::new(options.into());
        until_there("a NATS server", || Self::kept(options.clone())).await
    }

    /// A connection that is made again should it end for good.
    async fn kept(options: Arc<NatsOptions>) -> Result<Self> {
        let nats = Self::once(options).await?;
        healing::keep(Arc::downgrade(&nats.0), nats.connection().ended());
        Ok(nats)
    }

    /// Another connection to the same servers, which its owner makes again should it end for good.
    pub(crate) async fn another(&self) -> Result<Self> {
        Self::once(self.0.options.clone()).await
    }

    async fn once(options: Arc<NatsOptions>) -> Result<Self> {
        let link = Arc::new(Link::new(options.inbox_prefix.as_deref().unwrap_or("_INBOX")));
        let connection = connect::connect(&options, &link).await?;
        Ok(Self(Arc::new(Shared { present: watch::Sender::new(Arc::new(connection)), link, options })))
    }

    /// The client of `async-nats` that is in use now, for what this crate does not offer. Ask again rather than keep it:
    /// should it break, another takes its place.
    pub fn client(&self) -> Client {
        self.connection().client.clone()
    }

    /// The present connection. Who keeps it learns from it when it has ended.
    pub(crate) fn connection(&self) -> Arc<Connection> {
        self.0.present.borrow().clone()
    }

    /// The connection that takes the place of one that has ended.
    pub(crate) async fn after(&self, former: &Arc<Connection>) -> Arc<Connection> {
        let mut present = self.0.present.subscribe();
        let next = present.wait_for(|present| !Arc::ptr_eq(present, former)).await;
        next.expect("the sender lives as long as this").clone()
    }

    pub(crate) fn jetstream(&self) -> jetstream::Context {
        self.0.present.borrow().jetstream.clone()
    }

    /// Bytes of the largest message that the server takes.
    pub(crate) fn max_payload(&self) -> usize {
        self.0.present.borrow().client.max_payload()
    }

    pub(crate) fn link(&self) -> &Link {
        &self.0.link
    }
}

impl Shared {
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(crate) fn options(&self) -> &NatsOptions {
        &self.options
    }

    /// Puts another connection in place of one that has ended, and tells those who wait for it.
    pub(crate) fn replace(&self, connection: Connection) {
        self.present.send_replace(Arc::new(connection));
        self.link.connected();
    }
}

impl Connection {
    pub(crate) fn new(client: Client, ended: Ended) -> Self {
        Self { jetstream: jetstream::new(client.clone()), client, ended }
    }

    pub(crate) fn ended(&self) -> Ended {
        self.ended.clone()
    }

    pub(crate) fn is_up(&self) -> bool {
        // The client's last state stays when it has ended.
        self.client.connection_state() == State::Connected && !self.ended.is_over()
    }

    /// How often it has connected: what was under way when that changes may be lost.
    ///
    /// # Errors
    /// [`Unavailable`](Error::Unavailable) while it is not connected, and when it has ended.
    pub(crate) fn connects(&self) -> Result<u64> {
        match self.is_up() {
            true => Ok(self.client.statistics().connects.load(Ordering::Relaxed)),
            false => Err(Error::Unavailable { why: "not connected to NATS".into() }),
        }
    }
}

impl Ended {
    /// What tells it, and what is to be held until then.
    pub(crate) fn new() -> (Self, Alive) {
        let (alive, ended) = watch::channel(());
        (Self(ended), Alive(alive))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.has_changed().is_err()
    }

    pub(crate) async fn wait(&mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats").field("is_up", &self.connection().is_up()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("is_up", &self.is_up()).finish_non_exhaustive()
    }
}
