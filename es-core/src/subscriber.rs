//! What a runner keeps up to date with the log.

use std::{fmt, time::Duration};

use crate::{Error, EventLog, Result, Timestamp, backoff::Backoff, store::BoxFuture};

/// Something that follows the log: a projection or a reactor.
///
/// It keeps its own checkpoint, where it can together with what it makes of the events. One with several partitions
/// has a checkpoint for each, and each follows the log on its own: the events of one aggregate all go to the same one.
pub trait Subscriber: fmt::Debug + Send + Sync + 'static {
    /// Its name, unique among those that follow one store.
    fn name(&self) -> &str;

    /// How many partitions it has, numbered from 0.
    fn partitions(&self) -> u32 {
        1
    }

    /// The position up to which a partition has handled the log.
    ///
    /// # Errors
    /// Where its checkpoint can't be read, or is of another store.
    fn checkpoint(&self, partition: u32) -> BoxFuture<'_, Result<u64>>;

    /// Handles one page of events after a partition's checkpoint and moves the checkpoint.
    ///
    /// # Errors
    /// [`ProjectionFaulted`](crate::Error::ProjectionFaulted) for an event a hook refuses, or what the storage reports.
    /// Whole commits before that event may be kept; of its own commit nothing is.
    fn advance<'a>(&'a self, store: &'a dyn EventLog, partition: u32) -> BoxFuture<'a, Result<Progress>>;

    /// Gives back what it holds for itself alone, so that the next one need not wait: called when a runner stops.
    fn give_back(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// How far a subscriber is after handling a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Its checkpoint.
    pub checkpoint: u64,
    /// Whether it had looked at everything up to the head when the page was read.
    pub caught_up: bool,
    /// How many events of the page it had hooks for.
    pub handled: u64,
    /// When the last event it handled was recorded, if it had hooks for one.
    pub recorded_at: Option<Timestamp>,
    /// Someone else owns the partition: nothing was done, and the checkpoint is theirs.
    pub standby: bool,
    /// The next event could not be handled yet: to be tried again after this long. When caught up: to be called again
    /// after this long, also without an event.
    pub again_after: Option<Duration>,
}

impl Progress {
    /// At this checkpoint, with more to come.
    pub fn at(checkpoint: u64) -> Self {
        Self { checkpoint, ..Self::default() }
    }

    /// Whether everything up to the head was looked at.
    #[must_use]
    pub fn caught_up(mut self, caught_up: bool) -> Self {
        self.caught_up = caught_up;
        self
    }

    /// So many events had hooks; the last one was recorded then.
    #[must_use]
    pub fn handled(mut self, events: u64, last: Option<Timestamp>) -> Self {
        (self.handled, self.recorded_at) = (events, last);
        self
    }

    /// Someone else owns the partition.
    #[must_use]
    pub fn standby(mut self) -> Self {
        self.standby = true;
        self
    }

    /// The next event is to be tried again after a while; when caught up, without waiting for an event.
    #[must_use]
    pub fn again_after(mut self, pause: Duration) -> Self {
        self.again_after = Some(pause);
        self
    }
}

/// More partitions than this are a mistake: each reads the whole log.
const MOST_PARTITIONS: u32 = 1_024;

/// Refuses what can't be the name of a subscriber. `what` is what an error calls it: "projection name".
///
/// # Errors
/// [`InvalidId`](Error::InvalidId).
pub fn check_name(what: &'static str, name: &str) -> Result<()> {
    let invalid = |why: &str| Err(Error::InvalidId { what, why: why.into() });
    match name {
        "" => invalid("it is empty"),
        name if name.len() > 256 => invalid("it is longer than 256 bytes"),
        name if name.chars().any(char::is_control) => invalid("it has a control character"),
        _ => Ok(()),
    }
}

/// Refuses a number of partitions that a subscriber can't have.
///
/// # Errors
/// [`InvalidRequest`](Error::InvalidRequest).
pub fn check_partitions(name: &str, partitions: u32) -> Result<()> {
    if (1..=MOST_PARTITIONS).contains(&partitions) {
        return Ok(());
    }
    let why = format!("`{name}` can't have {partitions} partitions; give it 1 to {MOST_PARTITIONS}");
    Err(Error::InvalidRequest { why })
}

/// How long a subscriber waits before it tries an event or a page again, after so many failures: 10 ms, doubled with
/// each failure, up to 5 s.
pub fn pause_before_retry(failures: u32) -> Duration {
    Backoff::SUBSCRIBER.pause(failures)
}
