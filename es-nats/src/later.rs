//! Moments to come.

use std::time::Duration;

use tokio::time::Instant;

/// Later than any program waits.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// So long after a moment. Who gives a time limit may mean none by it: [`Duration::MAX`] is after the last moment there is.
pub(crate) fn later(from: Instant, after: Duration) -> Instant {
    from + after.min(FAR)
}
