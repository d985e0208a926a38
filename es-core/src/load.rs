//! Folding a stream into an aggregate.

use std::ops::ControlFlow;

use crate::{
    Applier, EventSet, EventStore, RecordedRef, Result, Root, StreamKey, Timestamp,
    aggregate::fingerprint,
    error::{DecodeError, Error},
    guard::guard_call,
};

/// A point in an aggregate's past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// After the event of this version.
    Version(u64),
    /// After the last event recorded at or before this instant.
    Time(Timestamp),
}

impl At {
    fn includes(self, event: &RecordedRef<'_>) -> bool {
        match self {
            Self::Version(version) => event.version <= version,
            Self::Time(time) => event.recorded_at <= time,
        }
    }
}

/// Loads an aggregate as it is now: the newest usable snapshot, and the events after it.
pub(crate) async fn load<A: Applier>(store: &dyn EventStore, stream: StreamKey) -> Result<Root<A>> {
    let (mut state, mut version) = (A::default(), 0);
    if A::STATE_FINGERPRINT != 0
        && let Some(snapshot) = store.snapshot(&stream, fingerprint::<A>()).await?
    {
        match A::restore(&snapshot.state) {
            Some(restored) => (state, version) = (restored, snapshot.version),
            None => tracing::warn!(%stream, version = snapshot.version, "unreadable snapshot, replaying the events"),
        }
    }
    let version = fold(store, &stream, &mut state, version, None).await?;
    Ok(Root::at(stream, state, version))
}

/// Loads an aggregate as it was then, from its events alone.
pub(crate) async fn load_at<A: Applier>(store: &dyn EventStore, stream: StreamKey, at: At) -> Result<Root<A>> {
    let mut state = A::default();
    let version = fold(store, &stream, &mut state, 0, Some(at)).await?;
    Ok(Root::at(stream, state, version))
}

async fn fold<A: Applier>(
    store: &dyn EventStore,
    stream: &StreamKey,
    state: &mut A,
    after: u64,
    until: Option<At>,
) -> Result<u64> {
    let mut version = after;
    let mut visit = |recorded: RecordedRef<'_>| {
        if until.is_some_and(|until| !until.includes(&recorded)) {
            return Ok(ControlFlow::Break(()));
        }
        let event = A::Event::decode(recorded.event).map_err(|error| undecodable(stream, &recorded, error))?;
        let applier = || format!("the handler of `{}` for event `{}`", A::TYPE, recorded.event.event_type);
        guard_call(applier, || state.apply(&event))?;
        version = recorded.version;
        Ok(ControlFlow::Continue(()))
    };
    store.fold(stream, after, &mut visit).await?;
    Ok(version)
}

fn undecodable(stream: &StreamKey, recorded: &RecordedRef<'_>, error: DecodeError) -> Error {
    let (event_type, position) = (recorded.event.event_type, recorded.position);
    match error {
        DecodeError::UnknownType(_) => {
            Error::UnknownEventType { stream: stream.clone(), event_type: event_type.to_owned(), position }
        }
        source => Error::Decode { what: format!("event `{event_type}` of {stream} at position {position}"), source },
    }
}
