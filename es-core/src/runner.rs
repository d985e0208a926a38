//! Keeping projections up to date.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    Error, EventStore, Receipt, Result, Retry, Subscriber,
    guard::{guard, guard_call},
};

/// The pause before a failed page is tried again; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Keeps projections up to date with a store: each catches up with the log, then follows it.
///
/// ```
/// # use es_core::{EventStore, Receipt, Result, Runner, Subscriber};
/// # async fn example(store: impl EventStore, balances: impl Subscriber, receipt: Receipt) -> Result<()> {
/// let running = Runner::new(store).run(balances).start()?;
/// running.wait_for("balances", &receipt).await?; // read your own write
/// running.shutdown().await;
/// # Ok(()) }
/// ```
#[must_use = "a runner does nothing until it is started"]
pub struct Runner {
    store: Arc<dyn EventStore>,
    subscribers: Vec<Arc<dyn Subscriber>>,
    wait: Duration,
}

impl Runner {
    /// A runner over a store.
    pub fn new(store: impl EventStore) -> Self {
        Self { store: Arc::new(store), subscribers: Vec::new(), wait: Duration::from_secs(10) }
    }

    /// Adds a projection.
    pub fn run(mut self, subscriber: impl Subscriber) -> Self {
        self.subscribers.push(Arc::new(subscriber));
        self
    }

    /// Sets how long [`wait_for`](Running::wait_for) waits. Default: 10 seconds.
    pub fn wait_timeout(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Starts a task for each projection, on the current tokio runtime.
    ///
    /// # Errors
    /// [`Unavailable`](Error::Unavailable) outside a tokio runtime, or on one without timers (`enable_time`);
    /// [`InvalidRequest`](Error::InvalidRequest) when two projections have one name.
    pub fn start(self) -> Result<Running> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|error| Error::Unavailable { why: format!("a runner needs a tokio runtime: {error}") })?;
        guard_call(|| "a tokio runtime without timers".into(), || drop(sleep(Duration::ZERO))).map_err(|_| {
            Error::Unavailable { why: "a runner needs a tokio runtime with timers: enable_time()".into() }
        })?;
        let mut running = Running {
            tasks: JoinSet::new(),
            statuses: BTreeMap::new(),
            stop: watch::Sender::new(false),
            wait: self.wait,
        };
        for subscriber in self.subscribers {
            let status = watch::Sender::new(Status { state: State::Starting, checkpoint: 0 });
            let name = subscriber.name().to_owned();
            if running.statuses.insert(name.clone(), status.subscribe()).is_some() {
                return Err(Error::invalid_request(format!("two projections are named `{name}`; rename one")));
            }
            let task = Task { store: self.store.clone(), subscriber, status, stop: running.stop.subscribe() };
            running.tasks.spawn_on(task.run(), &runtime);
        }
        Ok(running)
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("subscribers", &self.subscribers).finish_non_exhaustive()
    }
}

/// Where a projection stands.
#[derive(Clone, Debug)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// The position up to which it has handled the log.
    pub checkpoint: u64,
}

/// What a projection is doing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum State {
    /// It has not handled a page yet.
    Starting,
    /// It handles what was recorded before.
    CatchingUp,
    /// It has handled everything there was.
    Live,
    /// It stopped at this error; the others go on.
    Faulted(Arc<Error>),
}

/// Running projections. Dropping it stops them after the page they are at.
#[derive(Debug)]
pub struct Running {
    tasks: JoinSet<()>,
    statuses: BTreeMap<String, watch::Receiver<Status>>,
    stop: watch::Sender<bool>,
    wait: Duration,
}

impl Running {
    /// Waits until a projection has handled what a command stored. Does not change the command's outcome.
    ///
    /// # Errors
    /// [`UnknownProjection`](Error::UnknownProjection), [`NotCaughtUp`](Error::NotCaughtUp) when the time is up, or
    /// [`ProjectionFaulted`](Error::ProjectionFaulted) when it has stopped at an error.
    pub async fn wait_for(&self, name: &str, receipt: &Receipt) -> Result<()> {
        self.wait_for_position(name, receipt.position, self.wait).await
    }

    /// Waits until a projection has handled the log up to a position.
    ///
    /// # Errors
    /// As [`wait_for`](Self::wait_for).
    pub async fn wait_for_position(&self, name: &str, position: u64, at_most: Duration) -> Result<()> {
        let mut status = self.statuses.get(name).cloned().ok_or_else(|| Error::UnknownProjection {
            name: name.to_owned(),
            running: self.statuses.keys().cloned().collect(),
        })?;
        let begun = Instant::now();
        let there = status.wait_for(|s| s.checkpoint >= position || matches!(s.state, State::Faulted(_)));
        let reached = timeout(at_most, there).await.map(|reached| reached.map(|status| status.clone()));
        match reached {
            Ok(Ok(Status { checkpoint, .. })) if checkpoint >= position => Ok(()),
            Ok(Ok(Status { state: State::Faulted(error), checkpoint })) => {
                let position =
                    if let Error::ProjectionFaulted { position, .. } = *error { position } else { checkpoint };
                Err(Error::ProjectionFaulted { name: name.to_owned(), position, source: Box::new(error) })
            }
            Ok(_) => Err(Error::ShuttingDown),
            Err(_) => {
                let checkpoint = status.borrow().checkpoint;
                Err(Error::NotCaughtUp { name: name.to_owned(), checkpoint, position, waited: begun.elapsed() })
            }
        }
    }

    /// Where each projection stands, by name.
    pub fn status(&self) -> BTreeMap<String, Status> {
        self.statuses.iter().map(|(name, status)| (name.clone(), status.borrow().clone())).collect()
    }

    /// Lets each projection finish the page it is at, and stops.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// One projection at work.
struct Task {
    store: Arc<dyn EventStore>,
    subscriber: Arc<dyn Subscriber>,
    status: watch::Sender<Status>,
    stop: watch::Receiver<bool>,
}

impl Task {
    async fn run(mut self) {
        let mut head = self.store.watch();
        let mut pause = FIRST_PAUSE;
        while !*self.stop.borrow() {
            // Marked as seen before reading, so that what is recorded meanwhile wakes us again.
            head.borrow_and_update();
            let advanced = guard(self.subscriber.advance(&*self.store, 0)).await.and_then(|advanced| advanced);
            match advanced {
                Ok(progress) => {
                    pause = FIRST_PAUSE;
                    let state = if progress.caught_up { State::Live } else { State::CatchingUp };
                    self.status.send_replace(Status { state, checkpoint: progress.checkpoint });
                    if progress.caught_up {
                        tokio::select! {
                            biased;
                            _ = self.stop.changed() => {}
                            _ = head.changed() => {}
                        }
                    }
                }
                // Someone else runs the same projection and was first: go on from where they are.
                Err(Error::CheckpointMoved { .. }) => tokio::task::yield_now().await,
                Err(error) if error.retry() == Retry::Safe => {
                    tracing::warn!(projection = self.subscriber.name(), %error, ?pause, "will try again");
                    tokio::select! {
                        biased;
                        _ = self.stop.changed() => {}
                        () = sleep(pause) => {}
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => {
                    tracing::error!(projection = self.subscriber.name(), %error, "stopped");
                    self.status.send_modify(|status| status.state = State::Faulted(Arc::new(error)));
                    // The status stays readable until the runner is stopped.
                    let _ = self.stop.wait_for(|stop| *stop).await;
                }
            }
        }
    }
}
