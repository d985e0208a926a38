//! Snapshots are a cache: kept when they can be, never wrong.

use std::time::Duration;

use super::*;
use crate::Snapshot;

fn snapshot(version: u64, fingerprint: u64) -> Snapshot {
    Snapshot { stream: stream("a"), fingerprint, version, state: format!("state {version}").into_bytes() }
}

/// An offer is taken in the background; a commit after it is stored after it.
async fn kept(store: &impl EventStore, offered: Snapshot) -> Option<Snapshot> {
    let fingerprint = offered.fingerprint;
    store.offer_snapshot(offered);
    for _ in 0..500 {
        if let Some(snapshot) = store.snapshot(&stream("a"), fingerprint).await.unwrap() {
            return Some(snapshot);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    None
}

/// What was offered is found by stream and fingerprint.
pub async fn a_snapshot_comes_back(store: &impl EventStore) {
    committed(store, to(stream("a"), Expected::NoStream, 5)).await;
    assert_eq!(store.snapshot(&stream("a"), u64::MAX).await.unwrap(), None);
    assert_eq!(kept(store, snapshot(3, u64::MAX)).await, Some(snapshot(3, u64::MAX)));
}

/// Two programs with two shapes of state each find their own.
pub async fn a_snapshot_of_another_fingerprint_is_not_found(store: &impl EventStore) {
    committed(store, to(stream("a"), Expected::NoStream, 5)).await;
    kept(store, snapshot(3, 1)).await;
    assert_eq!(store.snapshot(&stream("a"), 2).await.unwrap(), None);
    assert_eq!(kept(store, snapshot(5, 2)).await, Some(snapshot(5, 2)));
    assert_eq!(store.snapshot(&stream("a"), 1).await.unwrap(), Some(snapshot(3, 1)));
}

/// A late offer does no harm.
pub async fn an_older_snapshot_does_not_replace_a_newer_one(store: &impl EventStore) {
    committed(store, to(stream("a"), Expected::NoStream, 5)).await;
    kept(store, snapshot(4, 1)).await;
    store.offer_snapshot(snapshot(2, 1));
    kept(store, snapshot(5, 3)).await; // comes after the late one
    assert_eq!(store.snapshot(&stream("a"), 1).await.unwrap(), Some(snapshot(4, 1)));
}

/// A snapshot of events that are not there is not used.
pub async fn a_snapshot_ahead_of_its_stream_is_never_given(store: &impl EventStore) {
    committed(store, to(stream("a"), Expected::NoStream, 2)).await;
    store.offer_snapshot(snapshot(3, 1));
    kept(store, snapshot(2, 2)).await; // comes after it
    assert_eq!(store.snapshot(&stream("a"), 1).await.unwrap(), None);
}
