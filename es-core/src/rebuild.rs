//! Making a read model again from all events.

use std::{fmt, time::Duration};

use crate::{Result, Subscriber, store::BoxFuture};

/// A subscriber that may see all events again, because it makes nothing but a read model of them.
///
/// What only reacts to events is none: what it has sent stays sent.
pub trait Rebuild: Subscriber {
    /// Makes the read model again beside the present one, which stays in use meanwhile, and puts it in its place when
    /// it has caught up. Returns its checkpoint. Interrupted, the present one stays as it is.
    ///
    /// `report` is called after each page.
    ///
    /// # Errors
    /// [`ProjectionFaulted`](crate::Error::ProjectionFaulted) for an event a hook refuses, or what the storage reports.
    fn rebuild<'a>(&'a self, report: &'a (dyn Fn(&Rebuilding) + Send + Sync)) -> BoxFuture<'a, Result<u64>>;
}

/// How far a rebuild is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Rebuilding {
    /// The position it has come to.
    pub position: u64,
    /// The position it goes to: the head when it was last looked at.
    pub head: u64,
    /// How long it has taken so far.
    pub elapsed: Duration,
}

impl Rebuilding {
    /// At this position of so many, after so long.
    pub fn new(position: u64, head: u64, elapsed: Duration) -> Self {
        Self { position, head, elapsed }
    }

    /// Events of the log looked at in a second, so far.
    pub fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.position as f64 / seconds } else { 0.0 }
    }

    /// How long the rest takes at this rate; `None` before there is one.
    pub fn remaining(&self) -> Option<Duration> {
        let rate = self.rate();
        let rest = self.head.saturating_sub(self.position) as f64;
        (rate > 0.0).then(|| Duration::try_from_secs_f64(rest / rate).ok()).flatten()
    }
}

impl fmt::Display for Rebuilding {
    /// `412000 of 1000000 events, 41 %, 205000/s, 3 s left`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, head, .. } = self;
        let percent = (position * 100).checked_div(*head).unwrap_or(100);
        write!(f, "{position} of {head} events, {percent} %, {:.0}/s", self.rate())?;
        match self.remaining() {
            Some(rest) if position < head => write!(f, ", {:.0} s left", rest.as_secs_f64().ceil()),
            _ => Ok(()),
        }
    }
}
