//! Pauses that double from one failure to the next.

use std::time::Duration;

/// How long to wait after a failure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Backoff {
    /// Before a subscriber tries a page or an event again.
    pub(crate) const SUBSCRIBER: Self = Self { first: Duration::from_millis(10), longest: Duration::from_secs(5) };

    /// The pause after so many failures in a row: the first one, doubled with each after the first, up to the longest.
    pub(crate) fn pause(self, failures: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_the_longest_and_stays_there() {
        let millis = |failures| Backoff::SUBSCRIBER.pause(failures).as_millis();
        assert_eq!([1, 2, 3, 9, 10, 11, u32::MAX].map(millis), [10, 20, 40, 2_560, 5_000, 5_000, 5_000]);
    }
}
