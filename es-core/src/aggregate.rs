//! Aggregates: state folded from events.

use std::fmt::Debug;

use crate::event::EventSet;

/// State that is folded from the events of one stream: what it is called, which events it has, how it is snapshotted.
///
/// `#[derive(Aggregate)]` writes it; es-build puts that derive on every message marked `(eventsourcing.aggregate_root)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an aggregate",
    label = "no `Aggregate` here",
    note = "mark its message with option (eventsourcing.aggregate_root), or derive `Aggregate` on a struct of your own"
)]
pub trait Aggregate: Default + Clone + Debug + Send + Sync + 'static {
    /// All events of the aggregate.
    type Event: EventSet;
    /// The stream type: `{package}.{aggregate}` unless the proto says otherwise.
    const TYPE: &'static str;
    /// A hash of the state's shape; a snapshot of another shape is never read. 0 when there are no snapshots.
    const STATE_FINGERPRINT: u64;

    /// The state as bytes, or `None` when this aggregate keeps no snapshots.
    fn snapshot(&self) -> Option<Vec<u8>>;

    /// The state from a snapshot's bytes, or `None` when they are not usable and the events are to be replayed.
    fn restore(snapshot: &[u8]) -> Option<Self>;
}

/// What an event changes. Written by `#[event_applier]`, one per method of its block.
#[diagnostic::on_unimplemented(
    message = "aggregate `{Self}` has no handler for event `{E}`",
    label = "no method for `{E}` in this `#[event_applier]` block",
    note = "add a method `fn name(&mut self, event: &{E})` to the block"
)]
pub trait Handles<E> {
    /// Changes the state as the event says. It happened: there is nothing to check or refuse here.
    fn handle(&mut self, event: &E);
}

/// Hands the event inside a set to the aggregate's handler for it.
pub trait ApplyTo<A>: EventSet {
    /// Calls [`Handles::handle`] for the event inside.
    fn apply_to(&self, aggregate: &mut A);
}

/// An aggregate that has a handler for each of its events. Written by `#[event_applier]`.
#[diagnostic::on_unimplemented(
    message = "aggregate `{Self}` has no event handlers",
    label = "`{Self}` cannot apply its events",
    note = "write them in a block `#[event_applier] impl {Self} {{ .. }}`, one method per event"
)]
pub trait Applier: Aggregate {
    /// A hash of the handlers' source; a snapshot made by other handlers is never read.
    const APPLIER_FINGERPRINT: u64;

    /// Changes the state as the event says.
    fn apply(&mut self, event: &Self::Event);
}

/// What a snapshot of `A` made by this very program is filed under.
pub(crate) const fn fingerprint<A: Applier>() -> u64 {
    A::STATE_FINGERPRINT.rotate_left(32) ^ A::APPLIER_FINGERPRINT
}
