//! An aggregate at work: its state, its version, and what it emitted.

use std::{any::Any, fmt, ops::Deref};

use crate::{
    Aggregate, AggregateId, Applier, ClaimChange, EventOf, Expected, NewEvent, Receipt, Result, Snapshot, StreamAppend,
    StreamKey, aggregate::fingerprint, error::Error,
};

/// A loaded aggregate. It reads like its state, and [`emit`](Root::emit) is the only way to change it: assigning to a
/// field does not compile, because a change without an event would be lost.
///
/// ```
/// # use es_core::{Aggregate, Applier, EventOf, Root};
/// fn decide<A: Applier, E: EventOf<A::Event>>(root: &mut Root<A>, event: E) -> u64 {
///     root.emit(event);   // applied at once, stored when the command succeeds
///     root.version()      // counts it
/// }
/// ```
pub struct Root<A: Aggregate> {
    stream: StreamKey,
    state: A,
    committed: u64,
    expected: Expected,
    events: Vec<A::Event>,
    /// Changes of unique keys, each with the index of the event it is stored with.
    claims: Vec<(usize, ClaimChange)>,
}

impl<A: Aggregate> Root<A> {
    /// An aggregate that does not exist yet.
    pub fn new(stream: StreamKey) -> Self {
        Self::at(stream, A::default(), 0)
    }

    /// An aggregate as it was read.
    pub(crate) fn at(stream: StreamKey, state: A, version: u64) -> Self {
        Self {
            stream,
            state,
            committed: version,
            expected: Expected::Exact(version),
            events: Vec::new(),
            claims: Vec::new(),
        }
    }

    /// An aggregate that was not read because it is to be created.
    pub(crate) fn created(stream: StreamKey) -> Self {
        Self { expected: Expected::NoStream, ..Self::new(stream) }
    }

    /// The aggregate's id.
    pub fn id(&self) -> &AggregateId {
        &self.stream.id
    }

    /// The stream its events are in.
    pub fn stream(&self) -> &StreamKey {
        &self.stream
    }

    /// Its version, with the events emitted since it was loaded; 0 means it does not exist.
    pub fn version(&self) -> u64 {
        self.committed + self.events.len() as u64
    }

    /// The version it was loaded at, or last saved at.
    pub fn committed_version(&self) -> u64 {
        self.committed
    }

    /// Whether it has any event, emitted ones included.
    pub fn exists(&self) -> bool {
        self.version() > 0
    }

    /// The state; the same as dereferencing.
    pub fn state(&self) -> &A {
        &self.state
    }

    /// The events emitted since it was loaded or saved.
    pub fn emitted(&self) -> &[A::Event] {
        &self.events
    }

    /// Records an event and applies it to the state at once.
    pub fn emit<E: EventOf<A::Event>>(&mut self, event: E)
    where
        A: Applier,
    {
        self.emit_any(event.into());
    }

    /// Records an event of the set and applies it to the state at once.
    pub fn emit_any(&mut self, event: A::Event)
    where
        A: Applier,
    {
        self.state.apply(&event);
        self.events.push(event);
    }

    /// Takes a key that no other aggregate may hold, together with the event emitted last (or first, if none is yet).
    /// When another holds it, the command fails with [`UniqueTaken`](Error::UniqueTaken).
    pub fn claim(&mut self, constraint: impl Into<String>, key: impl Into<String>) {
        self.change_claim(constraint.into(), key.into(), false);
    }

    /// Gives a key back, together with the event emitted last (or first, if none is yet).
    pub fn release(&mut self, constraint: impl Into<String>, key: impl Into<String>) {
        self.change_claim(constraint.into(), key.into(), true);
    }

    fn change_claim(&mut self, constraint: String, key: String, release: bool) {
        self.claims.push((self.events.len().saturating_sub(1), ClaimChange { constraint, key, release }));
    }

    /// What is to be stored.
    pub(crate) fn to_append(&self) -> Result<StreamAppend> {
        let mut events = self.events.iter().map(NewEvent::encode).collect::<Result<Vec<_>>>()?;
        for (at, change) in &self.claims {
            let event = events.get_mut(*at).ok_or_else(|| {
                Error::invalid_request(format!(
                    "{} claims `{}` without an event; a unique key is stored with an event, so emit one",
                    self.stream, change.constraint
                ))
            })?;
            event.claims.push(change.clone());
        }
        Ok(StreamAppend { stream: self.stream.clone(), expected: self.expected, events })
    }

    /// Notes that what was emitted is stored.
    pub(crate) fn mark_committed(&mut self) {
        self.committed = self.version();
        self.expected = Expected::Exact(self.committed);
        self.events.clear();
        self.claims.clear();
    }

    /// The receipt of what it emitted, stored by a commit that ends at this position.
    pub(crate) fn receipt(&self, position: u64) -> Receipt {
        Receipt { stream: self.stream.clone(), version: self.version(), position, replayed: false }
    }

    /// The state, emitted events included.
    pub(crate) fn into_state(self) -> A {
        self.state
    }

    /// Nothing but a check that the stream still stands where it was read.
    pub(crate) fn to_check(&self) -> StreamAppend {
        StreamAppend { stream: self.stream.clone(), expected: self.expected, events: Vec::new() }
    }

    pub(crate) fn is_creation(&self) -> bool {
        self.expected == Expected::NoStream
    }
}

impl<A: Aggregate> Deref for Root<A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.state
    }
}

impl<A: Aggregate> fmt::Debug for Root<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root")
            .field("stream", &self.stream)
            .field("version", &self.committed)
            .field("emitted", &self.events)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// A root of any aggregate, as a unit of work keeps it.
pub(crate) trait AnyRoot: Send + Sync {
    fn to_append(&self) -> Result<StreamAppend>;
    fn has_emitted(&self) -> bool;
    fn versions(&self) -> (u64, u64);
    fn to_snapshot(&self) -> Option<Snapshot>;
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}

impl<A: Applier> AnyRoot for Root<A> {
    fn to_append(&self) -> Result<StreamAppend> {
        self.to_append()
    }

    fn has_emitted(&self) -> bool {
        !self.events.is_empty() || !self.claims.is_empty()
    }

    /// The version before and after what was emitted.
    fn versions(&self) -> (u64, u64) {
        (self.committed, self.version())
    }

    fn to_snapshot(&self) -> Option<Snapshot> {
        Some(Snapshot {
            stream: self.stream.clone(),
            fingerprint: fingerprint::<A>(),
            version: self.version(),
            state: self.state.snapshot()?,
        })
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
