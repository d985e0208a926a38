//! Keeping projections and reactors up to date, and delivering scheduled commands.

mod board;
mod rate;
mod rebuilding;
mod running;
mod status;
mod task;
mod wait;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use self::{board::Board, running::Runs, task::Task};
pub use self::{
    running::Running,
    status::{State, Status},
};
use crate::{Deliveries, Error, EventLog, EventStore, Result, Subscriber, Transport, runtime};

/// Keeps projections and reactors up to date with a store: each catches up with the log, then follows it.
///
/// ```
/// # use es_core::{EventStore, Receipt, Result, Runner, Subscriber};
/// # async fn example(store: impl EventStore, balances: impl Subscriber, receipt: Receipt) -> Result<()> {
/// let running = Runner::new(store).run(balances).start()?;
/// running.wait_for("balances", &receipt).await?; // read your own write
/// println!("{:?}", running.status("balances")?); // what it does, how far it is behind
/// running.shutdown().await;
/// # Ok(()) }
/// ```
#[must_use = "a runner does nothing until it is started"]
pub struct Runner<L> {
    log: Arc<L>,
    subscribers: Vec<Arc<dyn Subscriber>>,
    deliveries: Option<Deliveries>,
    wait: Duration,
}

impl<L: EventLog> Runner<L> {
    /// A runner over a store, or over another log.
    pub fn new(log: L) -> Self {
        Self { log: Arc::new(log), subscribers: Vec::new(), deliveries: None, wait: Duration::from_secs(10) }
    }

    /// Adds a projection or a reactor.
    pub fn run(mut self, subscriber: impl Subscriber) -> Self {
        self.subscribers.push(Arc::new(subscriber));
        self
    }

    /// Also sends the store's scheduled commands over this transport when they are due, as [`Deliveries`] do. Called
    /// again, the last transport counts.
    ///
    /// ```
    /// # use es_core::{LocalBus, MemoryStore, Result, Runner, Subscriber};
    /// # async fn example(store: MemoryStore, bus: LocalBus, orders: impl Subscriber, payments: impl Subscriber)
    /// # -> Result<()> {
    /// let running = Runner::new(store).run(orders).run(payments).deliver(bus.transport()).start()?;
    /// // ..
    /// running.shutdown().await; // what was sent is answered
    /// # Ok(()) }
    /// ```
    ///
    /// To hear of refusals ([`on_rejected`](Deliveries::on_rejected)) or to set a timeout, start [`Deliveries`] beside the
    /// runner instead.
    pub fn deliver(mut self, transport: impl Transport) -> Self
    where
        L: EventStore,
    {
        self.deliveries = Some(Deliveries::new(self.log.clone(), transport));
        self
    }

    /// Sets how long [`wait_for`](Running::wait_for) waits. Default: 10 seconds.
    pub fn wait_timeout(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Starts a task for each partition of each projection, and the deliveries, on the current tokio runtime.
    ///
    /// # Errors
    /// [`Unavailable`](Error::Unavailable) outside a tokio runtime, or on one without timers (`enable_time`);
    /// [`InvalidRequest`](Error::InvalidRequest) when two of them have one name.
    pub fn start(self) -> Result<Running> {
        let runtime = runtime::with_timers("a runner needs")?;
        let mut runs = BTreeMap::new();
        for subscriber in self.subscribers {
            let (name, board) = (subscriber.name().to_owned(), Board::new(subscriber.partitions()));
            if runs.insert(name.clone(), Runs { subscriber, board: Arc::new(board) }).is_some() {
                return Err(Error::invalid_request(format!(
                    "two projections or reactors are named `{name}`; rename one"
                )));
            }
        }
        let delivering = self.deliveries.map(Deliveries::start).transpose()?;
        let log: Arc<dyn EventLog> = self.log;
        let (mut tasks, stop) = (JoinSet::new(), watch::Sender::new(false));
        for Runs { subscriber, board } in runs.values() {
            for partition in 0..board.partitions() {
                let task = Task {
                    log: log.clone(),
                    subscriber: subscriber.clone(),
                    partition,
                    board: board.clone(),
                    head: log.watch(),
                    stop: stop.subscribe(),
                    control: board.control(),
                };
                tasks.spawn_on(task.run(), &runtime);
            }
        }
        Ok(Running::new(log, runs, tasks, stop, delivering, self.wait))
    }
}

impl<L> fmt::Debug for Runner<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("subscribers", &self.subscribers)
            .field("deliveries", &self.deliveries)
            .finish_non_exhaustive()
    }
}
