//! Snapshots: a cache of folded state. Any doubt discards one, and the events are replayed.

use crate::StreamKey;

/// A folded state on its way into or out of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The stream it was folded from.
    pub stream: StreamKey,
    /// A hash of the state's shape and its appliers: programs of two versions each find their own.
    pub fingerprint: u64,
    /// The version of the last event in it.
    pub version: u64,
    /// The encoded state.
    pub state: Vec<u8>,
}

/// When a repository makes snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPolicy(u64);

impl SnapshotPolicy {
    /// A snapshot each time a commit crosses a multiple of `events`. 0 makes none.
    pub const fn every(events: u64) -> Self {
        Self(events)
    }

    /// No snapshots.
    pub const fn never() -> Self {
        Self(0)
    }

    /// Whether a commit that moved a stream from one version to another calls for a snapshot.
    pub(crate) const fn crossed(self, before: u64, after: u64) -> bool {
        self.0 != 0 && before / self.0 != after / self.0
    }
}

impl Default for SnapshotPolicy {
    /// Every 100 events.
    fn default() -> Self {
        Self::every(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_jumps_over_a_multiple_makes_a_snapshot_too() {
        let policy = SnapshotPolicy::every(10);
        assert!(policy.crossed(9, 10));
        assert!(policy.crossed(8, 13));
        assert!(policy.crossed(5, 95));
        assert!(!policy.crossed(10, 19));
        assert!(!SnapshotPolicy::never().crossed(0, 1_000));
    }
}
