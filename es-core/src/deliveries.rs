//! Sending scheduled commands when they are due.

mod delivery;
mod under_way;

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{sync::watch, task::JoinSet, time::sleep};

use self::{
    delivery::Known,
    under_way::{PROMPT, UnderWay},
};
use crate::{
    AppError, EventStore, Result, ScheduledCommand, Timestamp, Transport, backoff::Backoff, guard::guard, runtime,
};

/// How often commands that are due are looked for at least: a clock may jump, and another process's commit that only
/// schedules moves no head that could be watched.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The pause after the log moved, so that a busy store is not asked after each commit.
const AFTER_COMMIT: Duration = Duration::from_millis(10);
/// After a store could not be asked.
const BACKOFF: Backoff = Backoff { first: LOOK_EVERY, longest: Duration::from_secs(5) };

type OnRejected = dyn Fn(&ScheduledCommand, &AppError) + Send + Sync;

/// Sends the scheduled commands of a store when they are due, over a transport.
///
/// Each is sent until it is answered, always with the same command id: a service carries it out once. What a domain
/// refuses is answered, too: it is logged, told to [`on_rejected`](Self::on_rejected) and not sent again. After
/// anything else (nobody serves it, no answer in time, a handler that panics, a credential that is not accepted) it is
/// sent again, with growing pauses up to 30 seconds, while others go on;
/// [`Schedule::cancel`](crate::Schedule::cancel) ends that. Sixteen are under way at once, and beside them those that have
/// waited for an answer for more than a second, up to 256 altogether; what was never sent goes before what is sent again.
/// Commands that are due at about the same time may arrive in any order.
///
/// Several processes may do this for one store: a command is leased for 10 seconds at a time, so that one of them sends
/// it, and another one if that crashes.
///
/// ```
/// # use es_core::{Deliveries, EventStore, Result, Transport};
/// # async fn example(store: impl EventStore, transport: impl Transport) -> Result<()> {
/// let delivering = Deliveries::new(store, transport).start()?;
/// // ..
/// delivering.shutdown().await;
/// # Ok(()) }
/// ```
///
/// A program with a runner has it do this: [`Runner::deliver`](crate::Runner::deliver).
///
/// A test with a [`ManualClock`](crate::ManualClock) starts nothing: it moves the clock and calls
/// [`run_due`](Self::run_due).
#[derive(Clone)]
#[must_use = "nothing is sent until deliveries are started, or `run_due` is called"]
pub struct Deliveries {
    store: Arc<dyn EventStore>,
    transport: Arc<dyn Transport>,
    on_rejected: Option<Arc<OnRejected>>,
    timeout: Duration,
    known: Arc<Mutex<Known>>,
}

impl Deliveries {
    /// Deliveries of a store's scheduled commands over a transport.
    pub fn new(store: impl EventStore, transport: impl Transport) -> Self {
        Self {
            store: Arc::new(store),
            transport: Arc::new(transport),
            on_rejected: None,
            timeout: Duration::from_secs(60),
            known: Arc::default(),
        }
    }

    /// Calls this for each command that is refused, before it is forgotten. After a crash in between it is called
    /// again.
    pub fn on_rejected(mut self, call: impl Fn(&ScheduledCommand, &AppError) + Send + Sync + 'static) -> Self {
        self.on_rejected = Some(Arc::new(call));
        self
    }

    /// Sets how long an answer is waited for before the command is sent again. Default: 60 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends everything that is due now, and says how many commands were answered. What could not be delivered stays,
    /// and is due again after a pause by the store's clock.
    ///
    /// # Errors
    /// What the storage reports; what is under way then is finished first. A command that can't be read is logged and
    /// left where it is.
    pub async fn run_due(&self) -> Result<u64> {
        let now = self.store.now();
        let mut under_way = UnderWay::default();
        let mut answered = 0;
        let mut asked = Ok(());
        loop {
            if asked.is_ok() {
                asked = self.send_due(now, &mut under_way).await;
            }
            tokio::select! {
                biased;
                next = under_way.next() => match next {
                    Some(settled) => answered += u64::from(settled),
                    None => return asked.map(|()| answered),
                },
                // What is not answered by then has made room for others. The guard is for runtimes without timers.
                Ok(()) = guard(async { sleep(PROMPT).await }) => {}
            }
        }
    }

    /// Starts a task that sends commands when they are due, on the current tokio runtime.
    ///
    /// # Errors
    /// [`Unavailable`](crate::Error::Unavailable) outside a tokio runtime, or on one without timers (`enable_time`).
    pub fn start(self) -> Result<Delivering> {
        let runtime = runtime::with_timers("deliveries need")?;
        let mut delivering = Delivering { task: JoinSet::new(), stop: watch::Sender::new(false) };
        delivering.task.spawn_on(self.run(delivering.stop.subscribe()), &runtime);
        Ok(delivering)
    }

    async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut head = self.store.watch();
        let mut under_way = UnderWay::default();
        let mut failed = 0;
        while !*stop.borrow_and_update() {
            // Marked as seen before looking, so that what is recorded meanwhile wakes us again.
            head.borrow_and_update();
            let pause = match guard(self.look(&mut under_way)).await.and_then(|looked| looked) {
                Ok(pause) => {
                    failed = 0;
                    pause
                }
                Err(error) => {
                    failed += 1;
                    let pause = BACKOFF.pause(failed);
                    tracing::warn!(%error, ?pause, "scheduled commands could not be looked for; will try again");
                    pause
                }
            };
            // After an error only the pause ends the wait, so that a store in trouble is left alone.
            let wake = async {
                if failed > 0 {
                    return std::future::pending().await;
                }
                tokio::select! {
                    _ = under_way.next_or_never() => {}
                    _ = head.changed() => sleep(AFTER_COMMIT).await,
                }
            };
            tokio::select! {
                biased;
                _ = stop.changed() => {}
                () = wake => {}
                () = sleep(pause) => {}
            }
        }
        while under_way.next().await.is_some() {}
    }

    /// Sends what is due, and says how long to wait for what comes next.
    async fn look(&self, under_way: &mut UnderWay) -> Result<Duration> {
        let now = self.store.now();
        self.send_due(now, under_way).await?;
        let next = self.store.next_due(now).await?;
        Ok(next.map_or(LOOK_EVERY, |next| next.since(self.store.now()).min(LOOK_EVERY)))
    }

    /// Leases commands that are due by `now`, as many as there is room for, and sends them.
    async fn send_due(&self, now: Timestamp, under_way: &mut UnderWay) -> Result<()> {
        let room = under_way.room();
        if room == 0 {
            return Ok(());
        }
        let mut due = self.readable(self.store.due(now, room).await?);
        // A lease may have ended while its command is still being sent from here.
        due.retain(|command| !under_way.has(command));
        let until = self.store.now().saturating_add(delivery::LEASE);
        let leased = join_all(due.iter().map(|command| self.store.lease(command, now, until))).await;
        let mut outcome = Ok(());
        for (command, leased) in due.into_iter().zip(leased) {
            match leased {
                Ok(true) => under_way.start(self.clone(), command, until),
                Ok(false) => {}
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries")
            .field("store", &self.store)
            .field("transport", &self.transport)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Deliveries under way in the background. Dropping it breaks off what is being sent, which is sent again by the next.
#[derive(Debug)]
pub struct Delivering {
    task: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Delivering {
    /// Waits for the answers to what was sent, and stops.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while self.task.join_next().await.is_some() {}
    }
}
