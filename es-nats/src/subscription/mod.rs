//! The log of a store elsewhere, read from the stream that its relay fills.

mod batch;
mod cursor;
mod events;
mod head;
mod page;
mod reader;
mod source;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use es_core::{
    Clock, Epoch, Error, EventLog, Filter, Page, Result, Retry, StoreIdentity, SystemClock, Timestamp, store::BoxFuture,
};
use tokio::{runtime::Handle, sync::watch};

use self::{head::Watching, reader::Reader, source::Source};
use crate::{Nats, event_subject::subjects_of, link::Forbidden, patience::until_there};

/// Readers whose places in the stream are kept, at most.
const IDLE: usize = 64;

/// A copy of a store's log: what follows the store in its own process follows this in another.
///
/// Each reader has a checkpoint in its own database, and reads on from there. The stream's sequence is the event's
/// position, so what comes twice, out of order or not at all is noticed: an event is handled when it is the next one.
///
/// ```
/// # use es_core::{HookBuilder, Result, Runner};
/// # use es_nats::{Nats, Subscription};
/// # async fn example(projection: impl es_core::Subscriber) -> Result<()> {
/// let nats = Nats::connect_when_there("nats://127.0.0.1").await?;
/// let log = Subscription::open_when_there(&nats, "bank").await?;
/// // SqliteProjection::builder("balances")...build_over("balances.db", log.clone())?
/// let running = Runner::new(log).run(projection).start()?;
/// # drop(running); Ok(()) }
/// ```
///
/// A commit is handed over whole. While its relay has published only some of it, the log ends in front of it for readers: a
/// [`Runner`](es_core::Runner) waits for the rest, and what reads to the end once and then stops (`catch_up` of a projection)
/// stops in front of that commit. The program's log says so.
///
/// A reader with a [`Filter`] of stream types and event types is sent these only. What was deleted from the stream, or
/// has grown too old for it, is fetched from the store, as long as its relay runs.
///
/// The stream tells how often its store was restored, and to where. A reader whose checkpoint lies beyond that stops with
/// [`StoreRestored`](Error::StoreRestored) until it is rebuilt, also one that was not running meanwhile; the others go on.
#[derive(Clone)]
pub struct Subscription(Arc<Inner>);

struct Inner {
    source: Source,
    head: watch::Sender<u64>,
    idle: Mutex<Vec<Reader>>,
    runtime: Handle,
    _watching: Watching,
}

impl Subscription {
    /// Opens the stream of this name, which a relay has made, or fails when it is not there.
    /// [`open_when_there`](Self::open_when_there) waits for it.
    ///
    /// # Errors
    /// [`Unavailable`](Error::Unavailable) when there is no such stream yet, the server does not answer or has JetStream
    /// switched off;
    /// [`Diverged`](Error::Diverged) when it is no copy of a store.
    pub async fn open(nats: &Nats, stream: impl Into<String>) -> Result<Self> {
        let (source, head) = nats.link().explained(Source::open(nats, stream.into())).await?;
        let head = watch::Sender::new(head);
        let _watching = Watching::start(source.clone(), head.clone());
        let (idle, runtime) = (Mutex::default(), Handle::current());
        Ok(Self(Arc::new(Inner { source, head, idle, runtime, _watching })))
    }

    /// As [`open`](Self::open), and waits for what is missing: the stream, when its relay has not run yet, or the server.
    /// So the programs of a system can be started in any order. What is waited for is logged.
    ///
    /// ```
    /// # use es_core::Result;
    /// # use es_nats::{Nats, Subscription};
    /// # async fn example() -> Result<()> {
    /// let nats = Nats::connect_when_there("nats://127.0.0.1").await?;
    /// let log = Subscription::open_when_there(&nats, "bank").await?;
    /// # drop(log); Ok(()) }
    /// ```
    ///
    /// # Errors
    /// What no waiting changes: [`Diverged`](Error::Diverged) when the stream is no copy of a store, and
    /// [`Refused`](Error::Refused) when the server does not take us in, or forbids us to look at the stream.
    pub async fn open_when_there(nats: &Nats, stream: impl Into<String>) -> Result<Self> {
        let (stream, link) = (stream.into(), nats.link());
        let looking = format!("$JS.API.STREAM.INFO.{stream}");
        let opening = until_there("the stream of a relay", || async {
            link.check()?;
            Self::open(nats, &stream).await
        });
        tokio::select! {
            opened = opening => opened,
            Forbidden::Call(error) | Forbidden::Answer(error) = link.until_forbidden(&looking) => Err(error),
        }
    }

    /// The stream's name.
    pub fn stream(&self) -> &str {
        self.0.source.stream()
    }
}

impl Inner {
    async fn read(&self, after: u64, limit: usize, filter: &Filter) -> Result<Page> {
        if limit == 0 {
            return Ok(Page { events: Vec::new(), scanned_to: after });
        }
        let (subjects, head) = (subjects_of(self.source.prefix(), filter), *self.head.borrow());
        if let Some(mut reader) = self.kept(after, &subjects) {
            match reader.page(limit, head, filter).await {
                Ok(page) => {
                    self.keep(reader);
                    return Ok(page);
                }
                // The server forgets a consumer that has not asked for long, or does not know it any more.
                Err(error) if error.retry() == Retry::Safe => {}
                Err(error) => return Err(error),
            }
        }
        // One that failed is not kept: the next read begins with a new one.
        let mut reader = Reader::start(&self.runtime, self.source.clone(), after, subjects);
        let page = reader.page(limit, head, filter).await?;
        self.keep(reader);
        Ok(page)
    }

    /// The reader that has come so far with these subjects.
    fn kept(&self, after: u64, subjects: &[String]) -> Option<Reader> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let found = idle.iter().position(|reader| reader.continues(after, subjects));
        found.map(|at| idle.remove(at))
    }

    fn keep(&self, reader: Reader) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|reader| !reader.has_ended());
        if idle.len() == IDLE {
            idle.remove(0);
        }
        idle.push(reader);
    }
}

impl EventLog for Subscription {
    fn read_all<'a>(&'a self, after: u64, limit: usize, filter: &'a Filter) -> BoxFuture<'a, Result<Page>> {
        // A task on the runtime of the connection reads: whoever waits for the page need not be on one.
        Box::pin(self.0.source.nats().link().explained(self.0.read(after, limit, filter)))
    }

    fn head(&self) -> BoxFuture<'_, Result<u64>> {
        let inner = Arc::clone(&self.0);
        let asking = self.0.runtime.spawn(async move { inner.source.head().await });
        Box::pin(async move { asking.await.unwrap_or_else(|_| Err(Error::ShuttingDown)) })
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.0.head.subscribe()
    }

    fn identity(&self) -> StoreIdentity {
        self.0.source.origin().store
    }

    fn epochs(&self) -> Vec<Epoch> {
        self.0.source.origin().epochs
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    /// A stream may lose its end when its server does. Its relay fills it again.
    fn ends_before(&self, name: &str, checkpoint: u64, head: u64) -> Error {
        let why = format!(
            "`{name}` has seen position {checkpoint}, stream `{}` ends at {head}: it lost its end; its relay will fill \
             it again",
            self.stream()
        );
        Error::Unavailable { why }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("stream", &self.stream())
            .field("store", &self.0.source.origin().store)
            .field("head", &*self.0.head.borrow())
            .finish_non_exhaustive()
    }
}
