//! The store's events in a stream of JetStream.

mod builder;
mod compare;
mod lease;
mod open;
mod origin;
mod reseed;
mod session;
mod settings;
mod status;
mod verify;
mod window;

use std::{
    fmt,
    sync::{Arc, Mutex as Shared, PoisonError},
    time::{Duration, Instant},
};

use async_nats::jetstream::stream::Config;
use es_core::{
    CheckpointStore, Error, EventLog, EventStore, Filter, Progress, Result, StoreIdentity, Subscriber,
    checkpoints::Held, store::BoxFuture,
};
use tokio::sync::Mutex;
use uuid::Uuid;

pub(crate) use self::origin::Origin;
use self::session::Session;
pub use self::{builder::RelayBuilder, status::RelayStatus, verify::Verified};
use crate::{
    Nats,
    store_endpoint::{Endpoint, Serving},
};

/// Events read at once.
const PAGE: usize = 500;
/// How often one with nothing to do looks whether the connection is the same: behind another one, the stream may have
/// lost its end.
const LOOK: Duration = Duration::from_secs(1);
/// How often one without a connection looks whether there is one.
const RECONNECTED: Duration = Duration::from_millis(50);

/// Publishes every event of a store to a stream of JetStream, in order, exactly once each. Give it to a
/// [`Runner`](es_core::Runner); its name there is `relay:` and the stream's.
///
/// The store goes on without it: a relay that has stopped shows in nothing but its state, and in the log. So watch it:
///
/// ```
/// use es_core::runner::State;
/// use futures_util::StreamExt;
/// # use es_core::{CheckpointStore, EventStore, Result, Runner};
/// # use es_nats::{Nats, Relay};
/// # async fn example<S: EventStore + CheckpointStore + Clone>(store: S) -> Result<()> {
/// let nats = Nats::connect("nats://127.0.0.1").await?;
/// let relay = Relay::builder(&nats).stream("bank").build(&store).await?;
/// let running = Runner::new(store).run(relay.clone()).start()?;
///
/// let mut changes = running.changes("relay:bank")?;
/// while let Some(status) = changes.next().await {
///     match status.state {
///         State::Faulted(why) => eprintln!("events are not published: {why}"),
///         _ => println!("{} events behind; {:?}", status.lag_events, relay.status().problem),
///     }
/// }
/// # running.shutdown().await;
/// # Ok(()) }
/// ```
///
/// A server that is away, or has JetStream switched off, is waited for, and [`status`](Self::status) says so. The relay stops
/// ([`Faulted`](es_core::runner::State::Faulted)) at a stream that is not what it should be: the error says what is wrong and
/// what to do. To make the stream anew from the store, call [`reseed`](Self::reseed), and then
/// [`resume`](es_core::Running::resume)`("relay:bank")`.
///
/// # What a message is
/// Its body is an [`Envelope`](crate::Envelope), its sequence in the stream the event's position, its subject
/// `evt.{tenant or %}.{package or %}.{Aggregate}.{Event}.{id}`, each part escaped. An event larger than the server takes
/// is published without its payload. The relay hands out stored events on `es.store.{store id}.events`, so that readers
/// get it whole, and what the stream has lost. Where its user may not listen there, it relays all the same, and its
/// [`status`](Self::status) says so.
///
/// # What is promised
/// The stream is a copy of the store: each message is only taken right behind the event before it. Whenever there is
/// doubt (a server that does not answer, a lost connection, a refusal), the relay asks the stream where it ends, and goes
/// on when what stands there is its own event of that position. A stream that has lost its end, because a server acknowledges
/// before it writes to disk, is filled again.
///
/// The relay stops, with [`Error::Diverged`] and nothing overwritten, at a stream that is
/// - ahead of the store, or has other events: the store was restored to an older state;
/// - gone, empty or purged, though it had events: [`reseed`](Self::reseed) makes it anew;
/// - of another store: it needs another name.
///
/// Then it hands out no stored events either: readers of that stream would get those of another log.
///
/// A stream of other settings is [`Error::Refused`].
///
/// # Several processes
/// One relay at a time publishes to a stream; the others stand by, and take over when its lease is over and there are
/// events. Should two do so at once, the stream takes each event once.
///
/// # When the server is away
/// Appends go on as ever, and the relay falls behind: at most 1,024 messages and 8 MiB are under way. It goes on where
/// the stream ends. A stream is kept on one server unless [`replicas`](RelayBuilder::replicas) says otherwise; while that one
/// is away nothing is published, also in a cluster, and readers get nothing new.
#[derive(Clone)]
pub struct Relay(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    nats: Nats,
    config: Config,
    prefix: String,
    lease: Duration,
    owner: Uuid,
    identity: StoreIdentity,
    store: Arc<dyn EventStore>,
    checkpoints: Arc<dyn CheckpointStore>,
    endpoint: Arc<Endpoint>,
    /// One page at a time, also when several clones are run.
    work: Mutex<Work>,
    status: Shared<RelayStatus>,
}

