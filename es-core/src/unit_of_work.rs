//! The commit of one decision: its roots, its command, its snapshots.

use crate::{Appended, Commit, Error, EventStore, Result, SnapshotPolicy, root::AnyRoot, stream::StreamKey};

/// Adds what the roots emitted to a commit and stores it. The first root is the command's own.
///
/// Without events, a command id and a change to the schedule there is nothing to store; the answer then tells the head.
pub(crate) async fn store_roots(
    store: &dyn EventStore,
    roots: &[&dyn AnyRoot],
    mut commit: Commit,
    snapshots: SnapshotPolicy,
) -> Result<Appended> {
    if commit.command.is_none() && commit.schedule.is_empty() && !roots.iter().any(|root| root.has_emitted()) {
        let versions = roots.iter().map(|root| root.versions().1).collect();
        let committed = crate::Committed { position: store.head().await?, versions, recorded_at: store.now() };
        return Ok(Appended::Committed(committed));
    }
    commit.streams = roots.iter().map(|root| root.to_append()).collect::<Result<_>>()?;
    if commit.streams.len() > 1 && !store.is_atomic_over_streams() {
        return Err(Error::Unsupported { what: "a commit over several streams" });
    }
    let appended = store.append(commit).await?;
    if let Appended::Committed(_) = appended {
        for root in roots {
            let (before, after) = root.versions();
            if snapshots.crossed(before, after)
                && let Some(snapshot) = root.to_snapshot()
            {
                store.offer_snapshot(snapshot);
            }
        }
    }
    Ok(appended)
}

/// Whether an error says that this stream was there already when it was to be created.
pub(crate) fn is_creation_conflict(error: &Error, created: &StreamKey) -> bool {
    matches!(error, Error::Conflict { stream, .. } if stream == created)
}