/// What is under way.
#[derive(Debug, Default)]
struct Work {
    held: Option<Held>,
    session: Option<Session>,
    /// Up to here the stream had our events, as it has acknowledged itself.
    confirmed: u64,
    /// When the checkpoint was last written.
    written: Option<Instant>,
    serving: Option<Serving>,
}

impl Work {
    /// Ends the session: what was not acknowledged may be stored or not.
    fn end_session(&mut self) {
        if let Some(session) = self.session.take() {
            self.confirmed = session.acked();
        }
    }

    /// Also forgets the lease, which may be someone else's.
    fn stop(&mut self) {
        self.end_session();
        self.held = None;
    }
}

impl Relay {
    /// Starts building a relay over a connection.
    pub fn builder(nats: &Nats) -> RelayBuilder {
        RelayBuilder::new(nats.clone())
    }

    /// What is known of the stream; how far behind it is, the [`Running`](es_core::Running) tells.
    pub fn status(&self) -> RelayStatus {
        let status = self.0.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        RelayStatus { endpoint_problem: self.0.endpoint.problem(), ..status }
    }
}

impl Inner {
    async fn advance(&self, store: &dyn EventLog) -> Result<Progress> {
        let identity = store.identity();
        if identity != self.identity {
            let text = |store: &StoreIdentity| format!("{} (epoch {})", store.id, store.epoch);
            let (expected, actual) = (text(&self.identity), text(&identity));
            return Err(Error::StoreIdentityChanged { name: self.name.to_string(), expected, actual });
        }
        let work = &mut *self.work.lock().await;
        if work.serving.is_none() {
            work.serving = Some(self.endpoint.serve().await?);
        }
        let advanced = self.nats.link().explained(self.page(work, store)).await;
        if advanced.is_err() {
            // The next session finds out what became of the messages that are under way.
            work.stop();
        }
        self.note(work, &advanced);
        advanced
    }

    async fn page(&self, work: &mut Work, store: &dyn EventLog) -> Result<Progress> {
        let head = store.head().await?;
        if !work.session.as_ref().is_some_and(Session::is_usable) {
            work.end_session();
        }
        if let Some(acked) = work.session.as_ref().map(Session::acked).filter(|acked| *acked == head) {
            self.remember(work, false).await?;
            return Ok(Progress::at(acked).caught_up(true).again_after(LOOK));
        }
        if work.session.is_none() && self.nats.connection().connects().is_err() {
            // No failure to wait longer and longer after: it is gone on as soon as there is a connection.
            return Ok(Progress::at(self.confirmed(work).await?).again_after(RECONNECTED));
        }
        if let Some(theirs) = self.hold(work, store).await? {
            return Ok(Progress::at(theirs.position).standby());
        }
        let confirmed = self.confirmed(work).await?;
        let session = match &mut work.session {
            Some(session) => session,
            none => none.insert(self.open(store, confirmed).await?),
        };
        let page = store.read_all(session.published(), PAGE, &Filter::all()).await?;
        for event in &page.events {
            session.publish(event).await?;
        }
        let caught_up = page.scanned_to >= head;
        if caught_up {
            session.settle().await?;
        }
        let (acked, (handled, last)) = (session.acked(), session.take_fresh());
        self.remember(work, false).await?;
        let progress = Progress::at(acked).caught_up(caught_up).handled(handled, last);
        Ok(if caught_up { progress.again_after(LOOK) } else { progress })
    }

    /// Up to here the stream had our events, as far as is known.
    async fn confirmed(&self, work: &Work) -> Result<u64> {
        let stored = match &work.held {
            Some(held) => held.at.position,
            None => self.checkpoint().await?.position,
        };
        Ok(stored.max(work.confirmed))
    }

    async fn give_back(&self) {
        let work = &mut *self.work.lock().await;
        if let Err(error) = self.remember(work, true).await {
            tracing::warn!(name = &*self.name, %error, "how far it was is not written down; it will ask the stream");
        }
        *work = Work::default();
        if let Err(error) = self.checkpoints.release(&self.name, self.owner).await {
            tracing::warn!(name = &*self.name, %error, "its lease was not given back; the next owner waits for its end");
        }
    }
}

impl Subscriber for Relay {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn checkpoint(&self, _: u32) -> BoxFuture<'_, Result<u64>> {
        Box::pin(async { Ok(self.0.checkpoint().await?.position) })
    }

    fn advance<'a>(&'a self, store: &'a dyn EventLog, _: u32) -> BoxFuture<'a, Result<Progress>> {
        Box::pin(self.0.advance(store))
    }

    fn give_back(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.give_back())
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("name", &self.0.name).field("store", &self.0.identity).finish_non_exhaustive()
    }
}
